//! Changes of roles, tenants and owners, as data, and the one function that applies them.

use std::borrow::Cow;

use crate::access::identity;
use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::base::interner::Full;
use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::named::NamedRecord;
use crate::key::owner;
use crate::key::owner::change::OwnerAction;
use crate::key::role;
use crate::key::role::change::RoleAction;
use crate::key::tenant;
use crate::key::tenant::change::TenantAction;

/// What to do with a role, a tenant or an owner.
#[derive(Debug, Clone)]
pub(crate) enum NamedAction {
    Role(RoleAction),
    Tenant(TenantAction),
    Owner(OwnerAction),
}

impl NamedAction {
    /// The name from which the id of its record follows.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Role(action) => Cow::Borrowed(action.name()),
            Self::Tenant(action) => Cow::Borrowed(action.name()),
            Self::Owner(action) => identity::owner_text(action.record().owner()),
        }
    }

    /// What it is a change of, as errors name the field.
    pub(crate) fn field(&self) -> &'static str {
        match self {
            Self::Role(_) => "role",
            Self::Tenant(_) => "tenant",
            Self::Owner(_) => "owner",
        }
    }

    /// What the change leaves, whatever there was before; `None` for the deletion of a role, which may be in use.
    pub(crate) fn leaves(&self) -> Option<Result<NamedAllowance, Full>> {
        match self {
            Self::Role(RoleAction::Put(role)) => Some(role.allowance()),
            Self::Role(RoleAction::Delete { .. }) => None,
            Self::Tenant(TenantAction::Put(tenant)) => Some(tenant.allowance()),
            Self::Tenant(TenantAction::End { name, .. }) => {
                let allowance = NamedAllowance::without_record(Kind::Tenant.id(name));
                Some(allowance.map(|allowance| NamedAllowance { ended: true, ..allowance }))
            }
            Self::Owner(OwnerAction::Put(owner)) => Some(owner.allowance()),
        }
    }

    pub(crate) fn id(&self) -> NamedId {
        match self {
            Self::Role(action) => Kind::Role.id(action.name()),
            Self::Tenant(action) => Kind::Tenant.id(action.name()),
            Self::Owner(action) => action.record().id(),
        }
    }
}

/// What a change makes of a record: its state after it, `None` if it is gone, and the event.
pub(crate) type NamedApplied = (Option<NamedRecord>, EventKind);

/// Applies a change at this time to the current state; `None` if it has no effect. `keys` counts the keys that have the
/// role, and `roles` those of the store; each is called only where the answer matters.
pub(crate) fn apply(
    current: Option<&NamedRecord>,
    action: &NamedAction,
    at: i64,
    keys: impl FnOnce() -> Result<u64, StoreError>,
    roles: impl FnOnce() -> Result<usize, StoreError>,
) -> Result<Option<NamedApplied>, StoreError> {
    match action {
        NamedAction::Role(action) => {
            let current = current.and_then(NamedRecord::as_role);
            let applied = role::change::apply(current, action, keys, roles)?;
            Ok(applied.map(|(after, event)| (after.map(NamedRecord::Role), event)))
        }
        NamedAction::Tenant(action) => {
            let current = current.and_then(NamedRecord::as_tenant);
            let applied = tenant::change::apply(current, action, at)?;
            Ok(applied.map(|(after, event)| (Some(NamedRecord::Tenant(after)), event)))
        }
        NamedAction::Owner(action) => {
            let applied = owner::change::apply(current.and_then(NamedRecord::as_owner), action, at);
            Ok(applied.map(|(after, event)| (after.map(NamedRecord::Owner), event)))
        }
    }
}
