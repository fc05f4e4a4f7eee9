//! An address has a budget of attempts that fail.

use std::net::IpAddr;
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use apikey::{Attempt, AuthError, KeyStore, KeyUpdate, ManualClock, OpenError, Peer, Requirement};
use apikey_testkit::{alice, clocked, hours, ms, start, with_wrong_secret};
use chrono::TimeDelta;
use proptest::prelude::*;

use crate::proptest_config::cases;

fn budgeted(count: u32, per: TimeDelta) -> (KeyStore, ManualClock) {
    let clock = ManualClock::new(start());
    (KeyStore::builder().clock(clock.clone()).failed_attempts(count, per).temporary().unwrap(), clock)
}

fn from(store: &KeyStore, token: &str, peer: &str) -> &'static str {
    let attempt = Attempt::new(token).peer(IpAddr::from_str(peer).unwrap());
    store.check(&attempt).map_or_else(|error| error.code(), |_| "ok")
}

#[test]
fn the_store_verifies_nothing_from_an_address_that_guesses_too_much() {
    let (store, clock) = budgeted(3, TimeDelta::seconds(30));
    let good = store.create(alice()).unwrap();
    let good = good.key.expose_secret();
    let bad = with_wrong_secret(good);
    for token in [&*bad, "nonsense", ""] {
        assert_eq!(from(&store, token, "192.0.2.1"), "invalid_api_key");
    }
    let refused = store.check(&Attempt::new(&bad).peer(IpAddr::from([192, 0, 2, 1]))).unwrap_err();
    assert_eq!(refused, AuthError::RateLimited { retry_after: Duration::from_secs(10), limit: None });
    assert_eq!(store.refuse(&refused).header("retry-after"), Some("10"));
    assert_eq!(store.refuse(&refused).header("ratelimit"), None, "it is not the key's limit");
    // Not a good key either: to find it good, the store would have to verify every guess.
    assert_eq!(from(&store, good, "192.0.2.1"), "rate_limited");
    assert_eq!(from(&store, good, "192.0.2.2"), "ok");
    clock.advance(ms(10_000));
    assert_eq!(from(&store, good, "192.0.2.1"), "ok");
    assert_eq!(from(&store, &bad, "192.0.2.1"), "invalid_api_key");
    assert_eq!(from(&store, &bad, "192.0.2.1"), "rate_limited");
    clock.advance(hours(1));
    let guesses = (0..10).filter(|_| from(&store, &bad, "192.0.2.1") == "invalid_api_key").count();
    assert_eq!(guesses, 3);
}

#[test]
fn only_what_is_invalid_counts() {
    let (store, _) = budgeted(1, hours(1));
    let key = store.create(alice().permissions(["a"]).networks(["10.0.0.0/8"])).unwrap();
    let (id, token) = (key.info.id(), key.key.expose_secret());
    let needs = Requirement::permission("b").unwrap();
    for _ in 0..5 {
        assert_eq!(from(&store, token, "192.0.2.1"), "address_not_allowed");
        let attempt = Attempt::new(token).peer(IpAddr::from([10, 0, 0, 1])).needs(&needs);
        assert_eq!(store.check(&attempt).unwrap_err().code(), "insufficient_permission");
        assert_eq!(from(&store, token, "10.0.0.1"), "ok");
    }
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!((0..5).map(|_| from(&store, token, "10.0.0.1")).collect::<Vec<_>>(), ["disabled_api_key"; 5]);
    store.revoke(id, "left").unwrap();
    assert_eq!((0..5).map(|_| from(&store, token, "10.0.0.1")).collect::<Vec<_>>(), ["revoked_api_key"; 5]);
    store.close().unwrap();
    assert_eq!((0..5).map(|_| from(&store, token, "10.0.0.1")).collect::<Vec<_>>(), ["unavailable"; 5]);
}

