//! A key is used no faster than its limit, whatever changes.

use std::net::IpAddr;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use apikey::{
    AuthError, CreatedKey, EventFilter, EventKind, ExportOptions, ImportOptions, ImportScheme, Imported, KeyStore,
    KeyUpdate, ManualClock, NewKey, Overlap, Requirement, Restore, StoreError,
};
use apikey_testkit::{alice, clocked, code, hours, info, ms, start};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;

use crate::proptest_config::cases;

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

/// How many of `tries` requests pass at this moment.
fn burst(store: &KeyStore, token: &str, tries: u32) -> u32 {
    (0..tries).map(|_| u32::from(store.verify(token).is_ok())).sum()
}

fn limited(store: &KeyStore, count: u32, per: TimeDelta) -> CreatedKey {
    store.create(alice().permissions(["orders:read"]).limit(count, per)).unwrap()
}

fn remaining(store: &KeyStore, token: &str) -> u32 {
    let verified = store.verify(token).expect("one is left");
    store.limit_status(&verified).expect("it has a limit").remaining()
}

#[test]
fn a_burst_passes_at_once_and_then_one_by_one() {
    let (store, clock) = clocked();
    let key = limited(&store, 3, TimeDelta::seconds(30));
    let token = key.key.expose_secret();
    assert_eq!(burst(&store, token, 10), 3);
    let AuthError::RateLimited { retry_after, limit } = store.verify(token).unwrap_err() else { panic!() };
    assert_eq!(retry_after, Duration::from_secs(10));
    assert_eq!(limit.map(|limit| (limit.count(), limit.per())), Some((3, TimeDelta::seconds(30))));
    clock.advance(ms(9_999));
    assert_eq!(burst(&store, token, 10), 0);
    clock.advance(ms(1));
    assert_eq!(burst(&store, token, 10), 1);
    clock.advance(TimeDelta::seconds(20));
    assert_eq!(burst(&store, token, 10), 2);
    clock.advance(hours(1));
    assert_eq!(burst(&store, token, 10), 3, "no more than that is ever saved up");
    clock.advance(-hours(5));
    assert_eq!(burst(&store, token, 10), 0);
    clock.advance(TimeDelta::seconds(10));
    assert_eq!(burst(&store, token, 10), 1, "a clock that is set back locks nobody out");
}

#[test]
fn callers_learn_their_limit_and_when_to_come_back() {
    let (store, clock) = clocked();
    let key = limited(&store, 2, minutes(1));
    let token = key.key.expose_secret();
    let verified = store.verify(token).unwrap();
    let status = store.limit_status(&verified).unwrap();
    assert_eq!((status.limit(), status.remaining()), (info(&store, &key).limit().unwrap(), 1));
    assert_eq!(status.next(), Duration::from_secs(30));
    let expected = ["\"key\";q=2;w=60", "\"key\";r=1;t=30"];
    assert_eq!(status.fields().map(|(_, value)| value), expected);
    store.verify(token).unwrap();
    let refusal = store.refuse(&store.verify(token).unwrap_err());
    assert_eq!(refusal.status, 429);
    let header = |name| refusal.header(name);
    assert_eq!(header("retry-after"), Some("30"));
    assert_eq!((header("ratelimit-policy"), header("ratelimit")), (Some(expected[0]), Some("\"key\";r=0;t=30")));
    clock.advance(hours(1));
    assert_eq!(store.limit_status(&verified).unwrap().next(), Duration::ZERO);
    // Neither a question about the limit nor a recheck counts.
    for _ in 0..10 {
        store.recheck(&verified).unwrap();
    }
    assert_eq!(store.limit_status(&verified).unwrap().remaining(), 2);
    let free = store.create(alice()).unwrap();
    assert_eq!(store.limit_status(&store.verify(free.key.expose_secret()).unwrap()), None);
    let other = KeyStore::temporary().unwrap();
    assert_eq!(other.limit_status(&verified), None);
}

