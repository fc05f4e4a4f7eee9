//! The limiters of the keys that have a limit. A key has the same one for as long as it has a limit, through rotations
//! and other changes.

use std::collections::HashMap;

use crate::access::limit::Limit;
use crate::index::limiter::Limiter;

/// Numbered limiters, from 1; 0 means none. The writer reuses them. A reader that took a number from a line just before
/// its key was removed may count on the next key's limiter: that key then loses one request, once.
#[derive(Default)]
pub(super) struct Limiters(boxcar::Vec<Limiter>);

/// The numbers of what keys have for as long as they have a limit, or an idle end. Only the writer reads them.
#[derive(Default)]
pub(super) struct KeyNumbers {
    of: HashMap<u128, u32>,
    free: Vec<u32>,
}

impl Limiters {
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Limiter> {
        self.0.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Returns the limit that is in force for a key.
    pub(super) fn limit(&self, numbers: &KeyNumbers, id: u128) -> Option<Limit> {
        numbers.of(id).and_then(|number| self.get(number)).and_then(Limiter::limit)
    }

    /// Sets the limit of a key, at once, and returns the number of its limiter. After `None` the caller removes the
    /// number from the key's lines, and then calls [`KeyNumbers::give_back`].
    pub(super) fn set(&self, numbers: &mut KeyNumbers, id: u128, limit: Option<Limit>) -> u32 {
        if limit.is_none() {
            numbers.of(id).and_then(|number| self.get(number)).into_iter().for_each(|limiter| limiter.set(None));
            return 0;
        }
        // Above 2^32 limiters the number leads to none, and the index rejects the key.
        let new = || u32::try_from(self.0.push(Limiter::default()) + 1).unwrap_or(u32::MAX);
        let number = numbers.number(id, new, |number| self.get(number).into_iter().for_each(Limiter::reset));
        self.get(number).into_iter().for_each(|limiter| limiter.set(limit));
        number
    }
}

impl KeyNumbers {
    /// The number that a key has.
    pub(super) fn of(&self, id: u128) -> Option<u32> {
        self.of.get(&id).copied()
    }

    /// Returns the number of a key: the one that it has, or a free one, or a new one, after a reset.
    pub(super) fn number(&mut self, id: u128, new: impl FnOnce() -> u32, reset: impl FnOnce(u32)) -> u32 {
        *self.of.entry(id).or_insert_with(|| {
            let number = self.free.pop().unwrap_or_else(new);
            reset(number);
            number
        })
    }

    /// Frees the number of a key that was removed, or no longer needs it.
    pub(super) fn give_back(&mut self, id: u128) {
        self.free.extend(self.of.remove(&id));
    }
}
