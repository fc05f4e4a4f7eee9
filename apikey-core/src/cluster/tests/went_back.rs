//! An engine that went back in time, as after a restore of an old snapshot.

use std::time::{Duration, Instant};

use super::faulty::Faulty;
use super::{cluster, eventually, node};
use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction};
use crate::cluster::format::presence::{Incarnation, Presence};
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::node::here_only::Kept;
use crate::cluster::recovery::lost::Lost;
use crate::cluster::{Cluster, Ledger, MemoryLedger};
use crate::key::event::stored::Head;
use crate::key::record::Record;
use crate::{AuthError, ClusterError, CreatedKey, KeyStore, KeyUpdate, NewKey, Overlap, StoreError};

fn head(store: &KeyStore) -> Head {
    store.inner().engine.writer().head()
}

/// Every record, as the replica has it.
fn records(store: &KeyStore) -> Vec<(u128, Vec<u8>)> {
    let log = store.inner().engine.log.open().unwrap();
    let records = log.frames().map(|item| item.map(|(id, frame)| (id, frame.to_vec())));
    records.collect::<Result<_, _>>().unwrap()
}

/// Waits until the nodes serve, and have the same.
#[track_caller]
pub(super) fn agree(nodes: &[&KeyStore]) {
    eventually("every node serves by the same log", || {
        nodes.iter().all(|store| store.is_ready() && head(store) == head(nodes[0]))
            && nodes.iter().all(|store| store.health().cluster.unwrap().only_here == 0)
    });
    for store in nodes {
        assert_eq!(records(store), records(nodes[0]));
        let report = store.verify_events().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

pub(super) fn refused(store: &KeyStore, key: &CreatedKey) -> Option<AuthError> {
    store.verify(key.key.expose_secret()).err()
}

fn create(store: &KeyStore) -> CreatedKey {
    store.create(NewKey::for_owner("alice")).unwrap()
}

/// What a node has done last to be in step with its log.
fn recovered(store: &KeyStore) -> Option<String> {
    store.health().cluster.unwrap().recovered
}

#[test]
fn nodes_bring_back_what_the_engine_lost() {
    let ledger = MemoryLedger::new();
    let [one, two, three] = ["one", "two", "three"].map(|name| node(&ledger, name));
    let keys: Vec<_> = (0..3).map(|_| create(&one)).collect();
    let backup = ledger.backup();
    two.revoke(keys[0].info.id(), "leaked").unwrap();
    let late = three.create(NewKey::for_owner("bob").idempotency_key("5d1a7c0b")).unwrap();
    let rotated = one.rotate(keys[1].info.id(), Overlap::None).unwrap();
    one.create_many((0..100).map(|_| NewKey::for_owner("carol"))).unwrap();
    one.revoke_owner("carol", "left").unwrap();
    let before = head(&one);
    ledger.go_back(&backup);
    eventually("a node notices", || [&one, &two, &three].iter().any(|store| recovered(store).is_some()));
    agree(&[&one, &two, &three]);
    assert_eq!(head(&one), before, "the log is the one that it was");
    for store in [&one, &two, &three] {
        assert_eq!(refused(store, &keys[0]), Some(AuthError::Revoked));
        assert!(refused(store, &keys[1]).is_some() && refused(store, &rotated).is_none());
        assert!(refused(store, &late).is_none() && refused(store, &keys[2]).is_none());
    }
    let published =
        [&one, &two, &three].iter().filter_map(|store| recovered(store)).any(|what| what.contains("published"));
    assert!(published);
    // It goes on as before.
    two.revoke(keys[2].info.id(), "leaked").unwrap();
    assert!([&one, &two, &three].iter().all(|store| refused(store, &keys[2]) == Some(AuthError::Revoked)));
    let new = node(&ledger, "new");
    agree(&[&one, &new]);
}

#[test]
fn a_replica_on_a_disk_brings_it_back_when_it_is_opened() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let disk = open().unwrap();
    let keys: Vec<_> = (0..3).map(|_| create(&disk)).collect();
    let backup = ledger.backup();
    disk.close().unwrap();
    let disk = open().unwrap();
    disk.revoke(keys[0].info.id(), "leaked").unwrap();
    let before = head(&disk);
    disk.close().unwrap();
    ledger.go_back(&backup);
    // A node without the event serves what the engine has.
    let empty = node(&ledger, "empty");
    assert_eq!(refused(&empty, &keys[0]), None);
    let disk = open().unwrap();
    assert_eq!(recovered(&disk).unwrap(), "the engine had lost 1 event, which this node published");
    agree(&[&disk, &empty]);
    assert_eq!((head(&disk), refused(&empty, &keys[0])), (before, Some(AuthError::Revoked)));
}

/// A node that is listed, and applies nothing.
fn list_another(ledger: &MemoryLedger) {
    let presence = Presence { node: "away".into(), beat: 1, marked: false, wall: 0, pepper: 0, bound: 5_000 };
    let by = Instant::now() + Duration::from_secs(5);
    let cell = Incarnation(99).presence(1);
    assert!(ledger.swap(&cell, None, Some(&presence.encode().unwrap()), by).unwrap());
}

#[test]
fn a_call_that_waits_meanwhile_is_not_answered_by_what_the_engine_has_lost() {
    let ledger = MemoryLedger::new();
    let faulty = Faulty::new(&ledger);
    let of_faulty = Cluster::new(faulty.clone()).name("one").max_staleness(Duration::from_secs(5));
    let cluster = of_faulty.write_timeout(Duration::from_secs(1));
    let one = KeyStore::builder().cluster(cluster).temporary().unwrap();
    let key = create(&one);
    list_another(&ledger);
    let backup = ledger.backup();
    let revoked = std::thread::scope(|scope| {
        let revoking = scope.spawn(|| one.revoke(key.info.id(), "leaked"));
        eventually("it is in the log", || head(&one).number == 2);
        // The node cannot bring it back.
        faulty.hold_appends(true);
        ledger.go_back(&backup);
        revoking.join().unwrap()
    });
    match revoked {
        Err(StoreError::Cluster(ClusterError::Unknown { what })) => {
            assert!(what.contains("the engine went back in time"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    assert!(!one.is_ready() && refused(&one, &key).is_some());
    faulty.hold_appends(false);
    eventually("it serves again", || one.is_ready());
    assert!(!one.revoke(key.info.id(), "leaked").unwrap(), "it was brought back, and holds everywhere now");
}

#[test]
fn a_revocation_beside_it_is_in_force_at_once() {
    let ledger = MemoryLedger::new();
    let faulty = Faulty::new(&ledger);
    let of_faulty = Cluster::new(faulty.clone()).name("one").max_staleness(Duration::from_secs(60));
    let one = KeyStore::builder().cluster(of_faulty).temporary().unwrap();
    let keys: Vec<_> = (0..2).map(|_| create(&one)).collect();
    let backup = ledger.backup();
    one.revoke(keys[0].info.id(), "leaked").unwrap();
    ledger.go_back(&backup);
    // The node learns of it by this change, and refuses every key until it has brought the event back.
    match one.revoke(keys[1].info.id(), "leaked") {
        Err(StoreError::Cluster(ClusterError::OnlyHere { is_kept: true, what })) => {
            assert!(what.contains("the engine went back in time"), "{what}");
        }
        other => panic!("{other:?}"),
    }
    eventually("it serves again", || one.is_ready());
    agree(&[&one]);
    assert!(keys.iter().all(|key| refused(&one, key) == Some(AuthError::Revoked)));
    let new = KeyStore::builder().cluster(Cluster::new(ledger.another())).temporary().unwrap();
    assert!(keys.iter().all(|key| refused(&new, key) == Some(AuthError::Revoked)));
}

#[test]
fn what_another_history_lacks_is_taken_again_and_what_was_given_is_lost() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(directory.path().join("replica.db"));
    let disk = open().unwrap();
    let wide = || NewKey::for_owner("alice").permissions(["orders:*"]);
    let keys: Vec<_> = (0..9).map(|_| disk.create(wide()).unwrap()).collect();
    let id = |at: usize| keys[at].info.id();
    let narrow = || KeyUpdate::new().permissions(["orders:read"]);
    disk.update(id(8), narrow()).unwrap();
    let backup = ledger.backup();
    disk.revoke(id(0), "leaked").unwrap();
    disk.update(id(1), KeyUpdate::new().disabled(true)).unwrap();
    disk.update(id(2), narrow()).unwrap();
    let rotated = disk.rotate(id(3), Overlap::None).unwrap();
    disk.revoke(id(4), "left").unwrap();
    assert_eq!(disk.purge(chrono::Utc::now() + chrono::TimeDelta::hours(1)).unwrap(), 2);
    disk.update(id(8), KeyUpdate::new().permissions(["orders:*"])).unwrap();
    let late = create(&disk);
    disk.close().unwrap();
    ledger.go_back(&backup);
    // Somebody changes the keys of the snapshot.
    let one = node(&ledger, "one");
    one.revoke(id(5), "leaked").unwrap();
    one.update(id(6), narrow()).unwrap();
    let other = create(&one);
    let disk = open().unwrap();
    let what = recovered(&disk).unwrap();
    assert!(what.contains("the engine had lost 9 events") && what.contains("from 7 keys"), "{what}");
    // It is in force here before the log has it.
    for at in [0, 1, 3, 4, 5] {
        assert!(refused(&disk, &keys[at]).is_some(), "{at}");
    }
    agree(&[&disk, &one]);
    for store in [&disk, &one] {
        let revoked = [0, 4, 5].map(|at| refused(store, &keys[at]));
        assert_eq!(revoked, [Some(AuthError::Revoked), Some(AuthError::Revoked), Some(AuthError::Revoked)]);
        assert_eq!(refused(store, &keys[1]), Some(AuthError::Disabled));
        assert!(refused(store, &keys[3]).is_some() && refused(store, &rotated).is_some());
        assert!(
            refused(store, &late).is_some() && refused(store, &other).is_none() && refused(store, &keys[7]).is_none()
        );
        let grants = |at: usize| {
            let key = store.verify(keys[at].key.expose_secret()).unwrap();
            key.permissions().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!([2, 6, 8].map(grants), [["orders:read"], ["orders:read"], ["orders:read"]]);
    }
    let reapplied = one.events(&crate::EventFilter::default().kind("reapplied")).unwrap().events;
    assert_eq!(reapplied.len(), 5, "{reapplied:?}");
}

/// A node whose engine takes nothing, and a key of it with one event that set a field.
fn without_engine() -> (KeyStore, CreatedKey) {
    let faulty = Faulty::new(&MemoryLedger::new());
    let store = KeyStore::builder().cluster(Cluster::new(faulty.clone())).temporary().unwrap();
    let key = create(&store);
    store.update(key.info.id(), KeyUpdate::new().name("a")).unwrap();
    faulty.refuse(true);
    (store, key)
}

#[test]
fn what_was_not_taken_again_yet_stays_so_when_the_engine_goes_back_again() {
    let (store, key) = without_engine();
    let (engine, id) = (&store.inner().engine, key.info.id().as_u128());
    let node = ClusterOrder::node_of(engine);
    let record = engine.log.open().unwrap().record(id).unwrap().unwrap().0;
    let left = Record { disabled: true, ..record };
    let held = KeptRestriction { record: Some(Box::new(left)), sets_fields: true };
    node.put_here(&[(id, held)], |here, held| here.keep(Kept::Restriction(held.clone())));
    assert_eq!(node.keep_lost(engine, 1).unwrap(), Lost { keys: 1, named: 0 });
    let kept = engine.log.open().unwrap().kept_here().unwrap();
    let here = node.state().here.get(&id).and_then(|here| here.kept().cloned());
    for kept in [here.unwrap(), KeptHereOnly::decode(&kept[&id]).unwrap().into()] {
        let Kept::Restriction(kept) = kept else { panic!("{kept:?}") };
        assert!(kept.sets_fields && kept.record.unwrap().disabled);
    }
}

#[test]
fn a_revocation_that_the_engine_lost_once_more_is_not_forgotten() {
    let (store, key) = without_engine();
    let engine = &store.inner().engine;
    let why = store.revoke(key.info.id(), "leaked").unwrap_err();
    assert!(matches!(why, StoreError::Cluster(ClusterError::OnlyHere { is_kept: true, .. })), "{why:?}");
    // It was made, and the replica has been loaded from an engine without it since.
    ClusterOrder::node_of(engine).forget_written(engine, &[key.info.id().as_u128()]).unwrap();
    assert_eq!(store.health().cluster.unwrap().only_here, 1);
    assert_eq!(engine.log.open().unwrap().kept_here().unwrap().len(), 1);
}

#[test]
fn a_node_that_does_not_know_where_the_histories_parted_stops() {
    let ledger = MemoryLedger::new();
    let early = node(&ledger, "early");
    let key = create(&early);
    let backup = ledger.backup();
    create(&early);
    eventually("the state moved", || cluster(&ledger, "tool").status().unwrap().unwrap().state == 2);
    // Its history begins after the snapshot.
    let late = node(&ledger, "late");
    assert!(late.verify_events().unwrap().checkpoint == 2);
    early.close().unwrap();
    ledger.go_back(&backup);
    eventually("it stopped", || late.health().cluster.unwrap().stopped.is_some());
    let why = late.health().cluster.unwrap().stopped.unwrap();
    assert!(why.contains("nothing shows where they parted"), "{why}");
    assert_eq!(refused(&late, &key), Some(AuthError::Unavailable));
}

/// The log has decided on it by what the replica has, so an engine that went back must not decide again.
#[test]
fn a_change_without_an_answer_does_not_take_the_place_of_what_the_engine_lost() {
    let ledger = MemoryLedger::new();
    let faulty = Faulty::new(&ledger);
    let named = Cluster::new(faulty.clone()).name("one").max_staleness(Duration::from_secs(5));
    let one = KeyStore::builder().cluster(named).temporary().unwrap();
    let two = node(&ledger, "two");
    create(&two);
    agree(&[&one, &two]);
    let backup = ledger.backup();
    // No append of the first node arrives, and it does not learn of that.
    faulty.fill(true);
    faulty.lose_answers(true);
    faulty.hold_appends(false);
    std::thread::scope(|scope| {
        let creating = scope.spawn(|| one.create(NewKey::for_owner("bob")));
        eventually("it is sent", || faulty.came() > 0);
        let kept = create(&two);
        eventually("the first node follows", || refused(&one, &kept).is_none());
        two.close().unwrap();
        ledger.go_back(&backup);
        faulty.fill(false);
        faulty.lose_answers(false);
        // Whether it succeeds in time is of no interest here.
        drop(creating.join().unwrap());
        agree(&[&one]);
        assert_eq!(refused(&one, &kept), None);
        assert_eq!(recovered(&one).unwrap(), "the engine had lost 1 event, which this node published");
    });
}
