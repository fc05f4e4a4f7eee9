//! Figures of a node for the `metrics` crate; without the feature this does nothing.

use std::time::Duration;

use crate::commit::cluster::health::ClusterHealth;

/// Reports a node's figures. Names and labels are in `docs/guides/observability.md`.
#[cfg(feature = "metrics")]
pub(crate) struct NodeMeter {
    ready: metrics::Gauge,
    applied: metrics::Gauge,
    head: metrics::Gauge,
    age: metrics::Gauge,
    nodes: metrics::Gauge,
    silent: metrics::Gauge,
    only_here: metrics::Gauge,
    stopped: metrics::Gauge,
    engine_failing: metrics::Gauge,
    used: metrics::Gauge,
    quota: metrics::Gauge,
    wait: metrics::Histogram,
}

#[cfg(feature = "metrics")]
impl NodeMeter {
    /// Creates the meter of the node with this name.
    pub(crate) fn new(node: &str) -> Self {
        let gauge = |name: &'static str, unit: metrics::Unit, what: &'static str| {
            metrics::describe_gauge!(name, unit, what);
            metrics::gauge!(name, "node" => node.to_owned())
        };
        let wait = "apikey_cluster_wait_seconds";
        metrics::describe_histogram!(wait, metrics::Unit::Seconds, "Waits of changes until they hold on every node");
        Self {
            ready: gauge("apikey_cluster_ready", metrics::Unit::Count, "1 if the node verifies keys"),
            applied: gauge("apikey_cluster_applied", metrics::Unit::Count, "Number of the last event of the replica"),
            head: gauge(
                "apikey_cluster_head",
                metrics::Unit::Count,
                "Number of the last event of the log, as last seen",
            ),
            age: gauge(
                "apikey_cluster_age_seconds",
                metrics::Unit::Seconds,
                "The replica has what was in the log then",
            ),
            nodes: gauge("apikey_cluster_nodes", metrics::Unit::Count, "Nodes that may serve, as last listed"),
            silent: gauge("apikey_cluster_nodes_silent", metrics::Unit::Count, "Listed nodes that are being removed"),
            only_here: gauge("apikey_cluster_only_here", metrics::Unit::Count, "Keys that are revoked here alone"),
            stopped: gauge("apikey_cluster_stopped", metrics::Unit::Count, "1 if the node no longer follows the log"),
            engine_failing: gauge("apikey_cluster_engine_failing", metrics::Unit::Count, "1 while the engine refuses"),
            used: gauge("apikey_cluster_engine_used_bytes", metrics::Unit::Bytes, "Bytes that the engine holds"),
            quota: gauge("apikey_cluster_engine_quota_bytes", metrics::Unit::Bytes, "Bytes that the engine may hold"),
            wait: metrics::histogram!(wait, "node" => node.to_owned()),
        }
    }

    /// Reports how the node stands.
    #[allow(clippy::cast_precision_loss, reason = "a gauge is a float; numbers of events are exact up to 2^53")]
    pub(crate) fn stands(&self, health: impl FnOnce() -> ClusterHealth) {
        let health = health();
        let flag = |is: bool| if is { 1.0 } else { 0.0 };
        self.ready.set(flag(health.ready));
        self.applied.set(health.applied as f64);
        if let Some(head) = health.head {
            self.head.set(head as f64);
        }
        // A node that was never fresh has no age, and one that is not fresh is as old as the bound at least.
        let age = health.age.map_or(f64::INFINITY, |age| age.as_secs_f64());
        self.age.set(age);
        self.nodes.set(health.nodes.len() as f64);
        self.silent.set(health.nodes.iter().filter(|node| node.silent).count() as f64);
        self.only_here.set(health.only_here as f64);
        self.stopped.set(flag(health.stopped.is_some()));
        self.engine_failing.set(flag(health.engine_error.is_some()));
        if let Some((used, quota)) = health.space {
            self.used.set(used as f64);
            self.quota.set(quota as f64);
        }
    }

    /// Reports how long a change waited for the other nodes.
    pub(crate) fn waited(&self, wait: Duration) {
        self.wait.record(wait.as_secs_f64());
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) struct NodeMeter;

#[cfg(not(feature = "metrics"))]
#[allow(clippy::unused_self, reason = "as with the feature")]
impl NodeMeter {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    pub(crate) fn stands(&self, _: impl FnOnce() -> ClusterHealth) {}

    pub(crate) fn waited(&self, _: Duration) {}
}
