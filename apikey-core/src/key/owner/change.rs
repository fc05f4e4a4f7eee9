//! Changes of owners, as data, and the one function that applies them.

use crate::key::event::kind::EventKind;
use crate::key::owner::record::OwnerRecord;

/// What to do with an owner.
#[derive(Debug, Clone)]
pub(crate) enum OwnerAction {
    /// Replaces its bounds. One that bounds nothing has no record.
    Put(Box<OwnerRecord>),
}

impl OwnerAction {
    pub(crate) fn record(&self) -> &OwnerRecord {
        let Self::Put(record) = self;
        record
    }
}

/// Applies a change at this time to the current state; `None` if it has no effect. The state after it is `None` if the owner
/// has no record any more.
pub(crate) fn apply(
    current: Option<&OwnerRecord>,
    action: &OwnerAction,
    at: i64,
) -> Option<(Option<OwnerRecord>, EventKind)> {
    let new = action.record();
    let held = current.cloned().unwrap_or_else(|| OwnerRecord::unbounded(new.owner(), at));
    let after = OwnerRecord { unknown: held.unknown.clone(), changed_at: at, ..new.clone() };
    if after.quota == held.quota {
        return None;
    }
    let event = event(Some(&held), &after);
    Some((Some(after).filter(|after| !after.is_unbounded()), event))
}

/// The event of a change from what was held to this.
pub(crate) fn event(held: Option<&OwnerRecord>, after: &OwnerRecord) -> EventKind {
    EventKind::OwnerPut {
        owner: after.name.clone(),
        tenant: after.tenant.clone(),
        quota_from: held.and_then(OwnerRecord::quota),
        quota_to: after.quota(),
    }
}
