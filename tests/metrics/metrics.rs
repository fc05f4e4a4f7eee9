//! The counters of the feature `metrics`, as a recorder receives them: `cargo test -p apikey-metrics`.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use apikey::{KeyStore, NewKey, Overlap, Requirement};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counters by name and label.
#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    fn now(&self) -> Vec<(String, u64)> {
        let all = self.0.lock().unwrap();
        let counts = all.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        let name = format!("{}{{{}}}", key.name(), labels.join(","));
        Counter::from_arc(self.0.lock().unwrap().entry(name).or_default().clone())
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn answers_and_changes_are_counted() {
    let counters = Counters::default();
    metrics::with_local_recorder(&counters, || {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
        let token = created.key.expose_secret();
        (0..3).for_each(|_| assert!(store.verify(token).is_ok()));
        store.authorize(token, &Requirement::permission("orders:write").unwrap()).unwrap_err();
        store.verify("ak_nothing").unwrap_err();
        store.verify("ak_nothing").unwrap_err();
        store.rotate(created.info.id(), Overlap::None).unwrap();
        store.revoke(created.info.id(), "").unwrap();
        store.revoke(created.info.id(), "").unwrap();
        store.verify(token).unwrap_err();
    });
    let expected = [
        ("apikey_changes_total{kind=created}", 1),
        ("apikey_changes_total{kind=revoked}", 1),
        ("apikey_changes_total{kind=rotated}", 1),
        ("apikey_verifications_total{code=insufficient_permission}", 1),
        ("apikey_verifications_total{code=invalid_api_key}", 3),
        ("apikey_verifications_total{code=ok}", 3),
    ];
    assert_eq!(counters.now(), expected.map(|(name, count)| (name.to_owned(), count)));
}
