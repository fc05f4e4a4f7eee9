//! Quotas while the engine is away, loses answers, or holds what nobody can read; and those that a store brings along.

use std::time::{Duration, Instant};

use super::faulty::Faulty;
use super::{eventually, node};
use crate::base::lock::lock;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::{Cluster, Ledger, MemoryLedger, Reserved, Swap};
use crate::commit::cluster::propagation::Hold;
use crate::{Attempt, AuthError, Charge, CreatedKey, KeyStore, KeyUpdate, ManualClock, NewKey, Propagation, Quota};

fn faulty(ledger: &Faulty) -> KeyStore {
    let cluster = Cluster::new(ledger.clone()).name("cut-off").max_staleness(Duration::from_secs(60));
    KeyStore::builder().cluster(cluster).temporary().unwrap()
}

fn create(store: &KeyStore, quota: Quota) -> CreatedKey {
    store.create(NewKey::for_owner("alice").quota(quota)).unwrap()
}

fn check(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    store.check(&Attempt::new(key.key.expose_secret()).cost(cost)).map(drop)
}

fn used(store: &KeyStore, key: &CreatedKey) -> u64 {
    store.quota_status_of(key.info.id()).unwrap().unwrap().used()
}

#[test]
fn without_the_engine_a_strict_quota_stops_at_its_block_and_any_other_one_after_one_more() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = faulty(&ledger);
    let (plain, strict) = (create(&store, Quota::total(1000)), create(&store, Quota::total(1000).strict()));
    check(&store, &plain, 1).unwrap();
    eventually("a block is reserved", || used(&node(&memory, "other"), &plain) == 0 && reserved(&memory, &plain) >= 10);
    let before = reserved(&memory, &plain);
    ledger.refuse(true);
    let passes = |key| (0..200).filter(|_| check(&store, key, 1).is_ok()).count() as u64;
    assert_eq!(passes(&strict), 10);
    assert_eq!(1 + passes(&plain), before + 10);
    for key in [&plain, &strict] {
        let error = check(&store, key, 1).unwrap_err();
        assert!(
            matches!(error, AuthError::QuotaExceeded { retry_after, .. } if retry_after == Duration::from_secs(1)),
            "{error:?}"
        );
    }
    ledger.refuse(false);
    for key in [&plain, &strict] {
        eventually("it goes on", || check(&store, key, 1).is_ok());
    }
}

/// What the ledger has reserved of a quota.
fn reserved(ledger: &MemoryLedger, key: &CreatedKey) -> u64 {
    let held = held(ledger, key);
    held.map_or(0, |held| {
        crate::base::codec::decode::<crate::storage::database::spent::StoredSpent>(&held).unwrap().used
    })
}

fn held(ledger: &MemoryLedger, key: &CreatedKey) -> Option<Vec<u8>> {
    let name = key.info.id().as_u128().to_be_bytes();
    let swap = Swap { name: &name, old: Some(b"nothing has this"), new: None };
    match ledger.reserve(1, &[swap], Instant::now()).unwrap().remove(0) {
        Reserved::Lost { held } => held,
        Reserved::Done => None,
    }
}

#[test]
fn of_a_reservation_that_is_damaged_nobody_gets_more() {
    let memory = MemoryLedger::new();
    let store = node(&memory, "one");
    let key = create(&store, Quota::total(1000).strict());
    let name = key.info.id().as_u128().to_be_bytes();
    let held = held(&memory, &key);
    let swap = Swap { name: &name, old: held.as_deref(), new: Some(b"damaged") };
    assert_eq!(memory.reserve(1, &[swap], Instant::now()).unwrap(), [Reserved::Done]);
    let passed = (0..100).filter(|_| check(&store, &key, 1).is_ok()).count();
    assert_eq!(passed, 10);
    std::thread::sleep(Duration::from_millis(1500));
    // The next look finds it, and nothing is left in this period.
    eventually("it counts as used up", || {
        matches!(check(&store, &key, 1), Err(error) if error.code() == "no_uses_left")
            && reserved(&memory, &key) == 1000
    });
}

#[test]
fn a_store_brings_what_was_used_into_its_cluster() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    let keys = [create(&store, Quota::total(1000)), create(&store, Quota::total(1000).strict())];
    for key in &keys {
        (0..3).for_each(|_| check(&store, key, 1).unwrap());
    }
    store.close().unwrap();
    let memory = MemoryLedger::new();
    KeyStore::builder().cluster(Cluster::new(memory.another())).found_cluster(&path).unwrap();
    assert_eq!(keys.each_ref().map(|key| reserved(&memory, key)), [3, 3]);
    let nodes = [
        KeyStore::builder().cluster(Cluster::new(memory.another()).name("one")).open(&path).unwrap(),
        node(&memory, "two"),
    ];
    // A node goes on with a quota that is not strict for a block, and asks only then.
    for (key, more) in keys.iter().zip([20, 0]) {
        let passed = std::cell::Cell::new(0u64);
        eventually("nothing is left", || {
            nodes.iter().all(|node| {
                let refused = (0..).find_map(|_| check(node, key, 1).map(|()| passed.set(passed.get() + 1)).err());
                refused.unwrap().code() == "no_uses_left"
            })
        });
        assert!((997..=997 + more).contains(&passed.get()), "{passed:?}");
    }
}