#[test]
fn the_order_of_refusals() {
    let (store, _) = clocked();
    let key = store.create(alice().permissions(["a"]).limit(1, hours(1)).networks(["10.0.0.0/8"])).unwrap();
    let token = key.key.expose_secret();
    let needs = Requirement::permission("b").unwrap();
    let ask = |peer: [u8; 4]| {
        let attempt = apikey::Attempt::new(token).peer(IpAddr::from(peer)).needs(&needs);
        store.check(&attempt).map_err(|error| error.code())
    };
    // A refused address does not count. A missing permission does: the store checks it last.
    assert_eq!(ask([8, 8, 8, 8]).unwrap_err(), "address_not_allowed");
    assert_eq!(ask([10, 0, 0, 1]).unwrap_err(), "insufficient_permission");
    assert_eq!(ask([10, 0, 0, 1]).unwrap_err(), "rate_limited");
    assert_eq!(ask([8, 8, 8, 8]).unwrap_err(), "address_not_allowed");
    store.update(key.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(ask([10, 0, 0, 1]).unwrap_err(), "disabled_api_key");
    store.revoke(key.info.id(), "left").unwrap();
    assert_eq!(ask([8, 8, 8, 8]).unwrap_err(), "revoked_api_key");
}

#[test]
fn a_refused_request_does_not_count_as_a_use() {
    let (store, clock) = clocked();
    let key = limited(&store, 1, hours(1));
    let old = key.key.expose_secret();
    assert_eq!(burst(&store, old, 1), 1);
    clock.advance(TimeDelta::seconds(5));
    let new = store.rotate(key.info.id(), Overlap::UntilFirstUse).unwrap();
    assert_eq!(code(&store, new.key.expose_secret()), "rate_limited");
    assert_eq!(info(&store, &key).last_used_at(), Some(start()), "nor does it end the old secret");
    assert!(info(&store, &key).overlap().is_some());
    clock.advance(hours(1));
    assert_eq!(code(&store, new.key.expose_secret()), "ok");
    assert_eq!(code(&store, old), "rotated_api_key");
}

#[test]
fn a_limit_belongs_to_the_key_and_not_to_a_secret() {
    let (store, _) = clocked();
    let key = limited(&store, 5, hours(1));
    let (id, token) = (key.info.id(), key.key.expose_secret());
    assert_eq!(burst(&store, token, 2), 2);
    store.update(id, KeyUpdate::new().name("other").permissions(["b"]).metadata("a", "b")).unwrap();
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    let new = store.rotate(id, Overlap::For(hours(1))).unwrap();
    // Both secrets, one limit.
    assert_eq!(burst(&store, token, 1) + burst(&store, new.key.expose_secret(), 1), 2);
    let last = store.rotate(id, Overlap::None).unwrap();
    assert_eq!(burst(&store, last.key.expose_secret(), 10), 1);
    let other = limited(&store, 5, hours(1));
    assert_eq!(burst(&store, other.key.expose_secret(), 10), 5, "another key's is its own");
}

#[test]
fn a_changed_limit_holds_at_once() {
    let (store, clock) = clocked();
    let key = store.create(alice()).unwrap();
    let (id, token) = (key.info.id(), key.key.expose_secret());
    assert_eq!(burst(&store, token, 100), 100);
    let changed = store.update(id, KeyUpdate::new().limit(10, minutes(10))).unwrap();
    assert_eq!(changed.limit().unwrap().count(), 10);
    assert_eq!(burst(&store, token, 100), 10);
    store.update(id, KeyUpdate::new().limit(20, minutes(20))).unwrap();
    assert_eq!(burst(&store, token, 100), 10, "ten minutes are used of twenty");
    store.update(id, KeyUpdate::new().limit(2, minutes(1))).unwrap();
    assert_eq!(burst(&store, token, 100), 0);
    clock.advance(TimeDelta::seconds(30));
    assert_eq!(burst(&store, token, 100), 1);
    store.update(id, KeyUpdate::new().no_limit()).unwrap();
    assert_eq!(burst(&store, token, 100), 100);
    assert_eq!(info(&store, &key).limit(), None);
    let events = store.events(&EventFilter::default()).unwrap().events;
    let fields = |event: &apikey::Event| match event.kind() {
        EventKind::Updated { changes } => Some(changes.fields()),
        _ => None,
    };
    assert!(events.iter().filter_map(fields).all(|fields| fields == ["limit"]));
}

#[test]
fn out_of_bounds() {
    let store = KeyStore::temporary().unwrap();
    let id = store.create(alice()).unwrap().info.id();
    let bad = [(0, minutes(1)), (1_000_001, minutes(1)), (1, ms(0)), (1, ms(-1)), (1, TimeDelta::days(367))];
    for (count, per) in bad {
        for error in [
            store.create(alice().limit(count, per)).map(drop).unwrap_err(),
            store.update(id, KeyUpdate::new().limit(count, per)).map(drop).unwrap_err(),
        ] {
            assert!(matches!(error, StoreError::Invalid { field: "limit.count" | "limit.per", .. }), "{error}");
        }
    }
    for (count, per) in [(1, ms(1)), (1_000_000, TimeDelta::days(366))] {
        let created = store.create(alice().limit(count, per)).unwrap();
        let limit = created.info.limit().unwrap();
        assert_eq!((limit.count(), limit.per()), (count, per));
        assert_eq!(code(&store, created.key.expose_secret()), "ok");
    }
}

#[test]
fn keys_issued_elsewhere_have_limits_too() {
    let (store, _) = clocked();
    let raw = "legacy-7f3a9c1e5b2d4860";
    store.create(alice().limit(2, hours(1)).imported(Imported::raw(raw), ImportScheme::Whole)).unwrap();
    assert_eq!(burst(&store, raw, 10), 2);
}

#[test]
fn limits_are_stored() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys");
    let open = || KeyStore::builder().clock(ManualClock::new(start())).open(&path).unwrap();
    let store = open();
    let key = limited(&store, 3, hours(1));
    let other = store.create(alice()).unwrap();
    store.update(other.info.id(), KeyUpdate::new().limit(2, hours(1))).unwrap();
    assert_eq!(burst(&store, key.key.expose_secret(), 10), 3);
    store.close().unwrap();
    let store = open();
    assert_eq!(info(&store, &key).limit(), key.info.limit());
    // The store does not store what was used: after a restart, a limit begins anew.
    assert_eq!(burst(&store, key.key.expose_secret(), 10), 3);
    assert_eq!(burst(&store, other.key.expose_secret(), 10), 2);
}

