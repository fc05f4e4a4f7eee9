//! The limiters of the keys that have a limit: a key's for as long as the key and its limit are there, through rotations and
//! other changes.

use std::collections::HashMap;

use crate::access::limit::Limit;
use crate::index::limiter::Limiter;

/// Numbered limiters, from 1; 0 is for none. They are used again. A reader that took a number from a line a moment before
/// its key went may count on the next key's: that has one request less for once.
#[derive(Default)]
pub(super) struct Limiters(boxcar::Vec<Limiter>);

/// What the one writer knows of them.
#[derive(Default)]
pub(super) struct Held {
    of: HashMap<u128, u32>,
    free: Vec<u32>,
}

impl Limiters {
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&Limiter> {
        self.0.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// The limit that is in force for a key.
    pub(super) fn limit(&self, held: &Held, id: u128) -> Option<Limit> {
        held.of.get(&id).and_then(|number| self.get(*number)).and_then(Limiter::limit)
    }

    /// Sets the limit of a key, at once; the number of its limiter. After `None` the caller takes the number out of the
    /// key's lines, and then calls [`Held::give_back`].
    pub(super) fn set(&self, held: &mut Held, id: u128, limit: Option<Limit>) -> u32 {
        if limit.is_none() {
            held.of.get(&id).and_then(|number| self.get(*number)).into_iter().for_each(|limiter| limiter.set(None));
            return 0;
        }
        let number = *held.of.entry(id).or_insert_with(|| {
            let number = held.free.pop().unwrap_or_else(|| {
                // Above 2^32 of them nothing is found under the number, and the key is refused.
                u32::try_from(self.0.push(Limiter::default()) + 1).unwrap_or(u32::MAX)
            });
            self.get(number).into_iter().for_each(Limiter::reset);
            number
        });
        self.get(number).into_iter().for_each(|limiter| limiter.set(limit));
        number
    }
}

impl Held {
    /// Takes back the limiter of a key that is gone, or has no limit any more.
    pub(super) fn give_back(&mut self, id: u128) {
        self.free.extend(self.of.remove(&id));
    }
}
