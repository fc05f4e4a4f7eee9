//! What keys have used of their quotas: two words for each key that has one, without a lock.

pub(crate) mod slot;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::access::attempt::Taken;
use crate::access::quota::{Quota, QuotaStatus};
use crate::base::lock::lock;
use crate::index::limiters::KeyNumbers;
use crate::index::quotas::slot::{QuotaSlot, Spent, UsedUp};

/// Numbered quotas, from 1; 0 means none. The writer reuses them. A reader that took a number from a line just before its key
/// was removed may use one of the next key's uses, once.
#[derive(Default)]
pub(super) struct Quotas {
    slots: boxcar::Vec<QuotaSlot>,
    /// Whether much was used since the store last wrote what was used.
    is_urgent: AtomicBool,
    /// Keys that have no quota any more.
    without: Mutex<Vec<u128>>,
}

/// Uses were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charged {
    /// The number of the period in which; 0 if the key has no quota any more.
    pub(crate) period: u32,
    /// Whether the store should soon write what was used; it says so once.
    pub(crate) is_urgent: bool,
}

/// What was used of a key's quota, for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySpent {
    pub(crate) key: u128,
    pub(crate) spent: Spent,
    number: u32,
}

impl Quotas {
    fn get(&self, number: u32) -> Option<&QuotaSlot> {
        self.slots.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// Whether any key has, or had, a quota.
    pub(super) fn is_any(&self) -> bool {
        self.slots.count() > 0
    }

    /// Whether much was used since the last call of [`unwritten`](Self::unwritten).
    pub(super) fn is_urgent(&self) -> bool {
        self.is_urgent.load(Ordering::Relaxed)
    }

    /// Returns the quota that is in force for a key.
    pub(super) fn quota(&self, numbers: &KeyNumbers, id: u128) -> Option<Quota> {
        numbers.of(id).and_then(|number| self.get(number)).and_then(QuotaSlot::quota)
    }

    /// Sets the quota of a key, at once, and returns its number. After `None` the caller removes the number from the key's
    /// lines, and then calls [`KeyNumbers::give_back`].
    pub(super) fn set(&self, numbers: &mut KeyNumbers, id: u128, quota: Option<Quota>) -> u32 {
        if quota.is_none() {
            if let Some(slot) = numbers.of(id).and_then(|number| self.get(number)) {
                slot.set(None);
                lock(&self.without).push(id);
            }
            return 0;
        }
        // Above 2^32 quotas the number leads to none, and the index rejects the key.
        let new = || u32::try_from(self.slots.push(QuotaSlot::default()) + 1).unwrap_or(u32::MAX);
        let number = numbers.number(id, new, |number| self.get(number).into_iter().for_each(|slot| slot.reset(id)));
        self.get(number).into_iter().for_each(|slot| slot.set(quota));
        number
    }

    /// Uses some of a quota at a time; `None` if there is no quota of this number. If it is too much, it gives back what the
    /// same request took before.
    pub(super) fn charge(
        &self,
        number: u32,
        cost: u32,
        before: Option<Taken>,
        now: i64,
    ) -> Option<Result<Charged, UsedUp>> {
        let charged = self.get(number)?.charge(cost, before, now);
        let is_urgent = |parts: u64| parts > 0 && !self.is_urgent.swap(true, Ordering::Relaxed);
        Some(charged.map(|(period, parts)| Charged { period, is_urgent: is_urgent(parts) }))
    }

    /// Gives back what a request took of a quota.
    pub(super) fn give_back(&self, taken: Taken) {
        self.get(taken.quota).into_iter().for_each(|slot| slot.give_back(taken));
    }

    /// What a key has left.
    pub(super) fn status(&self, number: u32, now: i64) -> Option<QuotaStatus> {
        let slot = self.get(number)?;
        let quota = slot.quota()?;
        let Spent { period, used } = slot.spent();
        let (period, used) = quota.counted(period, used, now);
        Some(QuotaStatus { quota, used, resets_at: quota.end_of(period) })
    }

    /// The same by the key's id.
    pub(super) fn status_of(&self, numbers: &KeyNumbers, id: u128, now: i64) -> Option<QuotaStatus> {
        self.status(numbers.of(id)?, now)
    }

    /// What is not on the disk.
    pub(super) fn unwritten(&self) -> Vec<KeySpent> {
        self.is_urgent.store(false, Ordering::Relaxed);
        let slots = self.slots.iter().filter_map(|(at, slot)| {
            let (key, word) = (slot.id(), slot.spent.load(Ordering::Relaxed));
            let is_news = slot.quota().is_some() && word != slot.written.load(Ordering::Relaxed);
            let number = u32::try_from(at + 1).ok()?;
            // Another key may have the number by now; what is read then is written the next time.
            (is_news && slot.id() == key).then(|| KeySpent { key, spent: Spent::unpacked(word), number })
        });
        slots.collect()
    }

    /// Notes what is on the disk.
    pub(super) fn note_written(&self, all: &[KeySpent]) {
        for KeySpent { key, spent, number } in all {
            if let Some(slot) = self.get(*number).filter(|slot| slot.id() == *key) {
                slot.written.store(spent.packed(), Ordering::Relaxed);
            }
        }
    }

    /// The clock has run evenly for some minutes, so a period after this time was a mistake of the clock: what was used in it
    /// counts now.
    pub(super) fn trust_clock(&self, now: i64) {
        for (_, slot) in &self.slots {
            let (Some(quota), word) = (slot.quota(), slot.spent.load(Ordering::Relaxed)) else { continue };
            let Spent { period: last, used } = Spent::unpacked(word);
            let at = quota.period_at(now);
            if quota.counted(last, used, now) == (last, used) && last > at {
                let new = Spent { period: at, used }.packed();
                let _ = slot.spent.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// The keys that lost their quotas since the last call, and have none again.
    pub(super) fn take_without(&self, numbers: &KeyNumbers) -> Vec<u128> {
        let mut without = std::mem::take(&mut *lock(&self.without));
        without.retain(|key| self.quota(numbers, *key).is_none());
        without
    }

    /// Takes what the disk has of a key while the store is opened; `None` if that is damaged: then nothing is left in this
    /// period. Returns whether the key has a quota.
    pub(super) fn restore(&self, numbers: &KeyNumbers, key: u128, spent: Option<Spent>, now: i64) -> bool {
        let Some(slot) = numbers.of(key).and_then(|number| self.get(number)) else { return false };
        let Some(quota) = slot.quota() else { return false };
        let used_up = Spent { period: quota.period_at(now), used: quota.count() };
        let word = spent.unwrap_or(used_up).packed();
        slot.spent.store(word, Ordering::Relaxed);
        slot.written.store(word, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000_000;
    const DAY: i64 = 86_400_000;

    /// A clock that was years ahead for a moment holds nobody up until it gets there, once it is known to be wrong.
    #[test]
    fn a_clock_that_was_ahead_holds_nobody_up() {
        let quotas = Quotas::default();
        let number = quotas.set(&mut KeyNumbers::default(), 7, Some(Quota::per_day(10)));
        let passes = |now| quotas.charge(number, 10, None, now).unwrap().is_ok();
        assert!(passes(NOW + 3000 * DAY));
        assert!(!passes(NOW) && !passes(NOW + DAY));
        quotas.trust_clock(NOW);
        assert!(!passes(NOW), "what was used stays used");
        assert!(passes(NOW + DAY));
        quotas.trust_clock(NOW + DAY);
        assert!(!passes(NOW + DAY));
    }

    #[test]
    fn a_hundredth_is_urgent_once() {
        let quotas = Quotas::default();
        let mut numbers = KeyNumbers::default();
        let number = quotas.set(&mut numbers, 7, Some(Quota::per_day(1000)));
        let charge = |cost| quotas.charge(number, cost, None, NOW).unwrap().unwrap().is_urgent;
        assert_eq!([charge(9), charge(1), charge(1)], [false, true, false]);
        let all = quotas.unwritten();
        assert_eq!((all.len(), all[0].key, all[0].spent.used), (1, 7, 11));
        quotas.note_written(&all);
        assert_eq!(quotas.unwritten(), []);
        assert_eq!([charge(9), charge(1)], [false, true]);
    }
}
