//! The quota of one key: what it may use, and what was used, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::access::attempt::Taken;
use crate::access::quota::spent::Spent;
use crate::access::quota::status::QuotaStatus;
use crate::access::quota::{Quota, is_later};

/// The part of a quota after whose use the store writes at once what was used.
const PART: u64 = 100;

/// The quota of one key, in a cache line of its own, so that keys in simultaneous use do not slow each other down.
#[derive(Default)]
#[repr(align(64))]
pub(super) struct QuotaSlot {
    /// The high and the low half of the key's id.
    id: [AtomicU64; 2],
    /// The quota, packed; 0 for none.
    pub(super) quota: AtomicU64,
    pub(super) spent: AtomicU64,
    /// What of it is on the disk.
    pub(super) written: AtomicU64,
    /// Of a quota that is used by blocks: what of it is reserved here in a period, used or not.
    reserved: AtomicU64,
    /// The same for the next period, shortly before it begins.
    ahead: AtomicU64,
    /// In a cluster: what other nodes have reserved in a period, as far as this one knows. In a store of its own: what an earlier
    /// process has reserved ahead, if the clock is before that period again.
    elsewhere: AtomicU64,
}

const _: () = assert!(size_of::<QuotaSlot>() == 64, "a quota is one cache line");

/// Why a quota lets a request have nothing, and what is left of it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::index) enum Refused {
    /// It costs more than is left.
    UsedUp(QuotaStatus),
    /// It costs more than is reserved. The store will reserve more.
    Waits(QuotaStatus),
    /// The store is closed, or the node has left its cluster.
    Ended,
}

/// What is reserved of a quota, as the disk or the engine of the cluster has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    /// What is reserved here in a period, used or not.
    pub(crate) here: Spent,
    /// What other nodes have reserved in that period; `None` keeps what is known.
    pub(crate) elsewhere: Option<u64>,
    /// What is reserved here in the period after it.
    pub(crate) ahead: Option<Spent>,
}

impl QuotaSlot {
    pub(super) fn id(&self) -> u128 {
        let [high, low] = [0, 1].map(|half: usize| self.id.get(half).map_or(0, |half| half.load(Ordering::Relaxed)));
        u128::from(high) << 64 | u128::from(low)
    }

    #[allow(clippy::cast_possible_truncation, reason = "both halves are used")]
    pub(super) fn reset(&self, id: u128) {
        let [high, low] = &self.id;
        high.store((id >> 64) as u64, Ordering::Relaxed);
        low.store(id as u64, Ordering::Relaxed);
        self.spent.store(0, Ordering::Relaxed);
        // The disk may have what the key used of an earlier quota.
        self.written.store(u64::MAX, Ordering::Relaxed);
        [&self.reserved, &self.ahead, &self.elsewhere].into_iter().for_each(|word| word.store(0, Ordering::Relaxed));
    }

    pub(super) fn quota(&self) -> Option<Quota> {
        Quota::unpacked(self.quota.load(Ordering::Relaxed))
    }

    pub(super) fn spent(&self) -> Spent {
        Spent::unpacked(self.spent.load(Ordering::Relaxed))
    }

    /// Sets the quota, and returns whether it was another one. What was used stays used, as far as it
    /// [counts](Quota::counted) under this one. In a store of its own nothing is reserved any more: the disk may get a row
    /// meanwhile that knows nothing of it.
    pub(super) fn set(&self, quota: Option<Quota>, is_shared: bool) -> bool {
        let word = quota.map_or(0, Quota::packed);
        let is_other = self.quota.swap(word, Ordering::Relaxed) != word;
        if is_other && !is_shared {
            [&self.reserved, &self.ahead].into_iter().for_each(|word| word.store(0, Ordering::Relaxed));
        }
        is_other
    }

    /// Uses some at a time. Returns the period, and whether the store should soon write what was used, or reserve more.
    ///
    /// If this is too much, it gives back what the same request took before, as far as that was in the same period: what an
    /// earlier one had is over, and what others use in this one stays.
    pub(super) fn charge(
        &self,
        cost: u32,
        before: Option<Taken>,
        now: i64,
        is_shared: bool,
    ) -> Result<(u32, bool), Refused> {
        self.decide(cost, before, now, is_shared, true)
    }

    /// Refuses a request as [`charge`](Self::charge) does, and takes nothing where that would.
    pub(super) fn refuse(&self, cost: u32, before: Option<Taken>, now: i64, is_shared: bool) -> Result<(), Refused> {
        self.decide(cost, before, now, is_shared, false).map(drop)
    }

