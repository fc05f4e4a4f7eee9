//! Quotas while the engine is away, loses answers, or holds what nobody can read; and those that a store brings along.

use std::time::{Duration, Instant};

use super::faulty::Faulty;
use super::{eventually, node};
use crate::cluster::{Cluster, Ledger, MemoryLedger, Reserved, Swap};
use crate::{Attempt, AuthError, CreatedKey, KeyStore, NewKey, Quota};

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
    assert_eq!(check(&store, &key, 1).unwrap_err().code(), "quota_exceeded");
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
