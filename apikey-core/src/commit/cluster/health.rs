//! The health of a node of a cluster.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The health of a store as a node of a cluster: [`Health::cluster`](crate::Health::cluster).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct ClusterHealth {
    /// The name of this node.
    pub node: String,
    /// The engine that holds the log.
    pub engine: String,
    /// Whether this node verifies keys: its replica is fresh.
    pub ready: bool,
    /// The number of the last event that this node has applied.
    pub applied: u64,
    /// The number of the log's last event when this node last looked; `None` before the first look.
    pub head: Option<u64>,
    /// The replica has everything that was in the log this long ago; `None` if the node is not fresh.
    pub age: Option<Duration>,
    /// How old a replica may be that still serves: `max_staleness` of the cluster.
    pub max_staleness: Duration,
    /// The nodes that may serve, this one included, as this node last saw them.
    pub nodes: Vec<NodeHealth>,
    /// The number of keys, roles and tenants that have lost something on this node alone, such as keys that are revoked, until
    /// the engine takes that.
    pub only_here: u64,
    /// Why this node has stopped to follow the log; it refuses every key until it is opened again.
    pub stopped: Option<String>,
    /// What this node does to be in step with the engine again, such as to publish events that the engine lost; it refuses
    /// every key until it is done.
    #[serde(default)]
    pub recovering: Option<String>,
    /// What it did the last time, since it was opened.
    #[serde(default)]
    pub recovered: Option<String>,
    /// The last error of the engine, until it answers again.
    pub engine_error: Option<String>,
    /// The log has every event after this one.
    pub floor: u64,
    /// The bytes that the engine holds, and those at which it refuses writes, where it tells.
    pub space: Option<(u64, u64)>,
    /// Whether this node does the work that one node has to do: moving the state, and trimming the log.
    pub janitor: bool,
}

/// A node of a cluster, as another one sees it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct NodeHealth {
    /// Its name.
    pub name: String,
    /// The number of the last event that it has acknowledged; `None` before the first.
    pub applied: Option<u64>,
    /// Whether another node has marked it as silent: it is removed after `max_staleness`.
    pub silent: bool,
    /// The time of its last look, by its own clock; `None` if it runs a version whose presence this one cannot read.
    #[serde(default)]
    pub last_look: Option<DateTime<Utc>>,
}