    fn decide(
        &self,
        cost: u32,
        before: Option<Taken>,
        now: i64,
        is_shared: bool,
        takes: bool,
    ) -> Result<(u32, bool), Refused> {
        let mut word = self.spent.load(Ordering::Relaxed);
        loop {
            // Again after each failure: a quota that has changed counts periods in another way.
            let Some(quota) = self.quota() else { return Ok((0, false)) };
            let last = Spent::unpacked(word);
            if last.period == quota.last_period() {
                return Err(Refused::Ended);
            }
            let (period, used) = quota.counted(last.period, last.used, now);
            let next = used + u64::from(cost);
            let elsewhere = self.elsewhere(period);
            let reserved = self.reserved(period);
            let waits = match (quota.is_strict(), is_shared) {
                (true, _) => next > reserved.unwrap_or(0),
                // While the engine of the cluster is away a node goes on for one block.
                (false, true) => next > reserved.unwrap_or(0).saturating_add(quota.block().max(cost.into())),
                (false, false) => false,
            };
            let is_over = next.saturating_add(elsewhere) > quota.count();
            if is_over || waits {
                let back = before.filter(|before| (before.period, before.period) == (last.period, period));
                let back = back.map_or(0, |before| u64::from(before.back));
                let used = used.saturating_sub(back);
                // What counts in this period for once must not count in the next one, too.
                let held = Spent { period, used };
                if used + back > 0 && held != last && !self.swap(&mut word, held) {
                    continue;
                }
                let (used, resets_at) = (used.saturating_add(elsewhere), quota.end_of(period));
                let status = QuotaStatus { quota, used, resets_at, waits: !is_over };
                return Err(if is_over { Refused::UsedUp(status) } else { Refused::Waits(status) });
            }
            if !takes {
                return Ok((period, false));
            }
            if self.swap(&mut word, Spent { period, used: next }) {
                let is_urgent = if quota.is_strict() || is_shared {
                    reserved.unwrap_or(0).saturating_sub(next) <= quota.block() / 2
                } else {
                    let written = in_period(&self.written, period).unwrap_or(0);
                    next.saturating_sub(written) * PART / quota.count().max(1) > 0
                };
                return Ok((period, is_urgent));
            }
        }
    }

    /// Gives back what a request took, unless its period is over.
    pub(super) fn give_back(&self, Taken { period, back, .. }: Taken) {
        let mut word = self.spent.load(Ordering::Relaxed);
        loop {
            let last = Spent::unpacked(word);
            let used = last.used.saturating_sub(u64::from(back));
            if last.period != period || self.swap(&mut word, Spent { period, used }) {
                return;
            }
        }
    }

    /// What is reserved here in a period; `None` if nothing ever was.
    pub(super) fn reserved(&self, period: u32) -> Option<u64> {
        in_period(&self.reserved, period).or_else(|| in_period(&self.ahead, period))
    }

    /// The same, also if it was reserved under a quota of other periods, as far as that counts in this one.
    pub(super) fn reserved_by(&self, quota: Quota, period: u32, now: i64) -> Option<u64> {
        self.reserved(period).or_else(|| {
            let held = Spent::unpacked(self.reserved.load(Ordering::Relaxed));
            let (counts_in, used) = quota.counted(held.period, held.used, now);
            (held.period != 0 && counts_in == period).then_some(used)
        })
    }

    /// The words that a [grant](Self::grant) replaces.
    pub(super) fn reserved_words(&self) -> [u64; 2] {
        [&self.reserved, &self.ahead].map(|word| word.load(Ordering::Relaxed))
    }

    /// What is reserved in the period after this one; `None` if nothing is.
    pub(super) fn ahead(&self, period: u32) -> Option<Spent> {
        Some(Spent::unpacked(self.ahead.load(Ordering::Relaxed))).filter(|ahead| is_later(ahead.period, period))
    }

    /// What other nodes have reserved in a period.
    pub(super) fn elsewhere(&self, period: u32) -> u64 {
        in_period(&self.elsewhere, period).unwrap_or(0)
    }

    /// What an earlier process has reserved in this period, or in one after it.
    pub(super) fn earlier(&self, period: u32) -> Option<Spent> {
        let earlier = Spent::unpacked(self.elsewhere.load(Ordering::Relaxed));
        Some(earlier).filter(|earlier| earlier.period == period || is_later(earlier.period, period))
    }

