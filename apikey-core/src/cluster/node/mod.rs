//! A node that runs: its replica follows the log, its gate follows the clock, and its changes go through the ledger.

pub(crate) mod admission;
mod append;
mod apply;
mod apply_entry;
pub(crate) mod change;
pub(crate) mod entry;
mod follow;
mod health;
pub(crate) mod here_only;
mod holds;
pub(crate) mod keeping;
mod kept_revocations;
pub(crate) mod leave;
mod listings;
pub(crate) mod probe;
pub(crate) mod reserver;
pub(crate) mod shared;
mod turn;
mod wait_for_all;
