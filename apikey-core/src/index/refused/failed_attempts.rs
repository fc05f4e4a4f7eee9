//! Budgets of failed attempts, for each address.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::access::peer::Peer;
use crate::index::refused::charge::{Charge, TIMES};

/// The number of sets, and of entries in each: 32,768 entries in 256 KiB.
const SETS: usize = 4096;
const WAYS: usize = 8;
/// The low bits of an entry: milliseconds, which begin again after 34 years.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;
/// The low bits of a tag: which budget it has, from 1.
const WIDTH_BITS: u32 = 2;

/// A budget for each source address: `count` attempts may fail at once, and one more after each step.
///
/// The table has a fixed size. A keyed hash, which callers cannot predict, chooses the set of eight slots for an
/// address. If the set is full, the address with the most left of its budget makes room; one with nothing left never
/// does, and then the newcomer does not count. So a flood of addresses evicts only those that have failed little, and
/// to hide its own failures it must first use up the budgets of some 32,768 addresses, and go on doing so.
///
/// **No address is limited for longer than the span, whatever the clock does.** An entry counts only while its end is
/// in the future, and by at most the span: an end further ahead comes from another setting of the clock, and its
/// address begins anew. If the clock goes back, every address begins anew, since the entries would otherwise last
/// longer by that time.
pub(crate) struct FailedAttempts {
    /// The tag of a charge, and the time at which its budget is whole again. An entry is free if it is 0 or if its time
    /// has passed.
    entries: Box<[AtomicU64]>,
    hasher: RandomState,
    /// The newest time read from the clock.
    newest: AtomicI64,
    budgets: [Budget; TIMES.len()],
}

/// A budget, in milliseconds.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    /// The time from one attempt to the next.
    step: u64,
    /// The time for all attempts.
    span: u64,
}

impl FailedAttempts {
    /// The longest period, in milliseconds: 31 days.
    pub(crate) const MAX_PER: i64 = 31 * 86_400_000;

    /// Budgets of `count` failures per `per` milliseconds, both 1 or more; rounded so that no more than that may fail.
    pub(crate) fn new(count: u32, per: u64) -> Self {
        let budget = |times: u32| {
            let count = u64::from(count.max(1)) * u64::from(times);
            let step = per.div_ceil(count).max(1);
            Budget { step, span: step * count }
        };
        Self {
            entries: std::iter::repeat_with(AtomicU64::default).take(SETS * WAYS).collect(),
            hasher: RandomState::new(),
            newest: AtomicI64::new(i64::MIN),
            budgets: TIMES.map(budget),
        }
    }

    /// Checks that one more attempt of this peer may fail. The clock is in milliseconds, and somebody may set it.
    ///
    /// # Errors
    /// A budget is used up: returns the time until one more attempt may fail.
    pub(crate) fn admit(&self, peer: Peer, clock: impl FnOnce() -> i64) -> Result<(), Duration> {
        let now = self.read(clock);
        let waits = Charge::of(peer).map(|charge| {
            let (set, tag) = self.place(charge);
            let words = set.iter().map(|entry| entry.load(Ordering::Relaxed));
            words.into_iter().find(|word| word >> TIME_BITS == tag).map_or(0, |word| self.wait(word, now))
        });
        match waits.max() {
            None | Some(0) => Ok(()),
            Some(wait) => Err(Duration::from_millis(wait)),
        }
    }

    /// Counts a failed attempt.
    pub(crate) fn note(&self, peer: Peer, clock: impl FnOnce() -> i64) {
        let now = self.read(clock);
        Charge::of(peer).for_each(|charge| self.charge(charge, now));
    }

