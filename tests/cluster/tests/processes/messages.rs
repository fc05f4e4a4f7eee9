//! What the driver and a node say to each other, a line of JSON each.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// What a node is started with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct NodeConfig {
    pub(super) name: String,
    pub(super) engine: Engine,
    pub(super) connection: String,
    /// The replica; `None` for a node without a disk of its own.
    pub(super) replica: Option<PathBuf>,
    pub(super) max_staleness_ms: u64,
    pub(super) write_timeout_ms: u64,
    /// Whether it writes what a version before it must not pass over.
    pub(super) is_newer: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Engine {
    Postgres,
    Etcd,
}

/// A claim is a token and what it is to be good for.
pub(super) type ClaimNumber = u32;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Order {
    /// Verify this from now on, again and again.
    Watch {
        claim: ClaimNumber,
        token: String,
        write: bool,
    },
    Unwatch {
        claim: ClaimNumber,
    },
    /// The answer has the same number.
    Do {
        number: u64,
        act: Act,
    },
    /// Closes the store; the process ends then.
    Close,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Act {
    Create,
    Revoke {
        id: String,
    },
    Disable {
        id: String,
        on: bool,
    },
    /// Permits writing, or takes it back.
    Permit {
        id: String,
        write: bool,
    },
    /// The former secret ends at once.
    Rotate {
        id: String,
    },
    /// Waits until the node has all that was in the log when this began.
    CatchUp,
    /// Sets the clock off by so much.
    Clock {
        minutes: i64,
    },
    /// The disk takes nothing after so many more calls.
    FillDisk {
        calls: u32,
    },
    Health,
    Dump,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Message {
    Open,
    NotOpen(String),
    Done(Done),
    Seen(Vec<Seen>),
}

/// The end of an act. Times are nanoseconds of the clock that all processes of this machine share.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) begin: u64,
    pub(super) end: u64,
    pub(super) outcome: Outcome,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Outcome {
    Created {
        id: String,
        token: String,
        /// Whether every node had it by then, or could not serve.
        everywhere: bool,
    },
    Rotated {
        token: String,
    },
    Changed {
        everywhere: bool,
    },
    /// In force on this node alone; `kept`: also after a restart, until the log has it.
    OnlyHere {
        kept: bool,
    },
    Failed(String),
    Health(Health),
    Dump(Box<Dump>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Health {
    pub(super) ready: bool,
    pub(super) applied: u64,
    pub(super) only_here: u64,
    pub(super) stopped: Option<String>,
    /// What it last did to be in step with the log again.
    pub(super) recovered: Option<String>,
    pub(super) engine_error: Option<String>,
}

/// Everything that a node has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Dump {
    pub(super) applied: u64,
    pub(super) keys: Vec<DumpedKey>,
    /// The records as an export has them, with digests, and without the times of use, which are each node's own.
    pub(super) records: String,
    /// Events as JSON, from the first that the node has.
    pub(super) events: Vec<DumpedEvent>,
    pub(super) fault: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DumpedKey {
    pub(super) id: String,
    pub(super) revoked: bool,
    pub(super) disabled: bool,
    pub(super) write: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DumpedEvent {
    pub(super) number: u64,
    pub(super) key: Option<String>,
    pub(super) kind: String,
    pub(super) text: String,
}

/// What a verification answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Answer {
    Accepted,
    Revoked,
    /// Refused for another reason.
    Refused,
    Unavailable,
}

/// Verifications of one claim with the same answer, of which the first and the last began less than [`SPAN`] apart: the
/// times at which each of the two began and ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) claim: ClaimNumber,
    pub(super) answer: Answer,
    pub(super) count: u32,
    pub(super) first: (u64, u64),
    pub(super) last: (u64, u64),
}

/// In nanoseconds. Between two changes of a key the driver leaves more, so that no answer hides between two others.
pub(super) const SPAN: u64 = 50_000_000;

/// The clock that all processes of this machine share, and that runs while the machine sleeps.
pub(super) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap()
}
