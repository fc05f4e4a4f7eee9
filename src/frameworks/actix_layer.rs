//! The data that the middlewares for actix-web put into a request.

use super::innermost_store::SlotSnapshot;
use crate::ask::GuardLog;

/// The log in which guards record their decisions, and the stores that the request had then.
pub(super) struct LayerData {
    pub(super) log: GuardLog,
    pub(super) snapshot: SlotSnapshot,
}
