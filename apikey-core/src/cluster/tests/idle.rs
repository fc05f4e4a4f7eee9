//! Keys that end when nobody uses them, on nodes that each have times of use of their own.

use std::time::Instant;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::{cluster, eventually};
use crate::cluster::MemoryLedger;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::node::shared::PATIENCE;
use crate::{AuthError, CreatedKey, EventFilter, KeyState, KeyStore, KeyStoreBuilder, KeyUpdate, ManualClock, NewKey};

fn hours(count: i64) -> TimeDelta {
    TimeDelta::hours(count)
}

/// Nodes that read one clock, which a test sets. Each refuses all keys, and gives nothing, until it has seen the new time.
struct Fixture {
    ledger: MemoryLedger,
    clock: ManualClock,
    start: DateTime<Utc>,
}

impl Fixture {
    fn new() -> Self {
        let start = Utc::now().trunc_subsecs(0);
        Self { ledger: MemoryLedger::new(), clock: ManualClock::new(start), start }
    }

    fn builder(&self, name: &str) -> KeyStoreBuilder {
        KeyStore::builder().clock(self.clock.clone()).cluster(cluster(&self.ledger, name))
    }

    fn node(&self, name: &str) -> KeyStore {
        self.builder(name).temporary().unwrap()
    }

    fn at(&self, hour: i64) {
        self.clock.set(self.start + hours(hour));
    }
}

fn verify(store: &KeyStore, key: &CreatedKey) -> Result<(), AuthError> {
    let token = key.key.expose_secret();
    eventually("the node serves", || !matches!(store.verify(token), Err(AuthError::Unavailable)));
    store.verify(token).map(drop)
}

/// What a node does every few seconds.
fn write_in_use(store: &KeyStore) {
    let engine = &store.inner().engine;
    let node = ClusterOrder::node_of(engine);
    eventually("the node writes", || node.write_in_use(engine, Instant::now() + PATIENCE).is_ok());
}

/// The number of events that make a use known, once the node has every event.
fn known_uses(store: &KeyStore) -> usize {
    store.events(&EventFilter::default().kind("in_use")).unwrap().events.len()
}

#[test]
fn a_key_that_other_nodes_use_ends_nowhere() {
    let fixture = Fixture::new();
    let [one, other] = ["one", "other"].map(|name| fixture.node(name));
    let key = one.create(NewKey::for_owner("alice").idle_after(hours(40))).unwrap();
    // Used on one node alone, every nine hours: that is less than a quarter of the time.
    for used in 1..=8 {
        fixture.at(9 * used);
        assert_eq!(verify(&one, &key), Ok(()), "{used}");
        write_in_use(&one);
        write_in_use(&one);
    }
    eventually("the other node has the events", || known_uses(&other) == known_uses(&one));
    assert_eq!(known_uses(&one), 4, "every second use");
    assert_eq!(verify(&other, &key), Ok(()));
    assert!(other.verify_events().unwrap().is_whole());
}

#[test]
fn a_key_ends_up_to_a_quarter_of_its_time_late_where_others_have_used_it() {
    let fixture = Fixture::new();
    let [one, other] = ["one", "other"].map(|name| fixture.node(name));
    let [used, unused] = [(); 2].map(|()| one.create(NewKey::for_owner("alice").idle_after(hours(40))).unwrap());
    fixture.at(10);
    assert_eq!(verify(&one, &used), Ok(()));
    write_in_use(&one);
    assert_eq!(known_uses(&one), 0, "others wait for a quarter more, anyway");
    fixture.at(20);
    assert_eq!(verify(&one, &used), Ok(()));
    write_in_use(&one);
    eventually("the use is known", || known_uses(&other) == 1);
    fixture.at(29);
    assert_eq!(verify(&one, &used), Ok(()));
    write_in_use(&one);
    assert_eq!(known_uses(&one), 1);
    let id = used.info.id();
    let idle_at = |store: &KeyStore| store.get(id).unwrap().unwrap().idle_at().unwrap() - fixture.start;
    // 29 and 40 hours, and 20 and 40 and a quarter of them; the first node knows both.
    assert_eq!([idle_at(&one), idle_at(&other)], [hours(70); 2]);
    fixture.at(50);
    assert_eq!([&one, &other].map(|store| verify(store, &unused)), [Err(AuthError::Idle), Err(AuthError::Idle)]);
    fixture.at(69);
    let is_active =
        |store: &KeyStore| store.get(id).unwrap().unwrap().state(fixture.start + hours(69)) == KeyState::Active;
    assert!(is_active(&one) && is_active(&other));
    fixture.at(70);
    assert_eq!([&one, &other].map(|store| verify(store, &used)), [Err(AuthError::Idle), Err(AuthError::Idle)]);
    // An operator revives it on every node.
    let revive = || other.update(id, KeyUpdate::new().idle_after(hours(40)));
    eventually("the node writes", || revive().is_ok());
    assert_eq!([&one, &other].map(|store| verify(store, &used)), [Ok(()), Ok(())]);
}

#[test]
fn nodes_make_uses_known_by_themselves() {
    let fixture = Fixture::new();
    let [one, other] = ["one", "other"].map(|name| fixture.node(name));
    let key = one.create(NewKey::for_owner("alice").idle_after(hours(4))).unwrap();
    fixture.at(3);
    assert_eq!(verify(&other, &key), Ok(()));
    eventually("the use is known", || known_uses(&one) == 1);
    fixture.at(7);
    assert_eq!(verify(&one, &key), Ok(()));
}

#[test]
fn a_cluster_that_is_founded_knows_the_uses_of_its_store() {
    let fixture = Fixture::new();
    let directory = tempfile::tempdir().unwrap();
    let alone = KeyStore::builder().clock(fixture.clock.clone()).open(directory.path()).unwrap();
    let [used, unused] = [(); 2].map(|()| alone.create(NewKey::for_owner("alice").idle_after(hours(4))).unwrap());
    fixture.at(3);
    assert_eq!(verify(&alone, &used), Ok(()));
    alone.close().unwrap();
    fixture.builder("founder").found_cluster(directory.path()).unwrap();
    fixture.at(6);
    let node = fixture.node("node");
    assert_eq!([verify(&node, &used), verify(&node, &unused)], [Ok(()), Err(AuthError::Idle)]);
}
