//! Changes of tenants, as data, and the one function that applies them.

use crate::access::limit::Limit;
use crate::key::error::{Conflict, StoreError};
use crate::key::event::kind::EventKind;
use crate::key::record::Revocation;
use crate::key::tenant::record::TenantRecord;

/// What to do with a tenant.
#[derive(Debug, Clone)]
pub(crate) enum TenantAction {
    /// Replaces its bounds.
    Put(Box<TenantRecord>),
    /// Ends all of its keys, for good.
    End { name: String, reason: String },
}

impl TenantAction {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Put(record) => &record.name,
            Self::End { name, .. } => name,
        }
    }
}

/// Applies a change at this time to the current state; `None` if it has no effect.
pub(crate) fn apply(
    current: Option<&TenantRecord>,
    action: &TenantAction,
    at: i64,
) -> Result<Option<(TenantRecord, EventKind)>, StoreError> {
    match action {
        TenantAction::Put(new) => {
            if current.is_some_and(|held| held.ended.is_some()) {
                return Err(StoreError::Conflict(Conflict::TenantEnded));
            }
            let held = current.cloned().unwrap_or_else(|| TenantRecord::unbounded(&new.name, at));
            let after = TenantRecord { unknown: held.unknown.clone(), changed_at: at, ..(**new).clone() };
            if current.is_some() && (TenantRecord { changed_at: held.changed_at, ..after.clone() }) == held {
                return Ok(None);
            }
            let limit = |tenant: &TenantRecord| tenant.limit.as_ref().map(Limit::stored);
            let event = EventKind::TenantPut {
                tenant: new.name.clone(),
                created: current.is_none(),
                from: held.ceiling.clone(),
                to: after.ceiling.clone(),
                limit_from: limit(&held),
                limit_to: limit(&after),
                quota_from: held.quota(),
                quota_to: after.quota(),
            };
            Ok(Some((after, event)))
        }
        TenantAction::End { name, reason } => {
            let held = current.cloned().unwrap_or_else(|| TenantRecord::unbounded(name, at));
            if held.ended.is_some() {
                return Ok(None);
            }
            let ended = Some(Revocation { at, reason: reason.clone() });
            let event = EventKind::TenantEnded { tenant: name.clone(), reason: reason.clone() };
            Ok(Some((TenantRecord { ended, changed_at: at, ..held }, event)))
        }
    }
}
