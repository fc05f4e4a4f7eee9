//! Quotas of a store: what of them is used, reserved and written.

use super::*;
use proptest::prelude::*;

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
    let charge = |cost| {
        let was_urgent = quotas.is_urgent();
        quotas.charge(number, cost, None, NOW).unwrap().unwrap();
        (was_urgent, quotas.is_urgent())
    };
    assert_eq!([charge(9), charge(1), charge(1)], [(false, false), (false, true), (true, true)]);
    let all = quotas.unwritten();
    assert_eq!((all.len(), all[0].key, all[0].spent.used), (1, 7, 11));
    quotas.note_written(&all);
    assert_eq!(quotas.unwritten(), []);
    assert_eq!([charge(9), charge(1)], [(false, false), (false, true)]);
}

proptest! {
    /// What a disk would have of a strict quota is never less than what was used of it, and never a block more than what
    /// was used or the largest cost that waited; whenever the process ends, the next one goes on from there, and no day has
    /// more uses than the quota.
    #[test]
    fn a_strict_quota_gives_nothing_back(
        count in 1..700u64,
        steps in proptest::collection::vec((0..5u8, 1..9u32, 0..5i64), 1..300),
    ) {
        let quota = Quota::per_day(count).strict();
        let (mut quotas, mut numbers) = (Quotas::default(), KeyNumbers::default());
        let mut number = quotas.set(&mut numbers, 7, Some(quota));
        let mut row: Option<Row> = None;
        let (mut now, mut day, mut used) = (NOW, 0, 0);
        for (step, cost, hours) in steps {
            now += hours * DAY / 24;
            match step {
                // The process ends, and another one begins.
                0 => {
                    quotas = Quotas::default();
                    numbers = KeyNumbers::default();
                    number = quotas.set(&mut numbers, 7, Some(quota));
                    if let Some(row) = row {
                        quotas.restore(&numbers, 7, Some(row), now);
                    }
                }
                1 => for need in quotas.needs(now) {
                    row = Some(need.row().1);
                    quotas.grant(&need, Grant { here: need.here, elsewhere: None, ahead: need.ahead });
                },
                _ => if quotas.charge(number, cost, None, now).unwrap().is_ok() {
                    let period = quota.period_at(now);
                    if period != day {
                        (day, used) = (period, 0);
                    }
                    used += u64::from(cost);
                    prop_assert!(used <= count, "{used} of {count}");
                    let held = row.unwrap().at(quota, now).spent;
                    prop_assert!(held.period == period && held.used >= used);
                    let lost = quotas.status(number, now).unwrap().used();
                    prop_assert!(held.used <= lost + quota.block() + 9, "{held:?} of {lost}");
                },
            }
        }
    }
}

/// After an end without a crash nothing is lost, and the next day finds a block.
#[test]
fn a_strict_quota_ends_and_goes_on() {
    let quotas = Quotas::default();
    let mut numbers = KeyNumbers::default();
    let quota = Quota::per_day(1000).strict();
    let number = quotas.set(&mut numbers, 7, Some(quota));
    assert!(quotas.lacks_block());
    let grant = |need: &Need| {
        quotas.grant(need, Grant { here: need.here, elsewhere: None, ahead: need.ahead });
    };
    let needs = quotas.needs_of_new(NOW);
    assert_eq!(needs.iter().map(|need| (need.here.used, need.ahead)).collect::<Vec<_>>(), [(10, None)]);
    grant(&needs[0]);
    assert!(quotas.lacks_block());
    quotas.reserved_new();
    assert!(!quotas.lacks_block() && quotas.needs(NOW).is_empty());
    quotas.charge(number, 4, None, NOW).unwrap().unwrap();
    assert!(!quotas.is_urgent() && quotas.needs(NOW).is_empty());
    quotas.charge(number, 1, None, NOW).unwrap().unwrap();
    assert!(quotas.is_urgent(), "half of the block is used");
    let needs = quotas.needs(NOW);
    assert_eq!(needs[0].here.used, 15);
    grant(&needs[0]);
    // A request that costs more than a block gets one that is large enough.
    assert!(quotas.charge(number, 300, None, NOW).unwrap().is_err());
    let needs = quotas.needs(NOW);
    assert_eq!(needs[0].here.used, 315);
    grant(&needs[0]);
    quotas.charge(number, 300, None, NOW).unwrap().unwrap();
    // Just before midnight there is a block for the next day.
    let midnight = quota.end_of(quota.period_at(NOW)).unwrap().timestamp_millis();
    let needs = quotas.needs(midnight - 1000);
    assert_eq!(needs[0].ahead, Some(Spent { period: quota.period_at(midnight), used: 10 }));
    grant(&needs[0]);
    assert!(quotas.charge(number, 10, None, midnight).unwrap().is_ok());
    assert_eq!(quotas.status(number, NOW).unwrap().used(), 10);
    let ended = quotas.end_strict();
    assert_eq!(ended[0].row(), (7, Row { spent: Spent { period: quota.period_at(midnight), used: 10 }, ahead: None }));
    assert!(quotas.unwritten().is_empty(), "it is written by blocks alone");
}

