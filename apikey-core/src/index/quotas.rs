//! What keys have used of their quotas: two words for each key that has one, without a lock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::access::attempt::Taken;
use crate::access::quota::{Quota, QuotaStatus};
use crate::base::lock::lock;
use crate::index::limiters::KeyNumbers;

/// Bits of a [`Spent`] below the number of the period: as many as the largest quota has.
const USED_BITS: u32 = 40;
/// The part of a quota after whose use the store writes at once what was used.
const PART: u64 = 100;

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

/// The quota of one key, in a cache line of its own, so that keys in simultaneous use do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
struct QuotaSlot {
    /// The high and the low half of the key's id.
    id: [AtomicU64; 2],
    /// The quota, packed; 0 for none.
    quota: AtomicU64,
    spent: AtomicU64,
    /// What of it is on the disk.
    written: AtomicU64,
}

/// What was used in the last period in which anything was: the number of the period, and the uses. The period may be one of an
/// earlier quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Spent {
    pub(crate) period: u32,
    pub(crate) used: u64,
}

/// Uses were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Charged {
    /// The number of the period in which; 0 if the key has no quota any more.
    pub(crate) period: u32,
    /// Whether the store should soon write what was used; it says so once.
    pub(crate) is_urgent: bool,
}

/// A key has used up its quota.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UsedUp(pub(super) QuotaStatus);

/// What was used of a key's quota, for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeySpent {
    pub(crate) key: u128,
    pub(crate) spent: Spent,
    number: u32,
}

impl Spent {
    fn packed(self) -> u64 {
        u64::from(self.period) << USED_BITS | self.used.min((1 << USED_BITS) - 1)
    }

    fn unpacked(word: u64) -> Self {
        Self { period: u32::try_from(word >> USED_BITS).unwrap_or(u32::MAX), used: word & ((1 << USED_BITS) - 1) }
    }
}

impl QuotaSlot {
    fn id(&self) -> u128 {
        let [high, low] = [0, 1].map(|half: usize| self.id.get(half).map_or(0, |half| half.load(Ordering::Relaxed)));
        u128::from(high) << 64 | u128::from(low)
    }

