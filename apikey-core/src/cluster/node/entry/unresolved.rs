//! An entry that is on its way to the log.

use std::sync::Arc;

use crate::cluster::ledger::{Fence, Position};

/// An entry of which the node does not know yet whether it is in the log.
#[derive(Debug, Clone)]
pub(crate) struct Unresolved {
    pub(crate) op: [u8; 16],
    pub(crate) base: Position,
    pub(crate) last: Position,
    pub(crate) bytes: Arc<Vec<u8>>,
    /// The keys that it changes.
    pub(crate) keys: Vec<u128>,
    /// The secrets that a repeated request replaced, by key and version: nobody had used them.
    pub(crate) unused: Vec<(u128, u32)>,
    /// What it depends on besides its base.
    pub(crate) fence: Option<Fence>,
}
