//! How many attempts of an address may fail.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::peer::Peer;

/// Sets of entries, and entries in each: 32,768 addresses in 256 KiB.
const SETS: usize = 4096;
const WAYS: usize = 8;
/// The low bits of an entry: milliseconds since the budget was made, 34 years.
const TIME_BITS: u32 = 40;
const TIME: u64 = (1 << TIME_BITS) - 1;

/// A budget for each source address: so many attempts may fail at once, and one more after each step.
///
/// The table has a fixed size. An address has its place in one set of eight, chosen by a hash that nobody outside can know.
/// Where a set is full, the address that has the most left of its budget makes room; one that has nothing left does not:
/// then the newcomer is not counted. So a flood of addresses throws out only those that have failed little, and to keep its
/// own failures from being counted it must first use up the budgets of some 32,768 addresses, and go on doing so.
pub(crate) struct FailedAttempts {
    /// The tag of an address, and when its budget is whole again. 0 is free, and so is one whose time has come.
    entries: Box<[AtomicU64]>,
    hasher: RandomState,
    /// The time from which entries count.
    base: i64,
    /// Milliseconds from one attempt to the next, and for all of them.
    step: u64,
    span: u64,
}

impl FailedAttempts {
    /// The longest period, in milliseconds: 31 days.
    pub(crate) const MAX_PER: i64 = 31 * 86_400_000;

    /// `count` is 1 or more, `per` too; rounded so that no more than that may fail.
    pub(crate) fn new(count: u32, per: u64, now: i64) -> Self {
        let step = per.div_ceil(count.max(1).into()).max(1);
        Self {
            entries: std::iter::repeat_with(AtomicU64::default).take(SETS * WAYS).collect(),
            hasher: RandomState::new(),
            base: now,
            step,
            span: step * u64::from(count),
        }
    }

    /// Whether one more attempt of this address may fail.
    ///
    /// # Errors
    /// Its budget is used up: the time until one more may.
    pub(crate) fn admit(&self, peer: Peer, now: i64) -> Result<(), Duration> {
        let (set, tag) = self.place(peer);
        let now = self.time(now);
        let held = set.iter().map(|entry| (entry, entry.load(Ordering::Relaxed)));
        let Some((entry, word)) = held.into_iter().find(|(_, word)| word >> TIME_BITS == tag) else { return Ok(()) };
        let latest = now + self.span;
        if word & TIME > latest {
            // The clock was set back: the budget is used up, and no more than that.
            let _ = entry.compare_exchange(word, tag << TIME_BITS | latest, Ordering::Relaxed, Ordering::Relaxed);
        }
        let next = (word & TIME).clamp(now, latest) + self.step;
        if next > latest { Err(Duration::from_millis(next - latest)) } else { Ok(()) }
    }