/// An unknown address has a budget too; a caller without any, such as a local one, has none.
#[test]
fn attempts_from_an_unknown_address_are_charged_too() {
    let (store, _) = budgeted(2, hours(1));
    let proxies = [Peer::Behind(IpAddr::from([10, 0, 0, 1])), Peer::Behind(IpAddr::from([10, 0, 0, 2]))];
    let ask = |peer: Peer| store.check(&Attempt::new("nonsense").peer(peer)).unwrap_err().code();
    for peer in [proxies[0], proxies[1], Peer::Unknown] {
        assert_eq!([0; 3].map(|_| ask(peer)), ["invalid_api_key", "invalid_api_key", "rate_limited"], "{peer}");
    }
    assert_eq!(store.check(&Attempt::new("nonsense")).unwrap_err().code(), "rate_limited", "as if nothing were said");
    // The proxy's own address, which may have keys of its own, has another budget.
    assert_eq!(from(&store, "nonsense", "10.0.0.1"), "invalid_api_key");
    for _ in 0..5 {
        assert_eq!(store.verify("nonsense").unwrap_err(), AuthError::Invalid);
    }
}

#[test]
fn without_a_budget_nothing_is_counted() {
    let (store, _) = clocked();
    assert_eq!((0..100).filter(|_| from(&store, "nonsense", "192.0.2.1") == "invalid_api_key").count(), 100);
}

