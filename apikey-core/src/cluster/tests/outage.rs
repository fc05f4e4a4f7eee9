//! What a node does while the engine is away.

use std::time::Duration;

use super::faulty::Faulty;
use super::{eventually, node};
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::{Cluster, MemoryLedger};
use crate::{AuthError, ClusterError, KeyStore, KeyStoreBuilder, NewKey, StoreError};

fn builder(ledger: &Faulty) -> KeyStoreBuilder {
    let cluster = Cluster::new(ledger.clone()).name("cut-off").max_staleness(Duration::from_secs(60));
    KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(1)))
}

#[track_caller]
fn only_here(result: Result<bool, StoreError>) {
    match result {
        Err(StoreError::Cluster(ClusterError::OnlyHere { is_kept: true, .. })) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_revocation_is_in_force_here_at_once_and_everywhere_later() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db");
    let store = builder(&ledger).open(&path).unwrap();
    let other = node(&memory, "other");
    let keys: Vec<_> = (0..4).map(|_| store.create(NewKey::for_owner("alice")).unwrap()).collect();
    let refused = |store: &KeyStore, at: usize| store.verify(keys[at].key.expose_secret()).err();
    ledger.refuse(true);
    for (at, key) in keys.iter().enumerate().take(2) {
        only_here(store.revoke(key.info.id(), "leaked"));
        assert_eq!(refused(&store, at), Some(AuthError::Revoked));
    }
    match store.create(NewKey::for_owner("bob")) {
        Err(StoreError::Cluster(ClusterError::Refused { .. })) => {}
        other => panic!("{other:?}"),
    }
    let replaced = store.rotate(keys[2].info.id(), crate::Overlap::None);
    assert!(matches!(replaced, Err(StoreError::Cluster(ClusterError::Refused { .. }))), "{replaced:?}");
    assert_eq!((refused(&store, 2), refused(&other, 0)), (None, None));
    assert_eq!(store.health().cluster.unwrap().only_here, 2);
    ledger.refuse(false);
    store.close().unwrap();
    // After a restart they are in force before the first verification.
    ledger.refuse(false);
    let store = builder(&Faulty::new(&memory)).open(&path).unwrap();
    assert_eq!(
        (refused(&store, 0), refused(&store, 1), refused(&store, 2)),
        (Some(AuthError::Revoked), Some(AuthError::Revoked), None)
    );
    eventually("the log has them", || refused(&other, 0) == Some(AuthError::Revoked) && refused(&other, 1).is_some());
    eventually("nothing is kept", || store.health().cluster.unwrap().only_here == 0);
    assert_eq!(store.get(keys[0].info.id()).unwrap().unwrap().revoked().unwrap().reason(), "leaked");
}

#[test]
fn a_change_without_an_answer_is_resolved_before_the_next() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    let other = node(&memory, "other");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    ledger.lose_answers(true);
    match store.create(NewKey::for_owner("bob")) {
        Err(StoreError::Cluster(ClusterError::Unknown { .. })) => {}
        other => panic!("{other:?}"),
    }
    // A revocation meanwhile is in force here, whatever became of the change before it.
    only_here(store.revoke(key.info.id(), "leaked"));
    assert_eq!(store.verify(key.key.expose_secret()).err(), Some(AuthError::Revoked));
    ledger.lose_answers(false);
    let carol = store.create(NewKey::for_owner("carol")).unwrap();
    eventually("the log has the revocation", || other.verify(key.key.expose_secret()).is_err());
    assert!(other.verify(carol.key.expose_secret()).is_ok());
    // The change that had no answer is in the log, once.
    let bobs = other.list(&crate::KeyFilter::owner("bob")).unwrap().keys.len();
    assert_eq!(bobs, 1);
    let report = other.verify_events().unwrap();
    assert!(report.is_whole() && report.last == 4, "{report:?}");
}

#[test]
fn a_replacement_that_the_log_did_not_get_stays_in_force_here() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    let other = node(&memory, "other");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    let is_refused = |store: &KeyStore| store.verify(key.key.expose_secret()).is_err();
    ledger.fill(true);
    ledger.lose_answers(true);
    match store.replace_leaked(key.info.id(), "leaked") {
        Err(StoreError::Cluster(ClusterError::OnlyHere { is_kept: false, .. })) => {}
        replaced => panic!("{replaced:?}"),
    }
    assert!(is_refused(&store) && !is_refused(&other));
    // The log goes on without it.
    other.create(NewKey::for_owner("bob")).unwrap();
    ledger.fill(false);
    ledger.lose_answers(false);
    store.create(NewKey::for_owner("carol")).unwrap();
    assert!(is_refused(&store) && !is_refused(&other));
    let replaced = other.replace_leaked(key.info.id(), "leaked").unwrap();
    assert!(is_refused(&store) && is_refused(&other));
    assert!(store.verify(replaced.key.expose_secret()).is_ok());
}

#[test]
fn an_entry_without_an_answer_is_resolved_without_another_call() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    ledger.lose_answers(true);
    match store.update(key.info.id(), crate::KeyUpdate::new().disabled(true)) {
        Err(StoreError::Cluster(ClusterError::Unknown { .. })) => {}
        other => panic!("{other:?}"),
    }
    ledger.lose_answers(false);
    let cut_off = ClusterOrder::node_of(&store.inner().engine);
    let is_resolved = || cut_off.state().unresolved.is_none();
    eventually("the node knows what became of it", is_resolved);
}