    fn charge(&self, charge: Charge, now: u64) {
        let (set, tag) = self.place(charge);
        // Other threads write here, too; after some tries this failure does not count.
        for _ in 0..WAYS {
            let held = set.iter().map(|entry| (entry, entry.load(Ordering::Relaxed)));
            let rank =
                |held: &(&AtomicU64, u64)| if held.1 >> TIME_BITS == tag { 0 } else { 1 + self.used(held.1, now) };
            let Some((entry, word)) = held.min_by_key(rank) else { return };
            let is_own = word >> TIME_BITS == tag;
            if !is_own && self.wait(word, now) > 0 {
                return;
            }
            let Budget { step, span } = self.budget(tag);
            let used = if is_own { self.used(word, now) } else { 0 };
            let whole_at = now + (used + step).min(span);
            let new = tag << TIME_BITS | whole_at & TIME;
            if entry.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Milliseconds until the budget of an entry is whole; 0 if it is, or if the entry is of another time.
    fn used(&self, word: u64, now: u64) -> u64 {
        let ahead = word.wrapping_sub(now) & TIME;
        if ahead <= self.budget(word >> TIME_BITS).span { ahead } else { 0 }
    }

    /// Milliseconds until one more attempt may fail; 0 for now.
    fn wait(&self, word: u64, now: u64) -> u64 {
        let Budget { step, span } = self.budget(word >> TIME_BITS);
        (self.used(word, now) + step).saturating_sub(span)
    }

    /// The budget of a tag; an empty one where there is none.
    fn budget(&self, tag: u64) -> Budget {
        let width = usize::try_from(tag & ((1 << WIDTH_BITS) - 1)).unwrap_or(0);
        width.checked_sub(1).and_then(|width| self.budgets.get(width)).copied().unwrap_or_default()
    }

    /// The entries in which a charge may be, and its tag: 22 bits of its hash, and which budget it has. Two charges in
    /// one set have the same tag once in millions, and then share a budget.
    fn place(&self, charge: Charge) -> (&[AtomicU64], u64) {
        let hash = self.hasher.hash_one(charge);
        let set = usize::try_from(hash % SETS as u64).unwrap_or(0);
        let entries = self.entries.get(set * WAYS..(set + 1) * WAYS).unwrap_or_default();
        let tag = hash >> (TIME_BITS + WIDTH_BITS) << WIDTH_BITS | (charge.width() as u64 + 1);
        (entries, tag)
    }

    /// Reads the clock, and starts all budgets anew if it has gone back.
    fn read(&self, clock: impl FnOnce() -> i64) -> u64 {
        // Load this before reading the clock: an earlier reading by another thread is then later only if somebody has
        // set the clock.
        let newest = self.newest.load(Ordering::Acquire);
        let now = clock();
        if now > newest {
            self.newest.fetch_max(now, Ordering::AcqRel);
        } else if now < newest && self.newest.compare_exchange(newest, now, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        {
            self.entries.iter().for_each(|entry| entry.store(0, Ordering::Relaxed));
        }
        now.cast_unsigned() & TIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::net::IpAddr;

    const START: i64 = 1_900_000_000_000;

    fn v4(number: u32) -> Peer {
        Peer::Known(IpAddr::V4(number.into()))
    }

    fn fail(budget: &FailedAttempts, peer: Peer, now: i64, times: usize) {
        (0..times).for_each(|_| budget.note(peer, || now));
    }

    #[test]
    fn so_many_may_fail_and_then_one_after_each_step() {
        let budget = FailedAttempts::new(3, 60_000);
        let peer = v4(1);
        fail(&budget, peer, START, 2);
        assert_eq!(budget.admit(peer, || START), Ok(()));
        fail(&budget, peer, START, 5);
        assert_eq!(budget.admit(peer, || START), Err(Duration::from_secs(20)));
        assert_eq!(budget.admit(v4(2), || START), Ok(()));
        assert_eq!(budget.admit(peer, || START + 19_999), Err(Duration::from_millis(1)));
        assert_eq!(budget.admit(peer, || START + 20_000), Ok(()));
        fail(&budget, peer, START + 20_000, 1);
        assert!(budget.admit(peer, || START + 20_001).is_err());
        assert_eq!(budget.admit(peer, || START + 80_000), Ok(()));
    }

    #[test]
    fn where_the_clock_is_set_all_begin_anew() {
        let budget = FailedAttempts::new(3, 60_000);
        let far = 86_400_000 * 365 * 40;
        // Back by a moment, back to before it began, ahead, and ahead by more than the bits of an entry hold.
        let mut now = START;
        for step in [-1, -30_000, -86_400_000, -far, 60_000, 86_400_000, far] {
            fail(&budget, v4(1), now, 3);
            assert!(budget.admit(v4(1), || now).is_err(), "{step}");
            assert!(budget.admit(v4(1), || now + 1).is_err(), "{step}");
            now += 1 + step;
            assert_eq!(budget.admit(v4(1), || now), Ok(()), "{step}");
        }
        fail(&budget, v4(1), now, 3);
        assert!(budget.admit(v4(1), || now + 19_999).is_err(), "and from there it counts as ever");
    }

    #[test]
    fn networks_of_ipv6() {
        let budget = FailedAttempts::new(1, 1000);
        let peer = |text: &str| Peer::Known(text.parse().unwrap());
        fail(&budget, peer("2001:db8::1"), START, 1);
        assert!(budget.admit(peer("2001:db8::ffff:1"), || START).is_err());
        assert!(budget.admit(peer("2001:db8:0:1::1"), || START).is_ok());
        fail(&budget, peer("::ffff:192.0.2.1"), START, 1);
        assert!(budget.admit(peer("192.0.2.1"), || START).is_err());
        assert!(budget.admit(peer("::1"), || START).is_ok());
    }

    #[test]
    fn wider_networks_have_larger_budgets() {
        let budget = FailedAttempts::new(5, 60_000);
        let subnet = |number: u16| Peer::Known(IpAddr::from([0x2001, 0xdb8, 7, number, 0, 0, 0, 1]));
        (0..20).for_each(|number| budget.note(subnet(number), || START));
        assert!(budget.admit(subnet(99), || START).is_err(), "its /56 has failed four times what an address may");
        assert!(budget.admit(subnet(0x100), || START).is_ok(), "and another one has not");
        (1..13).for_each(|home| fail(&budget, subnet(home << 8), START, 5));
        assert!(budget.admit(subnet(0xff00), || START).is_err(), "the /48 has failed sixteen times as often");
        assert!(budget.admit(subnet(0xff00), || START + 60_000 / 80).is_ok(), "and has one back as much sooner");
    }

    #[test]
    fn who_is_not_known_is_charged_to_the_proxy_or_to_all() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let peers = [
            Peer::Behind(address("10.0.0.1")),
            Peer::Behind(address("::1")),
            Peer::Known(address("10.0.0.1")),
            Peer::Known(address("::1")),
            Peer::Unknown,
        ];
        for charged in peers {
            let budget = FailedAttempts::new(1, 1000);
            fail(&budget, charged, START, 1);
            let refused: Vec<_> = peers.into_iter().filter(|peer| budget.admit(*peer, || START).is_err()).collect();
            assert_eq!(refused, [charged]);
        }
        let budget = FailedAttempts::new(1, 1000);
        fail(&budget, Peer::Behind(address("::ffff:10.0.0.1")), START, 1);
        assert!(budget.admit(Peer::Behind(address("10.0.0.1")), || START).is_err());
    }

    #[test]
    fn a_flood_does_not_free_who_is_punished() {
        let budget = FailedAttempts::new(10, 60_000);
        let punished: Vec<Peer> = (0..1000).map(v4).collect();
        punished.iter().for_each(|peer| fail(&budget, *peer, START, 10));
        let refused = || punished.iter().filter(|peer| budget.admit(**peer, || START + 1000).is_err()).count();
        let before = refused();
        assert!(before >= 999, "{before}: a set of eight has hardly more than eight of a thousand");
        (0..500_000).for_each(|number| budget.note(v4(0x1000_0000 + number), || START + 1000));
        assert_eq!(refused(), before);
        assert_eq!(budget.entries.len(), 32_768, "and takes no memory");
    }

    #[test]
    fn in_a_set_full_of_punished_a_newcomer_is_not_counted() {
        let budget = FailedAttempts::new(4, 60_000);
        let punished: Vec<Peer> = (0..150_000).map(v4).collect();
        punished.iter().for_each(|peer| fail(&budget, *peer, START, 4));
        let refused = |peers: &[Peer]| peers.iter().filter(|peer| budget.admit(**peer, || START).is_err()).count();
        let before = refused(&punished);
        assert!(before >= SETS * WAYS, "{before}: every place is taken");
        let newcomers: Vec<Peer> = (0..10_000).map(|number| v4(0x2000_0000 + number)).collect();
        newcomers.iter().for_each(|peer| fail(&budget, *peer, START, 9));
        assert_eq!(refused(&punished), before);
        assert!(refused(&newcomers) <= 5, "but for those taken for another");
    }

    #[test]
    fn whole_budgets_make_room() {
        let budget = FailedAttempts::new(1, 1000);
        (0..200_000).for_each(|number| budget.note(v4(number), || START));
        // Their time has passed, so newcomers count.
        let counted = (0..1000).filter(|number| {
            let peer = v4(0x2000_0000 + number);
            budget.note(peer, || START + 1000);
            budget.admit(peer, || START + 1000).is_err()
        });
        assert!(counted.count() >= 999);
    }

    proptest! {
        #[test]
        fn any_clock(
            count in 1u32..10_000,
            per in 1u64..=FailedAttempts::MAX_PER as u64,
            times in proptest::collection::vec(any::<i64>(), 1..20),
        ) {
            let budget = FailedAttempts::new(count, per);
            for now in times {
                budget.note(v4(7), || now);
                if let Err(wait) = budget.admit(v4(7), || now) {
                    let wait = i64::try_from(wait.as_millis()).unwrap();
                    prop_assert_eq!(budget.admit(v4(7), || now.saturating_add(wait)), Ok(()));
                }
            }
        }
    }
}
