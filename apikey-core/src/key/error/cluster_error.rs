//! The errors of a change that many machines share.

/// Why a change in a cluster was not made, or why the store cannot tell.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// The engine of the cluster did not take the change, and nothing changed.
    #[error("the change is not made: {what}")]
    Refused {
        /// What the engine said, or what is missing.
        what: String,
    },
    /// The engine of the cluster did not answer in time. The change may be in the log, or get there; the next change of
    /// this node finds out first.
    #[error("it is unknown whether the change is made: {what}; make the same request again")]
    Unknown {
        /// What happened instead of an answer.
        what: String,
    },
    /// Other nodes changed keys all the time, and this change never was the next one.
    #[error("the change is not made: other nodes were first {losses} times in {seconds} seconds; try again")]
    Busy {
        /// How often another node was first.
        losses: u32,
        /// How long the node tried.
        seconds: u64,
    },
    /// What the change takes away is in force on this node, and the engine of the cluster does not take the change now. The
    /// node makes a revocation again until the engine takes it, also after a restart.
    #[error(
        "what the change takes away is in force on this node alone: {what}; {}",
        if *.is_kept { "the node tries again until the engine takes it" } else { "make the same request again" }
    )]
    OnlyHere {
        /// What the engine said, or what is missing.
        what: String,
        /// Whether the node has kept the change, and tries again by itself.
        is_kept: bool,
    },
    /// The node cannot follow the log of the cluster, so it makes no changes.
    #[error("this node does not follow the cluster: {what}")]
    Stopped {
        /// Why it does not.
        what: String,
    },
}
