//! How far a change in a cluster has to go before its call returns.

use std::time::Duration;

/// How far a change has to go before its call returns, in a cluster. Outside one it has no effect.
///
/// What a change takes away is in force on every node within `max_staleness`, whatever this says: it bounds only how long
/// the call waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Propagation {
    /// What takes something away waits until it holds on every node: at most `max_staleness` and 2 % if a node does not
    /// answer. What only gives, such as a new key, waits at most 250 ms.
    #[default]
    Everywhere,
    /// It waits at most this long. [`KeyStore::wait_for_nodes`](crate::KeyStore::wait_for_nodes) continues the wait.
    Within(Duration),
    /// It returns once the change is in the log and holds on this node: for many changes, of which the last waits.
    Here,
}

/// What a change in a cluster depends on besides the records, and how far it has to go.
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster reads it"))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    pub(crate) propagation: Propagation,
    /// The hold that the node must still have when the log gets the change.
    pub(crate) hold: Option<Hold>,
    pub(crate) lane: Lane,
}

/// Which calls a change shares an entry of the log with.
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster reads it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) enum Lane {
    /// With others that wait. They go before those of many keys.
    #[default]
    Shared,
    /// With none: it creates many keys.
    Bulk,
}

impl Lane {
    /// The most keys that a call creates in an entry with others.
    const MAX_SHARED: usize = 64;

    /// The lane of a call that creates so many keys.
    pub(crate) fn of_keys(keys: usize) -> Self {
        if keys > Self::MAX_SHARED { Self::Bulk } else { Self::Shared }
    }
}

impl Terms {
    /// A change that nobody waits for on other nodes.
    pub(crate) const HERE: Self = Self { propagation: Propagation::Here, hold: None, lane: Lane::Shared };
}

/// The right of one node to some work of the whole cluster.
#[cfg_attr(not(feature = "cluster"), allow(dead_code, reason = "only a cluster reads it"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hold {
    /// Moving the state along the log, trimming the log, erasing secrets that have ended.
    Janitor,
    /// Rotating keys.
    Rotator,
}

#[cfg(feature = "cluster")]
impl Hold {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Janitor => "janitor",
            Self::Rotator => "rotator",
        }
    }
}
