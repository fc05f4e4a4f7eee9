//! What a node does to be in step with its log again.

use std::fmt;

/// What a node that is out of step with the log does next. It serves no key until it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecoveryStep {
    /// The log does not have what the replica has: the node finds out what it lost.
    WentBack,
    /// The node publishes the events that the log lost.
    Publishing { events: u64 },
    /// The log lost events, and has others in their place: the node loads its replica anew.
    Diverged,
    /// The log no longer has what the replica lacks: the node loads its replica anew.
    BelowFloor,
    /// This entry of the log cannot be applied: the node loads its replica anew.
    Unusable { op: [u8; 16], what: String },
}

/// Why a node that was away for too long loads its replica anew.
pub(super) const BELOW_FLOOR: &str = "the log no longer had what this replica lacked";

impl fmt::Display for RecoveryStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WentBack => f.write_str("the engine went back in time: this node finds out what it lost"),
            Self::Publishing { events: 1 } => f.write_str("publishing 1 event that the engine lost"),
            Self::Diverged => {
                f.write_str("the engine lost events and has others instead: this node loads its replica anew")
            }
            Self::BelowFloor => write!(f, "{BELOW_FLOOR}: this node loads its replica anew"),
            Self::Unusable { what, .. } => write!(f, "{what}: this node loads its replica anew"),
            Self::Publishing { events } => write!(f, "publishing {events} events that the engine lost"),
        }
    }
}
