//! What the events of a damaged store, or its records, show of roles, tenants and owners, so that a restored store does not give it
//! back.

use std::collections::BTreeMap;

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::named::NamedId;
use crate::access::owner::OwnerRef;
use crate::access::quota::Quota;
use crate::base::codec::tail::Unknown;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::Event;
use crate::key::named::NamedRecord;
use crate::key::owner::change::event as event_of_owner;
use crate::key::owner::record::OwnerRecord;
use crate::key::record::Revocation;
use crate::key::role::record::RoleRecord;
use crate::key::subject::Subject;
use crate::key::tenant::record::TenantRecord;

/// What an event leaves of a role, a tenant or an owner, of which `held` was known before; `None` if it is an event of none of
/// them. A role that was deleted grants nothing, and an owner whose record is gone bounds nothing.
pub(crate) fn after_event(held: Option<NamedRecord>, event: &Event) -> Option<NamedRecord> {
    let at = event.at;
    let role = |name: &String, permissions: &[String]| {
        let permissions = permissions.to_vec();
        let unknown = Unknown::default();
        NamedRecord::Role(RoleRecord { name: name.clone(), permissions, description: None, changed_at: at, unknown })
    };
    let tenant = |name: &String| {
        let held = held.clone().and_then(NamedRecord::tenant);
        held.unwrap_or_else(|| TenantRecord::unbounded(name, at))
    };
    match &event.kind {
        EventKind::RolePut { role: name, to, .. } => Some(role(name, to)),
        EventKind::RoleDeleted { role: name, .. } => Some(role(name, &[])),
        EventKind::TenantPut { tenant: name, to, limit_to, quota_to, .. } => Some(NamedRecord::Tenant(TenantRecord {
            ceiling: to.clone(),
            limit: limit_to.map(Limit::to_stored),
            quota: quota_to.map(Quota::to_stored),
            changed_at: at,
            ..tenant(name)
        })),
        EventKind::TenantEnded { tenant: name, reason } => Some(NamedRecord::Tenant(TenantRecord {
            ended: Some(Revocation { at, reason: reason.clone() }),
            changed_at: at,
            ..tenant(name)
        })),
        EventKind::OwnerPut { owner: name, tenant, quota_to, .. } => Some(NamedRecord::Owner(OwnerRecord {
            quota: quota_to.map(Quota::to_stored),
            ..OwnerRecord::unbounded(OwnerRef { tenant: tenant.as_deref(), name }, at)
        })),
        _ => None,
    }
}

/// Whether an event takes something from a role, a tenant or an owner.
#[cfg(feature = "cluster")]
pub(crate) fn takes(kind: &EventKind) -> bool {
    match kind {
        EventKind::RolePut { from, to, .. } => grants::uncovered(to, from).is_some(),
        EventKind::TenantPut { from, to, limit_from, limit_to, quota_from, quota_to, .. } => {
            grants::uncovered(to, from).is_some()
                || Limit::meet_of(*limit_from, *limit_to) != *limit_from
                || Quota::meet_of(*quota_from, *quota_to) != *quota_from
        }
        EventKind::OwnerPut { quota_from, quota_to, .. } => Quota::meet_of(*quota_from, *quota_to) != *quota_from,
        EventKind::RoleDeleted { .. } | EventKind::TenantEnded { .. } => true,
        _ => false,
    }
}

/// What events leave of the roles, tenants and owners that they name, in the order of their numbers.
pub(crate) fn after_events<'e>(events: impl IntoIterator<Item = &'e Event>) -> BTreeMap<NamedId, NamedRecord> {
    let mut left = BTreeMap::new();
    for event in events {
        if let Subject::Named(id) = event.subject
            && let Some(after) = after_event(left.get(&id).cloned(), event)
        {
            left.insert(id, after);
        }
    }
    left
}

impl NamedRecord {
    /// What is left of this after what another state of the same role, tenant or owner shows.
    pub(crate) fn met(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Role(held), Self::Role(other)) => {
                Self::Role(RoleRecord { permissions: narrowed(&held.permissions, &other.permissions), ..held.clone() })
            }
            (Self::Tenant(held), Self::Tenant(other)) => {
                let [limit, bound] = [held, other].map(|tenant| tenant.limit.as_ref().map(Limit::stored));
                Self::Tenant(TenantRecord {
                    ceiling: narrowed(&held.ceiling, &other.ceiling),
                    limit: Limit::meet_of(limit, bound).map(Limit::to_stored),
                    quota: Quota::meet_of(held.quota(), other.quota()).map(Quota::to_stored),
                    ended: held.ended.clone().or_else(|| other.ended.clone()),
                    ..held.clone()
                })
            }
            (Self::Owner(held), Self::Owner(other)) => Self::Owner(OwnerRecord {
                quota: Quota::meet_of(held.quota(), other.quota()).map(Quota::to_stored),
                ..held.clone()
            }),
            _ => self.clone(),
        }
    }

    /// The events of a change from what was held to this, which takes something away.
    pub(crate) fn narrowing(&self, held: Option<&Self>) -> Vec<EventKind> {
        let mut events = Vec::new();
        match self {
            Self::Role(RoleRecord { name, permissions: to, .. }) => {
                let from = held.and_then(Self::as_role).map(|role| role.permissions.clone()).unwrap_or_default();
                events.push(EventKind::RolePut { role: name.clone(), created: held.is_none(), from, to: to.clone() });
            }
            Self::Tenant(after) => {
                let tenant = after.name.clone();
                let unbounded = TenantRecord::unbounded(&tenant, after.changed_at);
                let before = held.and_then(Self::as_tenant).unwrap_or(&unbounded);
                let limit = |tenant: &TenantRecord| tenant.limit.as_ref().map(Limit::stored);
                if before.ceiling != after.ceiling || before.limit != after.limit || before.quota != after.quota {
                    events.push(EventKind::TenantPut {
                        tenant: tenant.clone(),
                        created: held.is_none(),
                        from: before.ceiling.clone(),
                        to: after.ceiling.clone(),
                        limit_from: limit(before),
                        limit_to: limit(after),
                        quota_from: before.quota(),
                        quota_to: after.quota(),
                    });
                }
                if let Some(Revocation { reason, .. }) = after.ended.as_ref().filter(|_| before.ended.is_none()) {
                    events.push(EventKind::TenantEnded { tenant, reason: reason.clone() });
                }
            }
            Self::Owner(after) => events.push(event_of_owner(held.and_then(Self::as_owner), after)),
        }
        events
    }
}

/// The grants of both, or the first as they are if the other covers them.
fn narrowed(held: &[String], other: &[String]) -> Vec<String> {
    if grants::uncovered(other, held).is_none() { held.to_vec() } else { grants::met(held, other) }
}
