//! A node that was away until the log no longer had what it lacks.

use std::time::{Duration, Instant};

use super::faulty::Faulty;
use super::{eventually, node};
use crate::cluster::{Cluster, Ledger, MemoryLedger};
use crate::{AuthError, KeyStore, NewKey};

#[test]
fn a_node_that_was_away_for_too_long_loads_its_replica_anew_and_serves_on() {
    let ledger = MemoryLedger::new();
    let soon = || Instant::now() + Duration::from_secs(10);
    let one = node(&ledger, "one");
    let faulty = Faulty::new(&ledger);
    let cluster = Cluster::new(faulty.clone()).name("two").max_staleness(Duration::from_secs(5));
    let two = KeyStore::builder().cluster(cluster).temporary().unwrap();
    let [left, kept] = ["alice", "bob"].map(|owner| one.create(NewKey::for_owner(owner)).unwrap());
    assert!(one.wait_for_nodes(Duration::from_secs(60)).is_empty());
    assert!(two.verify(left.key.expose_secret()).is_ok());

    faulty.refuse(true);
    one.revoke(left.info.id(), "left").unwrap();
    let new = one.create(NewKey::for_owner("carol")).unwrap();
    let head = ledger.sight(1, soon()).unwrap().head.unwrap();
    eventually("the state moves on", || ledger.sight(1, soon()).unwrap().state.unwrap() == head);
    ledger.trim(1, head.number, soon()).unwrap();
    assert_eq!(two.verify(left.key.expose_secret()).unwrap_err(), AuthError::Unavailable);
    faulty.refuse(false);

    eventually("the node serves again", || two.is_ready());
    assert_eq!(two.verify(left.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(two.verify(kept.key.expose_secret()).is_ok() && two.verify(new.key.expose_secret()).is_ok());
    let health = two.health().cluster.unwrap();
    assert_eq!((health.stopped, health.applied), (None, head.number));
    let recovered = health.recovered.unwrap();
    assert!(recovered.contains("no longer had what this replica lacked"), "{recovered}");
    // It makes changes, and follows.
    two.revoke(kept.info.id(), "left").unwrap();
    one.revoke(new.info.id(), "left").unwrap();
    assert_eq!(one.verify(kept.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert_eq!(two.verify(new.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(two.verify_events().unwrap().is_whole());
}
