//! A rolling upgrade: nodes of two versions, of which the newer one writes what the older one must not pass over.

use std::time::{Duration, Instant};

use apikey_core::{AuthError, ClusterError, KeyStore, NewKey, StoreError};

use super::fixture::{Nodes, Version, on_each_engine};
use super::newer::TAG;

#[track_caller]
fn wait_until(what: &str, is: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn names(store: &KeyStore) -> Vec<String> {
    store.health().cluster.unwrap().nodes.into_iter().map(|node| node.name).collect()
}

on_each_engine! {
    fn a_node_of_an_earlier_version_stops_at_what_it_must_not_pass_over(nodes) {
        let directory = tempfile::tempdir().unwrap();
        let open = |name: &str, version| nodes.builder_of(name, version).open(directory.path().join(name)).unwrap();
        let (one, two) = (open("one", Version::This), open("two", Version::This));
        let before = one.create(NewKey::for_owner("alice")).unwrap();
        let before = before.key.expose_secret();
        assert!(two.verify(before).is_ok());
        // The first node is upgraded.
        one.close().unwrap();
        drop(one);
        let one = open("one", Version::Newer);
        assert!(one.verify(before).is_ok() && two.verify(before).is_ok(), "both versions follow the same log");
        let created = one.create(NewKey::for_owner("alice")).unwrap();
        let after = created.key.expose_secret();
        assert!(one.verify(after).is_ok());
        // The other one serves no longer, by nothing that it has, and says what it met and where.
        wait_until("the earlier version goes on", || two.health().cluster.unwrap().stopped.is_some());
        let why = two.health().cluster.unwrap().stopped.unwrap();
        assert!(why.contains("the entry 2 to 2 of the log (operation ") && why.contains("a change of an entry"), "{why}");
        assert!(why.contains(&format!("{TAG}")) && why.contains("newer version"), "{why}");
        assert_eq!(two.verify(before).unwrap_err(), AuthError::Unavailable);
        assert_eq!(two.verify(after).unwrap_err(), AuthError::Unavailable);
        assert!(!two.is_ready());
        match two.create(NewKey::for_owner("alice")) {
            Err(StoreError::Cluster(ClusterError::Stopped { what })) => assert_eq!(what, why),
            other => panic!("{other:?}"),
        }
        // It leaves, so nobody waits for it.
        wait_until("it is still listed", || names(&one) == ["one"]);
        // Without an upgrade it does not open either: nothing is guessed.
        two.close().unwrap();
        drop(two);
        let again = nodes.builder_of("two", Version::This).open(directory.path().join("two")).unwrap_err().to_string();
        assert!(again.contains("the entry 2 to 2 of the log (operation ") && again.contains("newer version"), "{again}");
        // With it the node follows from where it was.
        let two = open("two", Version::Newer);
        assert!(two.verify(before).is_ok() && two.verify(after).is_ok());
        one.revoke(created.info.id(), "left").unwrap();
        assert_eq!(two.verify(after).unwrap_err(), AuthError::Revoked);
        assert!(two.verify_events().unwrap().is_whole());
    }
}
