//! Nodes of one process that share a ledger in memory.

mod any_moment;
mod damaged;
mod faulty;
mod fell_behind;
mod first_uses;
mod idle;
mod janitor;
mod labels;
mod named;
mod outage;
mod quotas;
mod shared_entries;
mod unusable;
mod usage;
mod went_back;

use std::time::Duration;

use crate::cluster::format::entry::LOG_END;
use crate::cluster::{Cluster, Ledger, MemoryLedger};
use crate::{AuthError, KeyStore, NewKey, Overlap, Pepper, StoreError};

fn node(ledger: &MemoryLedger, name: &str) -> KeyStore {
    KeyStore::builder().cluster(cluster(ledger, name)).temporary().unwrap()
}

fn cluster(ledger: &MemoryLedger, name: &str) -> Cluster {
    Cluster::new(ledger.another()).name(name).max_staleness(Duration::from_secs(5))
}

fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn three() -> (MemoryLedger, [KeyStore; 3]) {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two", "three"].map(|name| node(&ledger, name));
    (ledger, nodes)
}

#[test]
fn a_key_of_one_node_is_valid_on_the_others_until_one_revokes_it() {
    let (_ledger, [one, two, three]) = three();
    let created = one.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
    let token = created.key.expose_secret();
    for store in [&one, &two, &three] {
        assert_eq!(store.verify(token).unwrap().owner(), "alice");
    }
    assert!(three.revoke(created.info.id(), "leaked").unwrap());
    for store in [&one, &two, &three] {
        assert_eq!(store.verify(token).unwrap_err(), AuthError::Revoked);
    }
    assert!(!one.revoke(created.info.id(), "again").unwrap());
    let report = two.verify_events().unwrap();
    assert!(report.is_whole() && report.last == 2, "{report:?}");
}

#[test]
fn changes_of_several_nodes_at_once_leave_equal_replicas() {
    let (_ledger, nodes) = three();
    std::thread::scope(|scope| {
        for (at, store) in nodes.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..20 {
                    let created = store.create(NewKey::for_owner(format!("owner{at}"))).unwrap();
                    if number % 2 == 0 {
                        store.revoke(created.info.id(), "even").unwrap();
                    } else {
                        store.rotate(created.info.id(), Overlap::None).unwrap();
                    }
                }
            });
        }
    });
    for store in &nodes {
        assert!(store.revoke(crate::KeyId::from_u128(1), "none").is_err(), "it confirms the head");
    }
    let heads: Vec<_> = nodes.iter().map(|store| store.inner().engine.writer().head()).collect();
    assert!(heads.iter().all(|head| *head == heads[0]), "{heads:?}");
    assert_eq!(heads[0].number, 120);
}

#[test]
fn a_new_node_loads_the_state_and_an_old_one_catches_up() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db");
    let open = || KeyStore::builder().cluster(cluster(&ledger, "disk")).open(&path).unwrap();
    let disk = open();
    let first = disk.create(NewKey::for_owner("alice")).unwrap();
    disk.close().unwrap();
    let other = node(&ledger, "other");
    assert!(other.verify(first.key.expose_secret()).is_ok());
    let second = other.create(NewKey::for_owner("bob")).unwrap();
    other.revoke(first.info.id(), "left").unwrap();
    let disk = open();
    assert_eq!(disk.verify(first.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(disk.verify(second.key.expose_secret()).is_ok());
}

#[test]
fn a_first_use_ends_the_old_secret_on_every_node() {
    let (_ledger, [one, two, three]) = three();
    let old = one.create(NewKey::for_owner("alice")).unwrap();
    let new = two.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
    assert!(three.verify(old.key.expose_secret()).unwrap().superseded());
    assert!(three.verify(new.key.expose_secret()).is_ok());
    assert!(three.verify(old.key.expose_secret()).is_err());
    eventually("the first use is in the log", || one.verify(old.key.expose_secret()).is_err());
    assert!(one.verify(new.key.expose_secret()).is_ok());
}

#[test]
fn what_does_not_fit_the_cluster_is_a_clear_error() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db");
    drop(KeyStore::builder().cluster(cluster(&ledger, "one")).open(&path).unwrap());
    let text = |result: Result<KeyStore, crate::OpenError>| result.err().unwrap().to_string();
    assert!(text(KeyStore::open(&path)).contains("is a replica of a cluster"));
    let other = MemoryLedger::new();
    let fault = text(KeyStore::builder().cluster(cluster(&other, "one")).open(&path));
    assert!(fault.contains("there is none in this namespace"), "{fault}");
    drop(node(&other, "founder"));
    let fault = text(KeyStore::builder().cluster(cluster(&other, "one")).open(&path));
    assert!(fault.contains("replica of another cluster"), "{fault}");
    let own = directory.path().join("own.db");
    KeyStore::open(&own).unwrap().create(NewKey::for_owner("alice")).unwrap();
    let fault = text(KeyStore::builder().cluster(cluster(&ledger, "one")).open(&own));
    assert!(fault.contains("`apikey cluster found`"), "{fault}");
    let pepper = KeyStore::builder().pepper(Pepper::new(1, [7; 32])).cluster(cluster(&ledger, "one"));
    assert!(text(pepper.temporary()).contains("founded without one"));
    let prefix = KeyStore::builder().prefix("acme").cluster(cluster(&ledger, "one"));
    assert!(text(prefix.temporary()).contains("prefix \"acme\""));
    let name = KeyStore::builder().cluster(cluster(&ledger, "a b"));
    assert!(text(name.temporary()).contains("cluster name \"a b\""));
}