fn reserve(quotas: &Quotas, row: &mut Option<Row>, now: i64) {
    for need in quotas.needs(now) {
        *row = Some(need.row().1);
        quotas.grant(&need, Grant { here: need.here, elsewhere: None, ahead: need.ahead });
    }
}

/// How many requests pass at a time, with what the store reserves for them, until they are refused for good.
fn use_up(quotas: &Quotas, number: u32, row: &mut Option<Row>, now: i64) -> u64 {
    let mut all = 0;
    for _ in 0..100_000 {
        match quotas.charge(number, 1, None, now).unwrap() {
            Ok(_) => all += 1,
            Err(Refused::UsedUp(_)) => return all,
            Err(Refused::Waits(_)) => reserve(quotas, row, now),
            Err(Refused::Ended) => panic!("it has ended"),
        }
    }
    panic!("it waits for ever after {all}");
}

fn opened(quota: Quota, row: Option<Row>, now: i64) -> (Quotas, u32) {
    let (quotas, mut numbers) = (Quotas::default(), KeyNumbers::default());
    let number = quotas.set(&mut numbers, 7, Some(quota));
    if row.is_some() {
        quotas.restore(&numbers, 7, row, now);
    }
    (quotas, number)
}

/// A clock that was a day ahead for a moment gives no day twice.
#[test]
fn a_day_that_was_used_stays_used_after_a_clock_was_ahead() {
    let (quotas, number) = opened(Quota::per_day(1000).strict(), None, NOW);
    let mut row = None;
    assert_eq!(use_up(&quotas, number, &mut row, NOW), 1000);
    reserve(&quotas, &mut row, NOW + DAY);
    quotas.charge(number, 1, None, NOW + DAY).unwrap().unwrap();
    quotas.trust_clock(NOW);
    assert_eq!(use_up(&quotas, number, &mut row, NOW), 0);
}

/// A process uses what is reserved for the next day, and is killed; the next one begins before midnight by its clock.
#[test]
fn what_was_used_of_what_is_reserved_ahead_stays_used_if_the_clock_is_set_back() {
    let quota = Quota::per_day(1000).strict();
    let midnight = quota.end_of(quota.period_at(NOW)).unwrap().timestamp_millis();
    let (quotas, number) = opened(quota, None, NOW);
    let mut row = None;
    reserve(&quotas, &mut row, midnight - 1000);
    let before = (0..100).filter(|_| quotas.charge(number, 1, None, midnight + 500).unwrap().is_ok()).count() as u64;
    assert_eq!(before, 10);
    let (quotas, number) = opened(quota, row, midnight - 500);
    reserve(&quotas, &mut row, midnight - 500);
    let after = use_up(&quotas, number, &mut row, midnight + 1000);
    assert!(before + after <= 1000, "{before} and {after}");
}

/// A quota is strict, then is not for a while, in which what was used is written, and then is again.
#[test]
fn a_quota_that_is_strict_again_has_what_is_on_the_disk() {
    let (quotas, mut numbers) = (Quotas::default(), KeyNumbers::default());
    let (plain, strict) = (Quota::per_day(1000), Quota::per_day(1000).strict());
    let number = quotas.set(&mut numbers, 7, Some(strict));
    let mut row = None;
    reserve(&quotas, &mut row, NOW);
    (0..3).for_each(|_| _ = quotas.charge(number, 1, None, NOW).unwrap().unwrap());
    quotas.set(&mut numbers, 7, Some(plain));
    let unwritten = quotas.unwritten();
    row = Some(unwritten[0].row().1);
    quotas.note_written(&unwritten);
    quotas.set(&mut numbers, 7, Some(strict));
    // `reserve_first_blocks`
    for need in quotas.needs_of_new(NOW) {
        row = Some(need.row().1);
        quotas.grant(&need, Grant { here: need.here, elsewhere: None, ahead: need.ahead });
    }
    let used = 3 + (0..100).take_while(|_| quotas.charge(number, 1, None, NOW).unwrap().is_ok()).count() as u64;
    let held = row.unwrap().spent.used;
    assert!(held >= used, "the disk has {held}, and {used} were used");
}

/// A request that costs more than a block comes again each second, among others that cost little.
#[test]
fn a_large_cost_passes_among_small_ones() {
    let (quotas, number) = opened(Quota::total(100_000).strict(), None, NOW);
    let mut row = None;
    let passes = (0..20).any(|_| {
        reserve(&quotas, &mut row, NOW);
        quotas.charge(number, 1, None, NOW).unwrap().unwrap();
        quotas.charge(number, 5_000, None, NOW).unwrap().is_ok()
    });
    assert!(passes);
}

/// A process that is killed again and again right after it has begun.
#[test]
fn kills_without_a_use_lose_no_more_than_a_block() {
    let quota = Quota::total(1000).strict();
    let mut row = None;
    for _ in 0..100 {
        let (quotas, number) = opened(quota, row, NOW);
        if row.is_some() {
            quotas.cautious.lock().unwrap().insert(number);
        }
        reserve(&quotas, &mut row, NOW);
    }
    assert!(row.unwrap().spent.used <= 20, "{row:?}");
}