    /// Notes what an earlier process has reserved in a period that has not begun yet.
    pub(super) fn note_earlier(&self, ahead: Spent) {
        self.elsewhere.store(ahead.packed(), Ordering::Relaxed);
    }

    /// Lets requests have what is reserved.
    pub(super) fn grant(&self, Grant { here, elsewhere, ahead }: Grant) {
        if let Some(used) = elsewhere {
            self.elsewhere.store(Spent { period: here.period, used }.packed(), Ordering::Relaxed);
        }
        self.reserved.store(here.packed(), Ordering::Relaxed);
        self.ahead.store(ahead.map_or(0, Spent::packed), Ordering::Relaxed);
    }

    /// Lets no request have anything any more, and returns what was used; `None` if it was ended before.
    pub(super) fn end(&self, quota: Quota) -> Option<Spent> {
        let nothing = Spent { period: quota.last_period(), used: u64::MAX }.packed();
        let spent = Spent::unpacked(self.spent.swap(nothing, Ordering::Relaxed));
        (spent.period != quota.last_period()).then_some(spent)
    }

    /// Sets what was used, if it is still what was read; otherwise reads it again.
    fn swap(&self, word: &mut u64, new: Spent) -> bool {
        let swapped = self.spent.compare_exchange_weak(*word, new.packed(), Ordering::Relaxed, Ordering::Relaxed);
        *word = swapped.err().unwrap_or(*word);
        swapped.is_ok()
    }
}