#[test]
fn a_node_that_closed_is_not_waited_for() {
    let (_ledger, [one, two, three]) = three();
    three.close().unwrap();
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    let begun = std::time::Instant::now();
    two.revoke(created.info.id(), "leaked").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited for a node that is gone");
    assert!(matches!(three.revoke(created.info.id(), "leaked"), Err(StoreError::Closed)));
}

#[test]
fn a_node_that_left_refuses_every_key_and_is_not_waited_for() {
    let (ledger, [one, two, three]) = three();
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    let token = created.key.expose_secret();
    assert!(three.verify(token).is_ok());
    assert!(three.leave_cluster() && three.leave_cluster(), "also again");
    assert_eq!(three.verify(token).unwrap_err(), AuthError::Unavailable);
    assert!(!three.is_ready());
    let stopped = three.health().cluster.unwrap().stopped.unwrap();
    assert!(stopped.contains("has left the cluster"), "{stopped}");
    let error = three.revoke(created.info.id(), "leaked").unwrap_err().to_string();
    assert!(error.contains("has left the cluster"), "{error}");
    // Its threads go on, and do not bring it back.
    std::thread::sleep(Duration::from_secs(1));
    let status = cluster(&ledger, "tool").status().unwrap().unwrap();
    let names: Vec<_> = status.nodes.iter().map(|node| node.name.as_str()).collect();
    assert_eq!((names, status.head), (vec!["one", "two"], 1), "{status:?}");
    assert!(!three.is_ready());
    let begun = std::time::Instant::now();
    two.revoke(created.info.id(), "leaked").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited for a node that is gone");
    assert!(!KeyStore::temporary().unwrap().leave_cluster(), "outside a cluster");
}