#[test]
fn limits_and_networks_go_through_export_and_import() {
    let (store, _) = clocked();
    let key = store.create(alice().limit(2, minutes(1)).networks(["10.0.0.0/8", "::1"])).unwrap();
    store.create(alice()).unwrap();
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let (target, _) = clocked();
    let report = target.import(&*lines, &ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused.len()), (2, 0));
    let taken = target.get(key.info.id()).unwrap().unwrap();
    assert_eq!((taken.limit(), taken.networks()), (key.info.limit(), key.info.networks()));
    let attempt = apikey::Attempt::new(key.key.expose_secret()).peer(IpAddr::from([10, 0, 0, 1]));
    let passed = (0..10).filter(|_| target.check(&attempt).is_ok()).count();
    assert_eq!((passed, code(&target, key.key.expose_secret())), (2, "address_not_allowed"));

    let text = String::from_utf8(lines).unwrap();
    let line = text.lines().next().unwrap();
    for (from, to) in [
        ("\"count\":2", "\"count\":0"),
        ("\"count\":2", "\"count\":-1"),
        ("\"per_ms\":60000", "\"per_ms\":99999999999999"),
        ("10.0.0.0/8", "10.0.0.1/8"),
        ("10.0.0.0/8", "everywhere"),
    ] {
        let changed = line.replace(from, to);
        assert_ne!(changed, line, "{line}");
        let report = clocked().0.import(changed.as_bytes(), &ImportOptions::default()).unwrap();
        assert_eq!((report.imported, report.refused.len()), (0, 1), "{to}");
    }
}

/// The times at which requests passed. No stretch has more of them than the limit and what was refilled meanwhile.
fn check_spacing(passed: &[DateTime<Utc>], count: u32, per: TimeDelta) {
    for (first, from) in passed.iter().enumerate() {
        for (last, to) in passed.iter().enumerate().skip(first) {
            let many = (last - first + 1) as f64;
            let back = (*to - *from).num_milliseconds() as f64 * f64::from(count) / per.num_milliseconds() as f64;
            assert!(many <= f64::from(count) + back + 1e-6, "{many} from {from} to {to}");
        }
    }
}

proptest! {
    #![proptest_config(cases(8))]

    /// What else happens to the key meanwhile.
    #[test]
    fn never_more_than_the_limit(
        count in 1u32..8,
        seconds in 1i64..20,
        steps in proptest::collection::vec((0u8..12, 0i64..4000), 1..80),
    ) {
        let (store, clock) = clocked();
        let per = TimeDelta::seconds(seconds);
        let key = limited(&store, count, per);
        let id = key.info.id();
        let mut tokens = vec![key.key.expose_secret().to_owned()];
        let mut passed = Vec::new();
        for (step, wait) in steps {
            clock.advance(ms(wait));
            match step {
                0 => drop(store.update(id, KeyUpdate::new().name(format!("{wait}"))).unwrap()),
                1 => {
                    let new = store.rotate(id, Overlap::None).unwrap();
                    tokens = vec![new.key.expose_secret().to_owned()];
                }
                2 => {
                    if let Ok(new) = store.rotate(id, Overlap::For(hours(1))) {
                        tokens.push(new.key.expose_secret().to_owned());
                    }
                }
                3 => drop(store.update(id, KeyUpdate::new().limit(count, per)).unwrap()),
                4 => clock.advance(per),
                _ => {
                    for token in &tokens {
                        match store.verify(token) {
                            Ok(_) => passed.push(apikey::Clock::now(&clock)),
                            Err(AuthError::RateLimited { .. }) => {}
                            Err(error) => prop_assert_eq!(error, AuthError::Invalid),
                        }
                    }
                }
            }
        }
        check_spacing(&passed, count, per);
    }
}

