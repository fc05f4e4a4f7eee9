//! The same keys on many machines. The log of the cluster lies in an engine that the user runs, behind the trait
//! [`Ledger`]; each node keeps a replica of the keys, and verifies there.
//!
//! `ledger/` is the seam to the engine, `format/` what lies there, `protocol/` the rules by which a node may serve, as steps
//! without threads, `node/` a node that runs, and `recovery/` what it does when it and the log are out of step.

pub(crate) mod config;
pub(crate) mod format;
pub(crate) mod found;
pub(crate) mod join;
pub(crate) mod ledger;
pub(crate) mod listed_nodes;
pub(crate) mod meter;
pub(crate) mod node;
pub(crate) mod protocol;
pub(crate) mod recovery;
#[cfg(test)]
mod simulation;
pub(crate) mod state_load;
pub(crate) mod status;
#[cfg(test)]
mod tests;

pub use config::Cluster;
pub use ledger::error::LedgerError;
pub use ledger::memory::MemoryLedger;
pub use ledger::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Identity, Image, Ledger, LedgerResult, Logged, Look, Piece,
    Position, Reserved, Sight, Space, Standing, Step, Swap, Tally, Woken,
};
pub use status::ClusterStatus;
