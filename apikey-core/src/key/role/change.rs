//! Changes of roles, as data, and the one function that applies them.

use crate::key::bounds;
use crate::key::error::{Conflict, StoreError};
use crate::key::event::kind::EventKind;
use crate::key::role::record::RoleRecord;
use crate::token::digest::Digest;

/// What to do with a role.
#[derive(Debug, Clone)]
pub(crate) enum RoleAction {
    /// Creates it, or replaces what it grants and its description.
    Put(Box<RoleRecord>),
    Delete {
        name: String,
        counted: Counted,
    },
}

/// How many keys had a role after the event with this number and digest. They are counted before other changes have to wait.
/// Before the first event no key had any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Counted {
    pub(crate) keys: u64,
    pub(crate) number: u64,
    pub(crate) digest: Digest,
}

impl RoleAction {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Put(record) => &record.name,
            Self::Delete { name, .. } => name,
        }
    }
}

/// What a change makes of a role: its state after it, `None` if it is gone, and the event.
pub(crate) type RoleApplied = (Option<RoleRecord>, EventKind);

/// Applies a change to the current state; `None` if it has no effect. `keys` counts the keys that have the role, and `roles`
/// those of the store; each is called only where the answer matters.
pub(crate) fn apply(
    current: Option<&RoleRecord>,
    action: &RoleAction,
    keys: impl FnOnce() -> Result<u64, StoreError>,
    roles: impl FnOnce() -> Result<usize, StoreError>,
) -> Result<Option<RoleApplied>, StoreError> {
    match (action, current) {
        (RoleAction::Put(new), None) => {
            if roles()? >= bounds::MAX_ROLES {
                return Err(StoreError::invalid("role", &new.name, "at most 256 roles in a store"));
            }
            let to = new.permissions.clone();
            let event = EventKind::RolePut { role: new.name.clone(), created: true, from: Vec::new(), to };
            Ok(Some(((**new).clone().into(), event)))
        }
        (RoleAction::Put(new), Some(held)) => {
            let after = RoleRecord { unknown: held.unknown.clone(), ..(**new).clone() };
            if (RoleRecord { changed_at: held.changed_at, ..after.clone() }) == *held {
                return Ok(None);
            }
            let (from, to) = (held.permissions.clone(), new.permissions.clone());
            let event = EventKind::RolePut { role: new.name.clone(), created: false, from, to };
            Ok(Some((Some(after), event)))
        }
        (RoleAction::Delete { .. }, None) => Ok(None),
        (RoleAction::Delete { name, .. }, Some(held)) => match keys()? {
            0 => {
                let event = EventKind::RoleDeleted { role: name.clone(), from: held.permissions.clone() };
                Ok(Some((None, event)))
            }
            keys => Err(StoreError::Conflict(Conflict::RoleInUse { keys })),
        },
    }
}