#[test]
fn many_threads_get_no_more_than_one() {
    const THREADS: u32 = 4;
    let (store, clock) = clocked();
    let key = limited(&store, 1000, hours(1));
    let other = limited(&store, 10, hours(1));
    let second = store.rotate(key.info.id(), Overlap::For(hours(1))).unwrap();
    let tokens = [key.key.expose_secret(), second.key.expose_secret()];
    let (passed, barrier) = (AtomicU32::new(0), Barrier::new(THREADS as usize));
    thread::scope(|scope| {
        for at in 0..THREADS {
            let (store, passed, barrier, tokens) = (&store, &passed, &barrier, &tokens);
            scope.spawn(move || {
                barrier.wait();
                for tried in 0..1000 {
                    passed.fetch_add(burst(store, tokens[(at + tried) as usize % 2], 1), Ordering::Relaxed);
                }
            });
        }
        // Changes of the keys meanwhile neither add to the limit nor take from it.
        for round in 0..20 {
            store.update(key.info.id(), KeyUpdate::new().name(format!("{round}"))).unwrap();
            let passing = limited(&store, 5, hours(1));
            store.revoke(passing.info.id(), "gone").unwrap();
        }
    });
    assert_eq!(passed.into_inner(), 1000);
    assert_eq!(remaining(&store, other.key.expose_secret()), 9);
    clock.advance(TimeDelta::milliseconds(3600));
    assert_eq!(burst(&store, tokens[0], 10), 1);
}

#[test]
fn limiters_are_reused() {
    let (store, clock) = clocked();
    for _ in 0..50 {
        let keys: Vec<_> = (0..4).map(|count| limited(&store, count + 1, hours(1))).collect();
        for (key, count) in keys.iter().zip(1..) {
            assert_eq!(burst(&store, key.key.expose_secret(), 10), count, "each begins full");
            store.revoke(key.info.id(), "gone").unwrap();
        }
        clock.advance(ms(1));
        assert_eq!(store.purge(apikey::Clock::now(&clock)).unwrap(), 4);
    }
}

#[test]
fn a_restored_store_is_no_faster_than_the_old_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let open = |name| KeyStore::builder().clock(ManualClock::new(start())).open(path(name)).unwrap();
    let store = open("old");
    let new = || NewKey::for_owner("alice");
    let nets = |nets: &[&str]| new().networks(nets.iter().copied());
    let keys = [
        store.create(new().limit(10, hours(1))).unwrap(),
        store.create(new()).unwrap(),
        store.create(new().limit(2, hours(1))).unwrap(),
        store.create(nets(&["10.0.0.0/8"])).unwrap(),
        store.create(nets(&["10.1.0.0/16"])).unwrap(),
        store.create(nets(&["10.0.0.0/8"])).unwrap(),
    ];
    store.backup(path("file")).unwrap();
    let updates = [
        KeyUpdate::new().limit(3, hours(1)),
        KeyUpdate::new().limit(3, hours(1)),
        KeyUpdate::new().no_limit(),
        KeyUpdate::new().networks(["10.1.0.0/16"]),
        KeyUpdate::new().any_network(),
        KeyUpdate::new().networks(["192.168.0.0/16"]),
    ];
    for (key, update) in keys.iter().zip(updates) {
        store.update(key.info.id(), update).unwrap();
    }
    store.close().unwrap();
    let report = KeyStore::restore(&Restore::new(path("file"), path("new")).over(path("old"))).unwrap();
    assert_eq!(report.reapplied.len(), 4, "{report:?}");
    let store = open("new");
    for (key, count) in keys.iter().zip([3, 3, 2]) {
        assert_eq!(burst(&store, key.key.expose_secret(), 10), count);
    }
    let info = |n: usize| info(&store, &keys[n]);
    assert_eq!(info(3).networks(), ["10.1.0.0/16"]);
    assert_eq!(info(4).networks(), ["10.1.0.0/16"], "what the backup had, too");
    assert!(info(5).disabled(), "nothing is in both");
}