#[test]
fn nobody_has_a_change_while_the_engine_does_not_list_the_nodes() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    let without = || store.wait_for_nodes(Duration::from_millis(50));
    assert_eq!(without(), [] as [&str; 0]);
    ledger.refuse(true);
    assert_eq!(without(), ["faulty"]);
    ledger.refuse(false);
    let _other = node(&memory, "other");
    eventually("it knows the other one", || store.health().cluster.unwrap().nodes.len() == 2);
    ledger.refuse(true);
    assert_eq!(without(), ["other"]);
    assert_eq!(store.wait_for_nodes(Duration::ZERO), ["other"]);
}

#[test]
fn a_call_that_has_no_turn_says_why() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    ledger.hold_appends(true);
    let second = std::thread::scope(|scope| {
        let first = scope.spawn(|| store.create(NewKey::for_owner("alice")));
        eventually("its entry is on its way", || ledger.came() == 1);
        let second = store.create(NewKey::for_owner("bob"));
        ledger.hold_appends(false);
        first.join().unwrap().unwrap();
        second
    });
    match second {
        Err(StoreError::Cluster(ClusterError::Refused { what })) => {
            assert!(what.contains("changes before it take so long"), "{what}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_that_the_log_has_and_the_replica_cannot_write_is_not_undone() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let store = builder(&ledger).temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    ledger.hold_appends(true);
    std::thread::scope(|scope| {
        let revoked = scope.spawn(|| store.revoke(key.info.id(), "leaked"));
        eventually("the entry is on its way", || ledger.came() == 1);
        let disk = store.inner().engine.log.open().unwrap();
        disk.faults.sync.store(true, std::sync::atomic::Ordering::SeqCst);
        drop(disk);
        ledger.hold_appends(false);
        match revoked.join().unwrap() {
            Err(StoreError::Cluster(ClusterError::Unknown { what })) => {
                assert!(what.contains("the cluster's log has it"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    });
    assert!(store.verify(key.key.expose_secret()).is_err());
}

#[test]
fn closing_beside_changes_ends_both() {
    let memory = MemoryLedger::new();
    for round in 0..20u64 {
        let store = node(&memory, "closing");
        let (send, receive) = std::sync::mpsc::channel();
        let changing = store.clone();
        let thread = std::thread::spawn(move || {
            while changing.create(NewKey::for_owner("alice")).is_ok() {}
            let _ = send.send(());
        });
        std::thread::sleep(Duration::from_millis(round % 7));
        store.close().unwrap();
        receive.recv_timeout(Duration::from_secs(60)).expect("the change or the close hangs");
        thread.join().unwrap();
    }
}

#[test]
fn a_node_serves_on_while_the_engine_is_full() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let cluster = Cluster::new(ledger.clone()).name("full").max_staleness(Duration::from_secs(5));
    let store = KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(1))).temporary().unwrap();
    let other = node(&memory, "other");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    ledger.fill(true);
    let began = std::time::Instant::now();
    // Looks that only read make it fresh as of later times.
    eventually("the node is fresh as of a time after the engine was full", || {
        let age = store.health().cluster.unwrap().age;
        age.is_some_and(|age| age + Duration::from_millis(500) < began.elapsed())
    });
    assert!(store.verify(key.key.expose_secret()).is_ok());
    only_here(store.revoke(key.info.id(), "leaked"));
    ledger.fill(false);
    eventually("the log has the revocation", || other.verify(key.key.expose_secret()).is_err());
    assert!(store.create(NewKey::for_owner("bob")).is_ok());
}

/// No step of the state is larger than an engine takes.
#[test]
fn a_state_of_large_keys_moves() {
    let memory = MemoryLedger::new();
    let one = node(&memory, "one");
    let large = |_| {
        let metadata = (0..30).map(|number| (format!("field{number}"), "x".repeat(500)));
        metadata.fold(NewKey::for_owner("alice"), |key, (name, value)| key.metadata(name, value))
    };
    let created = one.create_many((0..100).map(large)).unwrap();
    eventually("the state has the keys", || {
        let sight = crate::cluster::Ledger::sight(&memory, 1, std::time::Instant::now()).unwrap();
        sight.state.is_some_and(|at| at.number == 100)
    });
    let late = node(&memory, "late");
    assert!(created.iter().all(|key| late.verify(key.key.expose_secret()).is_ok()));
}

#[test]
fn a_load_that_loses_its_moment_begins_again() {
    let memory = MemoryLedger::new();
    let one = node(&memory, "one");
    let created = one.create_many((0..100).map(|_| NewKey::for_owner("alice"))).unwrap();
    eventually("the state has the keys", || {
        crate::cluster::Ledger::sight(&memory, 1, std::time::Instant::now())
            .unwrap()
            .state
            .is_some_and(|at| at.number == 100)
    });
    let ledger = Faulty::new(&memory);
    ledger.lose_moments(3);
    let late = builder(&ledger).temporary().unwrap();
    assert!(created.iter().all(|key| late.verify(key.key.expose_secret()).is_ok()));
    assert_eq!(late.list(&crate::KeyFilter::owner("alice")).unwrap().keys.len(), 100);
}
