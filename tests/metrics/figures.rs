//! A recorder that keeps what it is given.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// Counters, gauges (the bits of their value) and histograms (how many values), by name and labels.
#[derive(Clone, Default)]
pub(crate) struct Figures {
    counters: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    gauges: Arc<Mutex<BTreeMap<String, Arc<AtomicU64>>>>,
    histograms: Arc<Mutex<BTreeMap<String, Arc<Recorded>>>>,
}

#[derive(Default)]
struct Recorded(AtomicU64);

impl metrics::HistogramFn for Recorded {
    fn record(&self, _: f64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Figures {
    /// The counters that are not 0.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let all = lock(&self.counters);
        let counts = all.iter().map(|(name, count)| (name.clone(), count.load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    /// The value of a gauge; `None` if there is none of this name and labels.
    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        lock(&self.gauges).get(name).map(|gauge| f64::from_bits(gauge.load(Ordering::Relaxed)))
    }

    /// The names and labels of all gauges.
    pub(crate) fn gauges(&self) -> Vec<String> {
        lock(&self.gauges).keys().cloned().collect()
    }

    /// How many values a histogram has.
    pub(crate) fn recorded(&self, name: &str) -> u64 {
        lock(&self.histograms).get(name).map_or(0, |histogram| histogram.0.load(Ordering::Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn name(key: &Key) -> String {
    let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
    format!("{}{{{}}}", key.name(), labels.join(","))
}

impl Recorder for Figures {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(lock(&self.counters).entry(name(key)).or_default().clone())
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(lock(&self.gauges).entry(name(key)).or_default().clone())
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(lock(&self.histograms).entry(name(key)).or_default().clone())
    }
}