#[test]
fn a_node_that_stopped_is_not_waited_for() {
    let (ledger, [one, two, three]) = three();
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    let sight = ledger.sight(1, std::time::Instant::now()).unwrap();
    // Something that no node can apply.
    let head = sight.head.unwrap();
    let last = crate::cluster::Position { number: head.number + 1, digest: [7; 32] };
    let entry = crate::cluster::Entry { generation: 1, op: [7; 16], base: head, last, bytes: b"no entry" };
    ledger.append(&entry, None, std::time::Instant::now()).unwrap();
    for store in [&one, &two, &three] {
        let until = std::time::Instant::now() + Duration::from_secs(60);
        while store.health().cluster.unwrap().stopped.is_none() {
            assert!(std::time::Instant::now() < until, "it did not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while !cluster(&ledger, "tool").status().unwrap().unwrap().nodes.is_empty() {
        assert!(std::time::Instant::now() < until, "they are still listed");
        std::thread::sleep(Duration::from_millis(10));
    }
    for store in [&one, &two, &three] {
        assert_eq!(store.verify(created.key.expose_secret()).unwrap_err(), AuthError::Unavailable);
    }
}

#[test]
fn a_store_becomes_a_cluster_and_a_backup_replaces_its_keys() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let own = KeyStore::open(path("own.db")).unwrap();
    let keys: Vec<_> = (0..300).map(|number| NewKey::for_owner(format!("owner{number}"))).collect();
    let created = own.create_many(keys).unwrap();
    own.backup(path("backup")).unwrap();
    own.revoke(created[0].info.id(), "leaked").unwrap();
    let digest = own.inner().engine.writer().head();
    own.close().unwrap();
    let founder = || KeyStore::builder().cluster(cluster(&ledger, "founder"));
    assert_eq!(founder().found_cluster(path("own.db")).unwrap(), 300);
    let again = founder().found_cluster(path("own.db")).unwrap_err().to_string();
    assert!(again.contains("is a replica of a cluster"), "{again}");
    let (one, two) = (founder().open(path("own.db")).unwrap(), node(&ledger, "two"));
    assert_eq!(one.inner().engine.writer().head(), digest, "the chain goes on");
    for store in [&one, &two] {
        assert_eq!(store.verify(created[0].key.expose_secret()).unwrap_err(), AuthError::Revoked);
        assert_eq!(store.verify(created[299].key.expose_secret()).unwrap().owner(), "owner299");
    }
    let late = two.create(NewKey::for_owner("late")).unwrap();
    assert!(one.verify(late.key.expose_secret()).is_ok());
    // Somebody restores the backup, in which the key is not revoked.
    KeyStore::restore(&crate::Restore::new(path("backup"), path("restored.db"))).unwrap();
    assert_eq!(founder().replace_cluster(path("restored.db")).unwrap(), 300);
    let three = node(&ledger, "three");
    assert!(three.verify(created[0].key.expose_secret()).is_ok());
    assert_eq!(three.verify(late.key.expose_secret()).unwrap_err(), AuthError::Invalid);
    // A node that has the former keys refuses all of them from its next look on.
    let stopped = |store: &KeyStore| store.health().cluster.unwrap().stopped;
    eventually("it looked", || stopped(&one).is_some());
    assert_eq!(one.verify(created[299].key.expose_secret()).unwrap_err(), AuthError::Unavailable);
    assert!(!one.is_ready() && stopped(&one).unwrap().contains("open it again"));
    // Its replica is loaded again.
    one.close().unwrap();
    let one = founder().open(path("own.db")).unwrap();
    assert!(one.verify(created[0].key.expose_secret()).is_ok());
    let health = one.health().cluster.unwrap();
    assert!(health.ready && health.node == "founder" && health.max_staleness == Duration::from_secs(5), "{health:?}");
}

#[test]
fn a_replacement_that_was_cut_off_and_is_run_again_ends_the_former_log() {
    let ledger = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let own = directory.path().join("own.db");
    KeyStore::open(&own).unwrap().create(NewKey::for_owner("alice")).unwrap();
    let former = node(&ledger, "former");
    former.create(NewKey::for_owner("bob")).unwrap();
    let faulty = faulty::Faulty::new(&ledger);
    let replace = || {
        let cluster = Cluster::new(faulty.clone()).name("tool").max_staleness(Duration::from_secs(5));
        KeyStore::builder().cluster(cluster).replace_cluster(&own)
    };
    faulty.refuse_ends(true);
    let fault = replace().unwrap_err().to_string();
    assert!(fault.contains("a test keeps the log open"), "{fault}");
    faulty.refuse_ends(false);
    assert_eq!(replace().unwrap(), 1);
    let log = ledger.read(1, 0, usize::MAX, std::time::Instant::now()).unwrap();
    assert_eq!(log.last().unwrap().bytes, LOG_END, "a node that stood still meanwhile appends nothing to it");
}

#[test]
fn a_newer_pepper_is_used_once_every_node_has_it() {
    let ledger = MemoryLedger::new();
    let open = |name: &str, numbers: &[u32]| {
        let builder = numbers.iter().fold(KeyStore::builder(), |builder, number| {
            builder.pepper(Pepper::new(*number, [u8::try_from(*number).unwrap(); 32]))
        });
        builder.cluster(cluster(&ledger, name)).temporary()
    };
    let pepper_of = |store: &KeyStore| store.inner().engine.writer().digester().pepper();
    let (old, new) = (open("old", &[1]).unwrap(), open("new", &[1, 2]).unwrap());
    let created = new.create(NewKey::for_owner("alice")).unwrap();
    assert_eq!((pepper_of(&old), pepper_of(&new)), (1, 1));
    assert!(old.verify(created.key.expose_secret()).is_ok());
    old.close().unwrap();
    let also_new = open("also-new", &[1, 2]).unwrap();
    eventually("the pepper is 2", || (pepper_of(&new), pepper_of(&also_new)) == (2, 2));
    let second = also_new.create(NewKey::for_owner("bob")).unwrap();
    for token in [&created, &second] {
        assert!(new.verify(token.key.expose_secret()).is_ok());
    }
    let fault = open("old", &[1]).err().unwrap().to_string();
    assert!(fault.contains("pepper 2 is missing"), "{fault}");
}

#[test]
fn events_are_purged_on_every_node_and_the_clock_is_accepted_by_all() {
    let ledger = MemoryLedger::new();
    let clocks: Vec<_> = (0..2).map(|_| crate::ManualClock::new(chrono::Utc::now())).collect();
    let [one, two] = [0, 1].map(|at: usize| {
        let builder = KeyStore::builder().clock(clocks[at].clone());
        builder.cluster(cluster(&ledger, ["one", "two"][at])).temporary().unwrap()
    });
    let created = one.create(NewKey::for_owner("alice").expires_in(chrono::TimeDelta::days(90))).unwrap();
    // The clock of one node is ten years ahead for a moment, and it makes a change.
    let years = chrono::TimeDelta::days(3650);
    clocks[0].advance(years);
    one.update(created.info.id(), crate::KeyUpdate::new().name("ci")).ok();
    clocks[0].advance(-years);
    let _ = two.wait_for_nodes(Duration::from_secs(5));
    one.accept_clock().unwrap();
    let confirm = |store: &KeyStore| assert!(store.revoke(crate::KeyId::from_u128(1), "none").is_err());
    confirm(&two);
    assert!(one.verify(created.key.expose_secret()).is_ok() && two.verify(created.key.expose_secret()).is_ok());
    let purged = one.purge_events(chrono::Utc::now() + chrono::TimeDelta::hours(1)).unwrap();
    assert!(purged >= 1, "{purged}");
    confirm(&two);
    two.inner().purge_as_the_cluster();
    for store in [&one, &two] {
        let report = store.verify_events().unwrap();
        assert!(report.is_whole() && report.checkpoint > 0, "{report:?}");
    }
}
