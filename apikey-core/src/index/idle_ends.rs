//! The idle ends of the keys that have one. A key has the same slot for as long as it has an idle end, and all of its
//! secrets share it.

use crate::access::idle::IdleEnd;
use crate::index::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use crate::index::limiters::KeyNumbers;

/// The times of a slot without an idle end.
const NEVER: i64 = i64::MAX;

/// Numbered idle ends, from 1; 0 means none. The writer reuses them. A reader that took a number from a line just before
/// its key was removed may note its use for the next key, whose time has just begun as well.
#[derive(Default)]
pub(super) struct IdleEnds(boxcar::Vec<IdleSlot>);

/// The idle end of one key.
pub(super) struct IdleSlot {
    /// The high and the low half of the key's id, for the list of uses that other stores do not know.
    id: [AtomicU64; 2],
    /// When the key ends without any use in `used`.
    at: AtomicI64,
    after_ms: AtomicI64,
    /// The second of the last use of any of the key's secrets; 0 for none.
    used: AtomicU32,
}

impl Default for IdleSlot {
    fn default() -> Self {
        let id = [AtomicU64::new(0), AtomicU64::new(0)];
        Self { id, at: AtomicI64::new(NEVER), after_ms: AtomicI64::new(NEVER), used: AtomicU32::new(0) }
    }
}

impl IdleSlot {
    /// When the key ends, by the uses so far.
    #[inline]
    pub(super) fn end(&self) -> i64 {
        // A reader that sees a new span sees the end that belongs to it, too: a shorter span must not count from before
        // it was set.
        let after_ms = self.after_ms.load(Ordering::Acquire);
        let at = self.at.load(Ordering::Relaxed);
        IdleEnd { at, after_ms }.with_use(self.used_ms())
    }

    /// Notes a use, once a second at most.
    #[inline]
    pub(super) fn note_use(&self, second: u32) {
        let held = self.used.load(Ordering::Relaxed);
        if held != second {
            let _ = self.used.compare_exchange(held, second, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// The last use, in milliseconds.
    pub(super) fn used_ms(&self) -> Option<i64> {
        Some(self.used.load(Ordering::Relaxed)).filter(|second| *second > 0).map(|second| i64::from(second) * 1000)
    }

    #[cfg(feature = "cluster")]
    fn id(&self) -> u128 {
        let [high, low] = &self.id;
        let [high, low] = [high, low].map(|half| u128::from(half.load(Ordering::Relaxed)));
        high << 64 | low
    }

    /// Resets the slot, for another key.
    fn reset(&self, id: u128, used: u32) {
        let [high, low] = &self.id;
        high.store((id >> 64) as u64, Ordering::Relaxed);
        low.store(low_half(id), Ordering::Relaxed);
        self.used.store(used, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<IdleEnd> {
        let after_ms = self.after_ms.load(Ordering::Relaxed);
        let at = self.at.load(Ordering::Relaxed);
        (at != NEVER || after_ms != NEVER).then_some(IdleEnd { at, after_ms })
    }

    fn set(&self, end: Option<IdleEnd>) {
        self.at.store(end.map_or(NEVER, |end| end.at), Ordering::Relaxed);
        self.after_ms.store(end.map_or(NEVER, |end| end.after_ms), Ordering::Release);
    }
}

impl IdleEnds {
    #[inline]
    pub(super) fn get(&self, number: u32) -> Option<&IdleSlot> {
        self.0.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// The slot of a key.
    pub(super) fn of(&self, numbers: &KeyNumbers, id: u128) -> Option<&IdleSlot> {
        numbers.of(id).and_then(|number| self.get(number))
    }

    /// Returns the idle end that is in force for a key, with the uses so far.
    pub(super) fn end(&self, numbers: &KeyNumbers, id: u128) -> Option<IdleEnd> {
        let slot = self.of(numbers, id)?;
        slot.get().map(|end| IdleEnd { at: slot.end(), ..end })
    }

    /// Sets the idle end of a key, at once, and returns the number of its slot. `used` is the second of the last use that
    /// a new slot knows. After `None` the caller removes the number from the key's lines, and then gives it back.
    pub(super) fn set(&self, numbers: &mut KeyNumbers, id: u128, end: Option<IdleEnd>, used: u32) -> u32 {
        if end.is_none() {
            self.of(numbers, id).into_iter().for_each(|slot| slot.set(None));
            return 0;
        }
        // Above 2^32 slots the number leads to none, and the index rejects the key.
        let new = || u32::try_from(self.0.push(IdleSlot::default()) + 1).unwrap_or(u32::MAX);
        let reset = |number| self.get(number).into_iter().for_each(|slot| slot.reset(id, used));
        let number = numbers.number(id, new, reset);
        self.get(number).into_iter().for_each(|slot| slot.set(end));
        number
    }
}

#[cfg(feature = "cluster")]
impl IdleEnds {
    /// Lists the keys that end later than without any use, each with its last use in milliseconds. This takes no lock: a
    /// key that the writer replaces meanwhile may be missing, or be listed under an id that no key has.
    pub(super) fn extending_uses(&self) -> impl Iterator<Item = (u128, i64)> {
        self.0.iter().filter_map(|(_, slot)| {
            let (end, used) = (slot.get()?, slot.used_ms()?);
            (end.with_use(Some(used)) > end.at).then(|| (slot.id(), used))
        })
    }
}

#[allow(clippy::cast_possible_truncation, reason = "the low half alone is wanted")]
fn low_half(id: u128) -> u64 {
    id as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_moves_the_end_and_a_number_is_used_again() {
        let (ends, mut numbers) = (IdleEnds::default(), KeyNumbers::default());
        let end = Some(IdleEnd { at: 5000, after_ms: 3000 });
        assert_eq!(ends.set(&mut numbers, 7, end, 0), 1);
        let slot = ends.get(1).unwrap();
        assert_eq!((slot.end(), slot.used_ms()), (5000, None));
        slot.note_use(1);
        assert_eq!(slot.end(), 5000, "the use is before the begin");
        #[cfg(feature = "cluster")]
        assert_eq!(ends.extending_uses().count(), 0);
        slot.note_use(4);
        assert_eq!((slot.end(), ends.end(&numbers, 7)), (7000, Some(IdleEnd { at: 7000, after_ms: 3000 })));
        #[cfg(feature = "cluster")]
        assert_eq!(ends.extending_uses().collect::<Vec<_>>(), [(7, 4000)]);
        assert_eq!(ends.set(&mut numbers, 7, None, 0), 0);
        assert_eq!((slot.end(), ends.end(&numbers, 7)), (i64::MAX, None));
        numbers.give_back(7);
        assert_eq!(ends.set(&mut numbers, 8, end, 3), 1);
        assert_eq!(slot.end(), 6000);
        assert_eq!(ends.set(&mut numbers, 9, end, 0), 2);
        assert!(ends.get(0).is_none() && ends.get(3).is_none());
    }
}