    /// Counts a failed attempt.
    pub(crate) fn note(&self, peer: Peer, now: i64) {
        let (set, tag) = self.place(peer);
        let now = self.time(now);
        let latest = now + self.span;
        // Others write here, too; what is lost to them after some tries is one failure that is not counted.
        for _ in 0..WAYS {
            let least = |entry: &(&AtomicU64, u64)| if entry.1 >> TIME_BITS == tag { 0 } else { 1 + (entry.1 & TIME) };
            let held = set.iter().map(|entry| (entry, entry.load(Ordering::Relaxed)));
            let Some((entry, word)) = held.min_by_key(least) else { return };
            let is_own = word >> TIME_BITS == tag;
            if !is_own && (word & TIME) + self.step > latest {
                return;
            }
            let full_at = if is_own { (word & TIME).clamp(now, latest) } else { now };
            let new = tag << TIME_BITS | (full_at + self.step).min(latest).min(TIME);
            if entry.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// The entries in which an address may be, and its tag: 24 bits that are not 0. Two addresses in one set have the same
    /// tag once in millions, and then share a budget.
    fn place(&self, peer: Peer) -> (&[AtomicU64], u64) {
        let hash = self.hasher.hash_one(Source::of(peer));
        let set = usize::try_from(hash % SETS as u64).unwrap_or(0);
        let entries = self.entries.get(set * WAYS..(set + 1) * WAYS).unwrap_or_default();
        (entries, (hash >> TIME_BITS).max(1))
    }

    fn time(&self, now: i64) -> u64 {
        // What is 34 years on does not fit: there the budget stands still, and nobody is refused for ever.
        u64::try_from(now.saturating_sub(self.base)).unwrap_or(0).min(TIME - self.span)
    }
}

/// To whom a failed attempt is charged.
#[derive(Hash)]
enum Source {
    V4(u32),
    /// Who has an address of IPv6 has its /64.
    V6(u64),
    /// All for whom this proxy does not say who they are. Apart from the proxy's own address.
    Behind(IpAddr),
    /// All of whom nothing is known.
    Unknown,
}

impl Source {
    fn of(peer: Peer) -> Self {
        match peer {
            Peer::Known(address) => match address.to_canonical() {
                IpAddr::V4(v4) => Self::V4(v4.to_bits()),
                IpAddr::V6(v6) => Self::V6(u64::try_from(v6.to_bits() >> 64).unwrap_or_default()),
            },
            Peer::Behind(proxy) => Self::Behind(proxy.to_canonical()),
            Peer::Unknown => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: i64 = 1_900_000_000_000;

    fn v4(number: u32) -> Peer {
        Peer::Known(IpAddr::V4(number.into()))
    }

    fn fail(budget: &FailedAttempts, peer: Peer, now: i64, times: usize) {
        (0..times).for_each(|_| budget.note(peer, now));
    }

    #[test]
    fn so_many_may_fail_and_then_one_after_each_step() {
        let budget = FailedAttempts::new(3, 60_000, START);
        let peer = v4(1);
        fail(&budget, peer, START, 2);
        assert_eq!(budget.admit(peer, START), Ok(()));
        fail(&budget, peer, START, 5);
        assert_eq!(budget.admit(peer, START), Err(Duration::from_secs(20)));
        assert_eq!(budget.admit(v4(2), START), Ok(()));
        assert_eq!(budget.admit(peer, START + 19_999), Err(Duration::from_millis(1)));
        assert_eq!(budget.admit(peer, START + 20_000), Ok(()));
        fail(&budget, peer, START + 20_000, 1);
        assert!(budget.admit(peer, START + 20_001).is_err());
        assert_eq!(budget.admit(peer, START + 80_000), Ok(()));
        let day = START + 86_400_000;
        fail(&budget, peer, day, 3);
        assert!(budget.admit(peer, START + 100_000).is_err(), "the clock was set back");
        assert!(budget.admit(peer, START + 119_999).is_err());
        assert_eq!(budget.admit(peer, START + 120_000), Ok(()));
    }

    #[test]
    fn ipv6_by_64_bits() {
        let budget = FailedAttempts::new(1, 1000, START);
        let peer = |text: &str| Peer::Known(text.parse().unwrap());
        fail(&budget, peer("2001:db8::1"), START, 1);
        assert!(budget.admit(peer("2001:db8::ffff:1"), START).is_err());
        assert!(budget.admit(peer("2001:db8:0:1::1"), START).is_ok());
        fail(&budget, peer("::ffff:192.0.2.1"), START, 1);
        assert!(budget.admit(peer("192.0.2.1"), START).is_err());
        assert!(budget.admit(peer("::1"), START).is_ok());
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
            let budget = FailedAttempts::new(1, 1000, START);
            fail(&budget, charged, START, 1);
            let refused: Vec<_> = peers.into_iter().filter(|peer| budget.admit(*peer, START).is_err()).collect();
            assert_eq!(refused, [charged]);
        }
        let budget = FailedAttempts::new(1, 1000, START);
        fail(&budget, Peer::Behind(address("::ffff:10.0.0.1")), START, 1);
        assert!(budget.admit(Peer::Behind(address("10.0.0.1")), START).is_err());
    }

    #[test]
    fn a_flood_does_not_free_who_is_punished() {
        let budget = FailedAttempts::new(10, 60_000, START);
        let punished: Vec<Peer> = (0..1000).map(v4).collect();
        punished.iter().for_each(|peer| fail(&budget, *peer, START, 10));
        let refused = || punished.iter().filter(|peer| budget.admit(**peer, START + 1000).is_err()).count();
        let before = refused();
        assert!(before >= 999, "{before}: a set of eight has hardly more than eight of a thousand");
        (0..500_000).for_each(|number| budget.note(v4(0x1000_0000 + number), START + 1000));
        assert_eq!(refused(), before);
        assert_eq!(budget.entries.len(), 32_768, "and takes no memory");
    }

    #[test]
    fn in_a_set_full_of_punished_a_newcomer_is_not_counted() {
        let budget = FailedAttempts::new(4, 60_000, START);
        let punished: Vec<Peer> = (0..150_000).map(v4).collect();
        punished.iter().for_each(|peer| fail(&budget, *peer, START, 4));
        let refused = |peers: &[Peer]| peers.iter().filter(|peer| budget.admit(**peer, START).is_err()).count();
        let before = refused(&punished);
        assert!(before >= SETS * WAYS, "{before}: every place is taken");
        let newcomers: Vec<Peer> = (0..10_000).map(|number| v4(0x2000_0000 + number)).collect();
        newcomers.iter().for_each(|peer| fail(&budget, *peer, START, 9));
        assert_eq!(refused(&punished), before);
        assert!(refused(&newcomers) <= 5, "but for those taken for another");
    }

    #[test]
    fn whole_budgets_make_room() {
        let budget = FailedAttempts::new(1, 1000, START);
        (0..200_000).for_each(|number| budget.note(v4(number), START));
        // Their time is over: who comes now is counted.
        let counted = (0..1000).filter(|number| {
            let peer = v4(0x2000_0000 + number);
            budget.note(peer, START + 1000);
            budget.admit(peer, START + 1000).is_err()
        });
        assert!(counted.count() >= 999);
    }

    proptest! {
        #[test]
        fn any_clock(count in 1u32..10_000, per in 1u64..=FailedAttempts::MAX_PER as u64, times in proptest::collection::vec(any::<i64>(), 1..20)) {
            let budget = FailedAttempts::new(count, per, START);
            for now in times {
                budget.note(v4(7), now);
                let _ = budget.admit(v4(7), now);
            }
        }
    }
}