/// What a service goes through in real time.
#[derive(Debug, Clone)]
enum Happens {
    /// This caller tries a bad key.
    Guess(usize),
    /// So many milliseconds pass.
    Wait(i64),
    /// An administrator moves the clock by so many milliseconds.
    Set(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let years = 60 * 365 * 86_400_000_i64;
    prop_oneof![
        6 => (0usize..4).prop_map(Happens::Guess),
        3 => (0i64..4000).prop_map(Happens::Wait),
        1 => prop_oneof![-5i64..5, -20_000i64..20_000, -years..years].prop_map(Happens::Set),
    ]
}

proptest! {
    #![proptest_config(cases(4))]

    /// The store refuses nobody for longer than the span of real time, whatever its clock was set to. Where nobody has set
    /// the clock, it verifies a caller who has waited as `Retry-After` says.
    #[test]
    fn nobody_is_refused_for_longer_than_the_span(
        count in 1u32..6,
        happens in proptest::collection::vec(happens(), 1..120),
    ) {
        let span = 10_000_i64;
        let (store, clock) = budgeted(count, ms(span));
        // The budget is rounded up to whole milliseconds an attempt.
        let longest = span + i64::from(count);
        let peers = [
            Peer::Known(IpAddr::from([192, 0, 2, 1])),
            Peer::Known("2001:db8::1".parse().unwrap()),
            Peer::Behind(IpAddr::from([10, 0, 0, 1])),
            Peer::Unknown,
        ];
        let guess = |peer: Peer| store.check(&Attempt::new("nonsense").peer(peer)).unwrap_err();
        let mut passed = 0;
        let mut last_failed = [None; 4];
        // The part of a step back that leaves the clock ahead of what the store has read: nothing shows it.
        let mut unseen = [0; 4];
        let shown = || apikey::Clock::now(&clock).timestamp_millis();
        let mut read = (passed, shown());
        for one in happens {
            match one {
                Happens::Wait(wait) => {
                    passed += wait;
                    clock.advance(ms(wait));
                }
                Happens::Set(by) => clock.advance(ms(by)),
                Happens::Guess(at) => {
                    let showed = shown() - read.1;
                    if showed >= 0 {
                        unseen.iter_mut().for_each(|unseen| *unseen += (passed - read.0 - showed).max(0));
                    }
                    read = (passed, shown());
                    match guess(peers[at]) {
                    AuthError::Invalid => (last_failed[at], unseen[at]) = (Some(passed), 0),
                    AuthError::RateLimited { retry_after, limit: None } => {
                        let since = passed - last_failed[at].unwrap() - unseen[at];
                        prop_assert!(since < longest, "{} refused {since} ms after its last failure", peers[at]);
                        let wait = i64::try_from(retry_after.as_millis()).unwrap();
                        prop_assert!(wait <= longest);
                        if wait % 2 == 0 {
                            passed += wait;
                            clock.advance(ms(wait));
                            prop_assert_eq!(guess(peers[at]), AuthError::Invalid, "it waited as `Retry-After` says");
                            (last_failed[at], unseen[at]) = (Some(passed), 0);
                            read = (passed, shown());
                        }
                    }
                    other => prop_assert!(false, "{other}"),
                    }
                }
            }
        }
    }
}

#[test]
fn a_site_of_ipv6_has_some_budgets_and_not_65_536() {
    let (store, _) = budgeted(5, hours(1));
    let fails = |site: u16, subnet: u16| {
        let peer = IpAddr::from([0x2001, 0xdb8, site, subnet, 0, 0, 0, 1]);
        store.check(&Attempt::new("nonsense").peer(peer)).unwrap_err() == AuthError::Invalid
    };
    assert_eq!((0..0x100).filter(|subnet| fails(1, *subnet)).count(), 5 * 4, "a /56");
    assert_eq!((0x100..u16::MAX).filter(|subnet| fails(1, *subnet)).count(), 5 * 12, "the rest of its /48");
    assert!(fails(2, 0), "another /48");
}

#[test]
fn addresses_of_ipv6_count_by_64_bits() {
    let (store, _) = budgeted(1, hours(1));
    assert_eq!(from(&store, "x", "2001:db8:1:2::1"), "invalid_api_key");
    assert_eq!(from(&store, "x", "2001:db8:1:2:ffff::2"), "rate_limited");
    assert_eq!(from(&store, "x", "2001:db8:1:3::1"), "invalid_api_key");
    assert_eq!(from(&store, "x", "192.0.2.1"), "invalid_api_key");
    assert_eq!(from(&store, "x", "::ffff:192.0.2.1"), "rate_limited");
}

#[test]
fn a_flood_of_addresses_resets_no_budget() {
    let (store, _) = budgeted(5, hours(1));
    (0..5).for_each(|_| assert_eq!(from(&store, "x", "192.0.2.1"), "invalid_api_key"));
    for number in 0..200_000u32 {
        let attempt = Attempt::new("x").peer(IpAddr::V4((0x1000_0000 + number).into()));
        assert!(store.check(&attempt).is_err());
    }
    assert_eq!(from(&store, "x", "192.0.2.1"), "rate_limited");
}

#[test]
fn threads_exceed_the_budget_by_at_most_one_attempt_each() {
    const THREADS: usize = 4;
    let (store, _) = budgeted(100, hours(1));
    let verified = |_| (0..1000).filter(|_| from(&store, "x", "192.0.2.1") == "invalid_api_key").count();
    let sum: usize = thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|at| scope.spawn(move || verified(at))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!((100..100 + THREADS).contains(&sum), "{sum}");
}

#[test]
fn out_of_bounds() {
    for (count, per) in [(0, hours(1)), (1, ms(999)), (1, TimeDelta::days(32)), (1_000_001, hours(1)), (1, ms(-1))] {
        let opened = KeyStore::builder().failed_attempts(count, per).temporary();
        let Err(OpenError::Config(what)) = opened else { panic!("{count} per {per}") };
        assert!(what.contains("failed attempts"), "{what}");
    }
    for (count, per) in [(1, ms(1000)), (1_000_000, TimeDelta::days(31)), (1_000_000, ms(1000))] {
        let (store, _) = budgeted(count, per);
        assert_eq!(from(&store, "x", "192.0.2.1"), "invalid_api_key");
    }
}

#[test]
fn a_lookup_of_a_tokens_owner_costs_the_same_budget() {
    let (store, _) = budgeted(1, hours(1));
    let good = store.create(alice()).unwrap();
    let ask =
        |token: &str, host: u8| store.identify_attempt(&Attempt::new(token).peer(IpAddr::from([192, 0, 2, host])));
    assert_eq!(ask(good.key.expose_secret(), 1), Ok(good.info.id()));
    assert_eq!(ask("a guess", 1), Err(AuthError::Invalid));
    for token in ["a guess", good.key.expose_secret()] {
        assert!(matches!(ask(token, 1), Err(AuthError::RateLimited { limit: None, .. })));
    }
    assert_eq!(from(&store, good.key.expose_secret(), "192.0.2.1"), "rate_limited");
    assert_eq!(ask(good.key.expose_secret(), 2), Ok(good.info.id()));
    store.close().unwrap();
    assert_eq!(ask(good.key.expose_secret(), 3), Err(AuthError::Unavailable));
}
