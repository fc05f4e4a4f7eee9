//! What the janitor does, and what the other nodes leave to it.

use std::time::Instant;

use chrono::TimeDelta;

use super::{cluster, eventually, node};
use crate::cluster::{Ledger, MemoryLedger};
use crate::{KeyId, KeyStore, ManualClock, NewKey, Overlap};

fn with_clock(ledger: &MemoryLedger, name: &str, clock: &ManualClock) -> KeyStore {
    KeyStore::builder().clock(clock.clone()).cluster(cluster(ledger, name)).temporary().unwrap()
}

/// How many secrets the replica has of a key.
fn secrets(store: &KeyStore, id: KeyId) -> usize {
    store.inner().engine.log.open().unwrap().record(id.as_u128()).unwrap().unwrap().0.secrets.len()
}

#[test]
fn the_log_keeps_a_day_and_a_new_node_has_all_keys() {
    let ledger = MemoryLedger::new();
    let clock = ManualClock::new(chrono::Utc::now());
    let one = with_clock(&ledger, "one", &clock);
    let early: Vec<_> = (0..3).map(|_| one.create(NewKey::for_owner("alice")).unwrap()).collect();
    let sight = || ledger.sight(1, Instant::now()).unwrap();
    eventually("the state has them", || sight().state.unwrap().number == 3);
    assert_eq!(sight().floor, 0);
    clock.advance(TimeDelta::hours(25));
    let late = one.create(NewKey::for_owner("bob")).unwrap();
    eventually("the log is trimmed", || sight().floor == 3);
    let two = with_clock(&ledger, "two", &clock);
    for key in early.iter().chain([&late]) {
        assert!(two.verify(key.key.expose_secret()).is_ok());
    }
}

#[test]
fn a_secret_stays_for_the_grace_and_its_end_is_noted_only_while_it_does() {
    let ledger = MemoryLedger::new();
    let clock = ManualClock::new(chrono::Utc::now());
    let [one, two] = ["one", "two"].map(|name| with_clock(&ledger, name, &clock));
    let id = one.create(NewKey::for_owner("alice")).unwrap().info.id();
    for _ in 0..5 {
        one.rotate(id, Overlap::For(TimeDelta::minutes(1))).unwrap();
        clock.advance(TimeDelta::minutes(5));
        one.inner().try_erase_ended().unwrap();
        assert_eq!(secrets(&one, id), 2, "the clock of another node may be behind");
        clock.advance(TimeDelta::minutes(10));
        one.inner().try_erase_ended().unwrap();
        assert_eq!(secrets(&one, id), 1);
    }
    eventually("the other node has it", || secrets(&two, id) == 1);
    // The other node erases nothing, and has no end of a secret that is erased: only that of the newest, which both keep.
    let noted = || [&one, &two].map(|store| store.inner().engine.writer().noted_ends());
    assert_eq!(noted(), [1, 1]);
    clock.advance(TimeDelta::days(31));
    one.inner().try_erase_ended().unwrap();
    let kept = |store: &KeyStore| store.get(id).unwrap().unwrap().ended_secret().is_some();
    assert!(!kept(&one));
    eventually("the other node keeps none either", || noted() == [0, 0]);
}

#[test]
fn a_node_purges_after_a_restart_what_the_cluster_has_purged() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db");
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(&path).unwrap();
    let disk = open();
    let other = node(&ledger, "other");
    disk.create(NewKey::for_owner("alice")).unwrap();
    other.create(NewKey::for_owner("bob")).unwrap();
    assert!(other.purge_events(chrono::Utc::now() + TimeDelta::hours(1)).unwrap() > 0);
    let applied = |store: &KeyStore| store.health().cluster.unwrap().applied;
    eventually("it has the event", || applied(&disk) == applied(&other));
    disk.close().unwrap();
    let disk = open();
    disk.inner().purge_as_the_cluster();
    // The thread that does it each minute may have begun before, and then this call leaves it to that.
    eventually("it purges", || disk.verify_events().unwrap().checkpoint > 0);
    let report = disk.verify_events().unwrap();
    assert!(report.is_whole(), "{report:?}");
}

/// How many outcomes of requests the state has.
fn outcomes(ledger: &MemoryLedger) -> usize {
    let mut held = 0;
    let mut take = |piece: crate::cluster::Piece<'_>| {
        if let crate::cluster::Piece::Image(image) = piece {
            held += usize::from(image.kind == 2);
        }
        Ok(())
    };
    ledger.load(1, Instant::now(), &mut take).unwrap();
    held
}

/// How many outcomes the database of a replica has, after a checkpoint.
fn outcomes_here(store: &KeyStore) -> usize {
    let log = store.inner().engine.log.open().unwrap();
    log.checkpoint().unwrap();
    log.request_outcomes().count()
}

#[test]
fn outcomes_of_requests_leave_the_state_when_they_no_longer_count() {
    let ledger = MemoryLedger::new();
    let clock = ManualClock::new(chrono::Utc::now());
    let one = with_clock(&ledger, "one", &clock);
    let create = |store: &KeyStore, name: &str| store.create(NewKey::for_owner("alice").idempotency_key(name)).unwrap();
    // More than a step may delete.
    let many = 130;
    create(&one, "first");
    for number in 1..many {
        create(&one, &format!("other {number}"));
    }
    eventually("the state has them", || outcomes(&ledger) == many);
    assert_eq!(outcomes_here(&one), many);
    clock.advance(TimeDelta::hours(12));
    create(&one, "third");
    clock.advance(TimeDelta::hours(13));
    // Another request of this name: the database has only the outcome of the former one.
    let again = create(&one, "first");
    eventually("the others are gone", || outcomes(&ledger) == 2 && outcomes_here(&one) == 2);
    let later = with_clock(&ledger, "later", &clock);
    assert_eq!(outcomes_here(&later), 2);
    assert_eq!(create(&later, "first").info.id(), again.info.id());
}