/// What a word has of this period.
fn in_period(word: &AtomicU64, period: u32) -> Option<u64> {
    let held = Spent::unpacked(word.load(Ordering::Relaxed));
    (held.period == period).then_some(held.used)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: i64 = 1_900_000_000_000;
    const DAY: i64 = 86_400_000;

    fn slot(quota: Quota) -> QuotaSlot {
        let slot = QuotaSlot::default();
        slot.set(Some(quota), false);
        slot
    }

    /// How many of so many requests pass at once.
    fn passed(slot: &QuotaSlot, requests: u32, now: i64) -> u32 {
        (0..requests).map(|_| u32::from(slot.charge(1, None, now, false).is_ok())).sum()
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
                let charged = slot.charge(cost, None, now, false);
                prop_assert_eq!(charged.is_ok(), before + u64::from(cost) <= count);
                match charged {
                    Ok(_) => (period, used) = (in_period, before + u64::from(cost)),
                    Err(Refused::Waits(_) | Refused::Ended) => prop_assert!(false, "it has no blocks"),
                    Err(Refused::UsedUp(status)) => {
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
        slot.set(Some(Quota::per_day(5)), false);
        assert_eq!(passed(&slot, 9, NOW), 0, "lower, in the middle of a day");
        slot.set(Some(Quota::per_month(20)), false);
        assert_eq!(passed(&slot, 20, NOW), 12);
        slot.set(Some(Quota::total(30)), false);
        assert_eq!(passed(&slot, 20, NOW), 10);
        assert_eq!(passed(&slot, 20, NOW + 400 * DAY), 0, "nothing comes back");
        slot.set(None, false);
        assert_eq!(passed(&slot, 20, NOW), 20);
    }

    /// The uses of a quota in all count in the day of the change, and not in each day after it.
    #[test]
    fn nobody_is_held_up_for_ever_by_an_earlier_quota() {
        for earlier in [Quota::total(100), Quota::per_month(100)] {
            let slot = slot(earlier);
            assert_eq!(passed(&slot, 80, NOW), 80);
            slot.set(Some(Quota::per_day(50)), false);
            assert_eq!(passed(&slot, 80, NOW), 0);
            assert_eq!(passed(&slot, 80, NOW + DAY), 50);
            assert_eq!(passed(&slot, 80, NOW + 2 * DAY), 50);
        }
        // What was used in a day is part of its month.
        let slot = slot(Quota::per_day(10));
        assert_eq!(passed(&slot, 20, NOW), 10);
        slot.set(Some(Quota::per_month(15)), false);
        assert_eq!(passed(&slot, 20, NOW + DAY), 5);
    }

    /// Quotas of days and of months while threads use them: no period has more than the larger of them, and none is held up.
    #[test]
    fn changes_of_the_quota_beside_uses_lose_none_of_them() {
        for _ in 0..50 {
            let slot = slot(Quota::per_day(1000));
            let all = std::thread::scope(|scope| {
                let uses = [(); 2].map(|()| scope.spawn(|| passed(&slot, 2000, NOW)));
                for at in 0..200 {
                    slot.set(Some(if at % 2 == 0 { Quota::per_month(1000) } else { Quota::per_day(1000) }), false);
                }
                uses.into_iter().map(|uses| uses.join().unwrap()).sum::<u32>()
            });
            assert_eq!(all, 1000);
            slot.set(Some(Quota::per_day(1000)), false);
            // What was used by the month counts in this day, and not in the next one.
            assert_eq!(passed(&slot, 1, NOW), 0);
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
            slot.set(Some(Quota::per_day(90)), false);
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
            slot.charge(uses, None, now, false).map(|(period, _)| Taken { quota: 1, uses, period, back: uses }).unwrap()
        };
        let used = |now| {
            let Spent { period, used } = slot.spent();
            quota.counted(period, used, now).1
        };
        let status = |refused| match refused {
            Refused::UsedUp(status) => (status.used(), status.remaining()),
            Refused::Waits(_) | Refused::Ended => unreachable!("it has no blocks"),
        };
        take(6, NOW);
        let one = take(1, NOW);
        assert_eq!(slot.charge(4, Some(one), NOW, false).map_err(status), Err((6, 4)));
        assert_eq!(used(NOW), 6);
        let one = take(1, NOW);
        slot.give_back(one);
        assert_eq!(used(NOW), 6);
        let one = take(1, NOW);
        take(9, NOW + DAY);
        assert_eq!(slot.charge(4, Some(one), NOW + DAY, false).map_err(status), Err((9, 1)));
        slot.give_back(one);
        assert_eq!(used(NOW + DAY), 9);
        let one = take(1, NOW + DAY);
        slot.set(Some(Quota::per_month(10)), false);
        slot.give_back(one);
        assert_eq!(used(NOW + DAY), 9, "it is the day in which the request took it");
    }

    #[test]
    fn nonsense_lets_nothing_pass() {
        let slot = QuotaSlot::default();
        slot.quota.store(1, Ordering::Relaxed);
        assert_eq!(passed(&slot, 20, NOW), 0);
        let last = self::slot(Quota::per_day(crate::access::quota::MAX_QUOTA));
        for now in [i64::MIN, 0, crate::base::time::LAST_MS, i64::MAX] {
            assert!(last.charge(crate::access::quota::MAX_COST, None, now, false).is_ok());
        }
    }

    /// A strict quota lets nothing through that is not reserved, and never more than the quota.
    #[test]
    fn a_strict_quota_has_what_is_reserved() {
        let quota = Quota::per_day(1000).strict();
        let slot = slot(quota);
        let [today, tomorrow] = [0, DAY].map(|after| quota.period_at(NOW + after));
        let reserve = |period, used, ahead| slot.grant(Grant { here: Spent { period, used }, elsewhere: None, ahead });
        let waits = |now| matches!(slot.charge(1, None, now, false), Err(Refused::Waits(status)) if status.waits);
        assert!(waits(NOW));
        reserve(today, 10, Some(Spent { period: tomorrow, used: 3 }));
        assert_eq!(passed(&slot, 20, NOW), 10);
        assert!(waits(NOW));
        assert_eq!(passed(&slot, 20, NOW + DAY), 3);
        assert!(waits(NOW + DAY) && waits(NOW), "the clock was set back");
        reserve(tomorrow, 2000, None);
        assert_eq!(passed(&slot, 2000, NOW + DAY), 997);
        assert!(matches!(slot.charge(1, None, NOW + DAY, false), Err(Refused::UsedUp(_))));
        assert_eq!(slot.end(quota), Some(Spent { period: tomorrow, used: 1000 }));
        assert_eq!(slot.end(quota), None);
        for now in [NOW, NOW + DAY, NOW + 400 * DAY] {
            assert!(slot.charge(1, None, now, false).is_err(), "the store is closed");
        }
    }

    /// In a cluster a node has what it has reserved and one block, and all together have the quota.
    #[test]
    fn a_node_goes_on_for_one_block() {
        let quota = Quota::per_day(1000);
        let slot = slot(quota);
        let period = quota.period_at(NOW);
        let passed = || (0..2000).take_while(|_| slot.charge(1, None, NOW, true).is_ok()).count();
        assert_eq!(passed(), 10);
        assert!(matches!(slot.charge(1, None, NOW, true), Err(Refused::Waits(_))));
        slot.grant(Grant { here: Spent { period, used: 30 }, elsewhere: Some(965), ahead: None });
        assert_eq!(passed(), 25, "35 are left for this node");
        assert!(matches!(slot.charge(1, None, NOW, true), Err(Refused::UsedUp(status)) if status.used() == 1000));
    }
}