fn patiently(store: &KeyStore, key: &CreatedKey, cost: u32) -> Result<(), AuthError> {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        match check(store, key, cost) {
            Err(AuthError::QuotaExceeded { retry_after, .. }) if retry_after == Duration::from_secs(1) => {
                assert!(Instant::now() < end, "no more is reserved");
                std::thread::sleep(Duration::from_millis(5));
            }
            answer => return answer,
        }
    }
}

/// The store writes each second while it is made a cluster.
#[test]
fn a_store_that_takes_long_to_become_a_cluster_keeps_what_was_used() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    let key = create(&store, Quota::per_day(1000).strict());
    (0..3).for_each(|_| check(&store, &key, 1).unwrap());
    store.close().unwrap();
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    ledger.slow(2500);
    KeyStore::builder().cluster(Cluster::new(ledger.clone())).found_cluster(&path).unwrap();
    assert_eq!(reserved(&memory, &key), 3);
}

#[test]
fn a_store_that_could_not_become_a_cluster_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.db");
    let store = KeyStore::open(&path).unwrap();
    let key = create(&store, Quota::per_day(1000).strict());
    (0..3).for_each(|_| check(&store, &key, 1).unwrap());
    store.close().unwrap();
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    ledger.slow(2500);
    ledger.refuse(true);
    KeyStore::builder().cluster(Cluster::new(ledger.clone())).found_cluster(&path).unwrap_err();
    let store = KeyStore::open(&path).unwrap();
    assert_eq!(used(&store, &key), 3);
    check(&store, &key, 1).unwrap();
}

#[test]
fn another_period_counts_what_each_node_has_once() {
    let memory = MemoryLedger::new();
    let nodes = ["one", "two", "three"].map(|name| node(&memory, name));
    let key = create(&nodes[0], Quota::per_day(1000).strict());
    assert!(nodes[0].wait_for_nodes(Duration::from_secs(60)).is_empty());
    for node in &nodes {
        patiently(node, &key, 300).unwrap();
    }
    nodes[0].update(key.info.id(), KeyUpdate::new().quota(Quota::per_month(10_000).strict())).unwrap();
    assert!(nodes[0].wait_for_nodes(Duration::from_secs(60)).is_empty());
    for node in &nodes {
        patiently(node, &key, 1).unwrap();
    }
    let all = reserved(&memory, &key);
    assert!((900..=900 + 3 * 151).contains(&all), "{all} are reserved, and 903 used");
}

#[test]
fn a_clock_that_was_ahead_locks_nobody_out() {
    let memory = MemoryLedger::new();
    let clock = ManualClock::new(chrono::Utc::now());
    let open =
        |name| KeyStore::builder().clock(clock.clone()).cluster(super::cluster(&memory, name)).temporary().unwrap();
    let one = open("one");
    let key = create(&one, Quota::per_day(1000).strict());
    let plain = create(&one, Quota::per_day(1000));
    [&key, &plain].into_iter().for_each(|key| check(&one, key, 6).unwrap());
    let period = || {
        let held = held(&memory, &key).unwrap();
        crate::base::codec::decode::<crate::storage::database::spent::StoredSpent>(&held).unwrap().period
    };
    let before = period();
    clock.advance(chrono::TimeDelta::days(400));
    eventually("the node is in another day", || period() > before);
    clock.advance(chrono::TimeDelta::days(-400));
    // What happens within five minutes.
    let index = |store: &KeyStore| store.inner().engine.index.trust_clock(store.inner().engine.time.now_ms());
    eventually("it serves", || one.verify("none").unwrap_err() != AuthError::Unavailable);
    index(&one);
    let two = open("two");
    for node in [&one, &two] {
        patiently(node, &plain, 1).unwrap();
        // What was used of this day before is not known any more, so it is over.
        eventually(
            "the day is used up",
            || matches!(check(node, &key, 1), Err(AuthError::QuotaExceeded { status, .. }) if status.remaining() == 0),
        );
    }
    clock.advance(chrono::TimeDelta::days(1));
    for node in [&one, &two] {
        eventually("it serves", || node.verify("none").unwrap_err() != AuthError::Unavailable);
        [&key, &plain].into_iter().for_each(|key| patiently(node, key, 1).unwrap());
    }
}

#[test]
fn a_node_that_has_left_has_nothing() {
    let memory = MemoryLedger::new();
    let store = node(&memory, "one");
    let key = create(&store, Quota::per_day(1000).strict());
    let charge = Charge::default();
    let verified = store.check(&Attempt::new(key.key.expose_secret()).charge(&charge)).unwrap();
    assert!(store.leave_cluster());
    assert_eq!(store.quota_status_of(key.info.id()).unwrap(), None);
    assert_eq!(store.charge_more(&verified, &charge, 5), Err(AuthError::Unavailable));
}

