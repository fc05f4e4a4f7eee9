//! The clock of one node is wrong.

use std::time::{Duration, Instant};

use apikey_core::{AuthError, ClusterError, KeyStore, KeyUpdate, ManualClock, NewKey, StoreError};
use chrono::{TimeDelta, Utc};

use super::fixture::{Nodes, on_each_engine};

/// Why a node does not create keys, once it says this.
#[track_caller]
fn refusal(store: &KeyStore, says: &str) -> String {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        match store.create(NewKey::for_owner("alice")) {
            Err(StoreError::Cluster(ClusterError::Refused { what })) if what.contains(says) => return what,
            other => assert!(Instant::now() < end, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

on_each_engine! {
    /// What takes something away is never refused for a clock, and no other node is worse off.
    fn a_node_whose_clock_is_wrong_gives_nothing_and_takes_everything(nodes) {
        let clock = ManualClock::new(Utc::now());
        let [one, two] = ["one", "two"].map(|name| nodes.open(name));
        let three = nodes.builder("three").clock(clock.clone()).temporary().unwrap();
        let create = || one.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
        let (first, second) = (create(), create());
        assert!(one.wait_for_nodes(Duration::from_secs(60)).is_empty());
        for (minutes, side) in [(10, "ahead of"), (-20, "behind")] {
            clock.advance(TimeDelta::minutes(minutes));
            let why = refusal(&three, side);
            assert!(why.contains("the clock of this node is") && why.contains("correct it"), "{why}");
            // It verifies and takes, as soon as it has looked again.
            let end = Instant::now() + Duration::from_secs(60);
            while three.verify(second.key.expose_secret()).is_err() {
                assert!(Instant::now() < end, "it does not verify");
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(one.create(NewKey::for_owner("bob")).is_ok() && two.create(NewKey::for_owner("bob")).is_ok());
        }
        three.revoke(first.info.id(), "left").unwrap();
        assert_eq!(one.verify(first.key.expose_secret()).unwrap_err(), AuthError::Revoked);
        three.update(second.info.id(), KeyUpdate::new().disabled(true)).unwrap();
        assert_eq!(two.verify(second.key.expose_secret()).unwrap_err(), AuthError::Disabled);
        // Within five minutes it is right enough.
        clock.advance(TimeDelta::minutes(9));
        let end = Instant::now() + Duration::from_secs(60);
        while let Err(error) = three.create(NewKey::for_owner("alice")) {
            assert!(Instant::now() < end, "{error}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