    #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
    fn reset(&self, id: u128) {
        let [high, low] = &self.id;
        high.store((id >> 64) as u64, Ordering::Relaxed);
        low.store(id as u64, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        // The disk may have what the key used of an earlier quota.
        self.written.store(u64::MAX, Ordering::Relaxed);
    }

    fn quota(&self) -> Option<Quota> {
        Quota::unpacked(self.quota.load(Ordering::Relaxed))
    }

    fn spent(&self) -> Spent {
        Spent::unpacked(self.spent.load(Ordering::Relaxed))
    }

    /// Sets the quota. What was used stays used, as far as it [counts](Quota::counted) under this one.
    fn set(&self, quota: Option<Quota>) {
        self.quota.store(quota.map_or(0, Quota::packed), Ordering::Relaxed);
    }

    /// Uses some at a time. Returns the period, and what was used in it and is not on the disk, in hundredths of the quota.
    ///
    /// If this is too much, it gives back what the same request took before, as far as that was in the same period: what an
    /// earlier one had is over, and what others use in this one stays.
    fn charge(&self, cost: u32, before: Option<Taken>, now: i64) -> Result<(u32, u64), UsedUp> {
        let mut word = self.spent.load(Ordering::Relaxed);
        loop {
            // Again after each failure: a quota that has changed counts periods in another way.
            let Some(quota) = self.quota() else { return Ok((0, 0)) };
            let last = Spent::unpacked(word);
            let (period, used) = quota.counted(last.period, last.used, now);
            let next = used + u64::from(cost);
            if next > quota.count() {
                let back = before.filter(|before| (before.period, before.period) == (last.period, period));
                let back = back.map_or(0, |before| u64::from(before.back));
                let used = used.saturating_sub(back);
                // What counts in this period for once must not count in the next one, too.
                let held = Spent { period, used };
                if used + back > 0 && held != last && !self.swap(&mut word, held) {
                    continue;
                }
                return Err(UsedUp(QuotaStatus { quota, used, resets_at: quota.end_of(period) }));
            }
            if self.swap(&mut word, Spent { period, used: next }) {
                let written = Spent::unpacked(self.written.load(Ordering::Relaxed));
                let written = if written.period == period { written.used } else { 0 };
                return Ok((period, next.saturating_sub(written) * PART / quota.count().max(1)));
            }
        }
    }

    /// Gives back what a request took, unless its period is over.
    fn give_back(&self, Taken { period, back, .. }: Taken) {
        let mut word = self.spent.load(Ordering::Relaxed);
        loop {
            let last = Spent::unpacked(word);
            let used = last.used.saturating_sub(u64::from(back));
            if last.period != period || self.swap(&mut word, Spent { period, used }) {
                return;
            }
        }
    }

    /// Sets what was used, if it is still what was read; otherwise reads it again.
    fn swap(&self, word: &mut u64, new: Spent) -> bool {
        let swapped = self.spent.compare_exchange_weak(*word, new.packed(), Ordering::Relaxed, Ordering::Relaxed);
        *word = swapped.err().unwrap_or(*word);
        swapped.is_ok()
    }
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
    use proptest::prelude::*;

    const NOW: i64 = 1_900_000_000_000;
    const DAY: i64 = 86_400_000;

    fn slot(quota: Quota) -> QuotaSlot {
        let slot = QuotaSlot::default();
        slot.set(Some(quota));
        slot
    }

    /// How many of so many requests pass at once.
    fn passed(slot: &QuotaSlot, requests: u32, now: i64) -> u32 {
        (0..requests).map(|_| u32::from(slot.charge(1, None, now).is_ok())).sum()
    }

    proptest! {
        /// The model is the sum of the costs that passed in each period, of which the clock reaches none twice.
        #[test]
        fn it_is_the_model(count in 1..50u64, steps in proptest::collection::vec((1..9u32, -3..3i64), 1..200)) {
            let quota = Quota::per_day(count);
            let slot = slot(quota);
            let (mut now, mut period, mut used) = (NOW, 0, 0);
            for (cost, hours) in steps {
                now += hours * DAY / 8;
                // A refused request begins no period.
                let (in_period, before) = quota.counted(period, used, now);
                let charged = slot.charge(cost, None, now);
                prop_assert_eq!(charged.is_ok(), before + u64::from(cost) <= count);
                match charged {
                    Ok(_) => (period, used) = (in_period, before + u64::from(cost)),
                    Err(UsedUp(status)) => {
                        prop_assert_eq!((status.used(), status.remaining()), (before, count - before));
                        prop_assert_eq!(status.resets_at(), quota.end_of(in_period));
                    }
                }
            }
        }
    }

    #[test]
    fn a_clock_that_is_set_back_opens_no_period_again() {
        let slot = slot(Quota::per_day(10));
        assert_eq!(passed(&slot, 6, NOW), 6);
        assert_eq!(passed(&slot, 20, NOW + DAY), 10);
        assert_eq!(passed(&slot, 20, NOW), 0);
        assert_eq!(passed(&slot, 20, NOW + DAY), 0);
        assert_eq!(passed(&slot, 20, NOW + 2 * DAY), 10);
    }

    #[test]
    fn another_quota_keeps_what_was_used() {
        let slot = slot(Quota::per_day(10));
        assert_eq!(passed(&slot, 8, NOW), 8);
        slot.set(Some(Quota::per_day(5)));
        assert_eq!(passed(&slot, 9, NOW), 0, "lower, in the middle of a day");
        slot.set(Some(Quota::per_month(20)));
        assert_eq!(passed(&slot, 20, NOW), 12);
        slot.set(Some(Quota::total(30)));
        assert_eq!(passed(&slot, 20, NOW), 10);
        assert_eq!(passed(&slot, 20, NOW + 400 * DAY), 0, "nothing comes back");
        slot.set(None);
        assert_eq!(passed(&slot, 20, NOW), 20);
    }

    /// The uses of a quota in all count in the day of the change, and not in each day after it.
    #[test]
    fn nobody_is_held_up_for_ever_by_an_earlier_quota() {
        for earlier in [Quota::total(100), Quota::per_month(100)] {
            let slot = slot(earlier);
            assert_eq!(passed(&slot, 80, NOW), 80);
            slot.set(Some(Quota::per_day(50)));
            assert_eq!(passed(&slot, 80, NOW), 0);
            assert_eq!(passed(&slot, 80, NOW + DAY), 50);
            assert_eq!(passed(&slot, 80, NOW + 2 * DAY), 50);
        }
        // What was used in a day is part of its month.
        let slot = slot(Quota::per_day(10));
        assert_eq!(passed(&slot, 20, NOW), 10);
        slot.set(Some(Quota::per_month(15)));
        assert_eq!(passed(&slot, 20, NOW + DAY), 5);
    }

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

    /// Quotas of days and of months while threads use them: no period has more than the larger of them, and none is held up.
    #[test]
    fn changes_of_the_quota_beside_uses_lose_none_of_them() {
        for _ in 0..50 {
            let slot = slot(Quota::per_day(1000));
            let all = std::thread::scope(|scope| {
                let uses = [(); 2].map(|()| scope.spawn(|| passed(&slot, 2000, NOW)));
                for at in 0..200 {
                    slot.set(Some(if at % 2 == 0 { Quota::per_month(1000) } else { Quota::per_day(1000) }));
                }
                uses.into_iter().map(|uses| uses.join().unwrap()).sum::<u32>()
            });
            assert_eq!(all, 1000);
            slot.set(Some(Quota::per_day(1000)));
            assert_eq!(passed(&slot, 2000, NOW + DAY), 1000);
            assert_eq!(passed(&slot, 2000, NOW + 2 * DAY), 1000);
        }
    }

    /// What was used last month is no use of today.
    #[test]
    fn another_quota_keeps_nothing_of_a_period_that_is_over() {
        for later in [NOW + DAY, NOW + 40 * DAY] {
            let slot = slot(Quota::per_month(100));
            assert_eq!(passed(&slot, 80, NOW), 80);
            slot.set(Some(Quota::per_day(90)));
            assert_eq!(passed(&slot, 100, later), if later < NOW + 31 * DAY { 10 } else { 90 });
            assert_eq!(passed(&slot, 100, later + DAY), 90);
        }
    }

    /// Of a request that takes some, and then too many, nothing stays; unless a period has begun between the two, in which
    /// others have used some.
    #[test]
    fn a_refused_request_gives_back_what_it_took() {
        let quota = Quota::per_day(10);
        let slot = slot(quota);
        let take = |uses, now| {
            slot.charge(uses, None, now).map(|(period, _)| Taken { quota: 1, uses, period, back: uses }).unwrap()
        };
        let used = |now| {
            let Spent { period, used } = slot.spent();
            quota.counted(period, used, now).1
        };
        let status = |error: UsedUp| (error.0.used(), error.0.remaining());
        take(6, NOW);
        let one = take(1, NOW);
        assert_eq!(slot.charge(4, Some(one), NOW).map_err(status), Err((6, 4)));
        assert_eq!(used(NOW), 6);
        let one = take(1, NOW);
        slot.give_back(one);
        assert_eq!(used(NOW), 6);
        let one = take(1, NOW);
        take(9, NOW + DAY);
        assert_eq!(slot.charge(4, Some(one), NOW + DAY).map_err(status), Err((9, 1)));
        slot.give_back(one);
        assert_eq!(used(NOW + DAY), 9);
        let one = take(1, NOW + DAY);
        slot.set(Some(Quota::per_month(10)));
        slot.give_back(one);
        assert_eq!(used(NOW + DAY), 9, "it is the day in which the request took it");
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

    #[test]
    fn nonsense_lets_nothing_pass() {
        let slot = QuotaSlot::default();
        slot.quota.store(1, Ordering::Relaxed);
        assert_eq!(passed(&slot, 20, NOW), 0);
        let last = self::slot(Quota::per_day(crate::access::quota::MAX_QUOTA));
        for now in [i64::MIN, 0, crate::base::time::LAST_MS, i64::MAX] {
            assert!(last.charge(crate::access::quota::MAX_COST, None, now).is_ok());
        }
    }
}