#[test]
fn a_janitor_that_is_behind_deletes_nothing_that_is_in_use() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let janitor = faulty_named(&ledger, "janitor");
    let behind = ClusterOrder::node_of(&janitor.inner().engine);
    eventually("it is the janitor", || behind.state().holds.contains_key(&Hold::Janitor));
    let other = KeyStore::builder()
        .cluster(Cluster::new(memory.another()).name("other").max_staleness(Duration::from_secs(60)))
        .temporary()
        .unwrap();
    let key = create(&other, Quota::total(100).strict());
    assert!(other.wait_for_nodes(Duration::from_secs(60)).is_empty());
    patiently(&other, &key, 1).unwrap();
    let (came, has_come) = std::sync::mpsc::channel();
    let (go, goes) = std::sync::mpsc::channel::<()>();
    let mut asked = false;
    ledger.at_reserve(move |swaps| {
        let is_question = swaps.iter().any(|swap| swap.old.is_none() && swap.new.is_none());
        if is_question && !std::mem::replace(&mut asked, true) {
            came.send(()).unwrap();
            goes.recv().unwrap();
        }
    });
    other.update(key.info.id(), KeyUpdate::new().no_quota()).unwrap();
    has_come.recv_timeout(Duration::from_secs(30)).unwrap();
    // It does not see for a moment what others do.
    let applying = lock(&behind.applying);
    let here = other.propagating(Propagation::Here);
    here.update(key.info.id(), KeyUpdate::new().quota(Quota::total(100).strict())).unwrap();
    patiently(&other, &key, 90).unwrap();
    go.send(()).unwrap();
    std::thread::sleep(Duration::from_millis(1500));
    drop(applying);
    assert!(other.wait_for_nodes(Duration::from_secs(60)).is_empty());
    let mut passed = 90;
    for node in [&other, &janitor] {
        while patiently(node, &key, 1).is_ok() {
            passed += 1;
        }
    }
    assert!(passed <= 100, "{passed} of 100");
}

fn faulty_named(ledger: &Faulty, name: &str) -> KeyStore {
    let cluster = Cluster::new(ledger.clone()).name(name).max_staleness(Duration::from_secs(60));
    KeyStore::builder().cluster(cluster).temporary().unwrap()
}

#[test]
fn a_node_asks_an_engine_that_is_away_once_a_second() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = faulty(&ledger);
    let key = create(&store, Quota::total(1000).strict());
    let asked = std::sync::Arc::new(AtomicU32::new(0));
    let counts = asked.clone();
    ledger.at_reserve(move |_| _ = counts.fetch_add(1, Ordering::SeqCst));
    ledger.refuse(true);
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let _ = check(&store, &key, 1);
        std::thread::sleep(Duration::from_millis(1));
    }
    let asked = asked.load(Ordering::SeqCst);
    assert!(asked <= 8, "{asked} times in 5 seconds");
}

/// On the node that has created the key, too.
#[test]
fn midnight_has_a_block() {
    let memory = MemoryLedger::new();
    let noon = chrono::DateTime::parse_from_rfc3339("2028-02-28T12:00:00Z").unwrap().to_utc();
    let clock = ManualClock::new(noon);
    let store = KeyStore::builder().clock(clock.clone()).cluster(super::cluster(&memory, "one")).temporary().unwrap();
    let key = create(&store, Quota::per_day(1000).strict());
    check(&store, &key, 1).unwrap();
    let serves = || store.verify("none").unwrap_err() != AuthError::Unavailable;
    clock.advance(chrono::TimeDelta::minutes(11 * 60 + 55));
    eventually("it serves", serves);
    std::thread::sleep(Duration::from_millis(3_000));
    clock.advance(chrono::TimeDelta::minutes(6));
    eventually("it serves", serves);
    check(&store, &key, 1).unwrap();
}

/// The janitor deletes what others have reserved, also if it has used no quota itself.
#[test]
fn the_janitor_deletes_what_others_have_reserved() {
    let (memory, [one, two, _three]) = super::three();
    let janitor = ClusterOrder::node_of(&one.inner().engine);
    eventually("it is the janitor", || janitor.state().holds.contains_key(&Hold::Janitor));
    let key = create(&one, Quota::total(1000));
    assert!(one.wait_for_nodes(Duration::from_secs(60)).is_empty());
    patiently(&two, &key, 100).unwrap();
    eventually("it is reserved", || reserved(&memory, &key) >= 100);
    two.update(key.info.id(), KeyUpdate::new().no_quota()).unwrap();
    let end = Instant::now() + Duration::from_secs(10);
    while held(&memory, &key).is_some() {
        assert!(Instant::now() < end, "{} are still reserved", reserved(&memory, &key));
        std::thread::sleep(Duration::from_millis(50));
    }
}
