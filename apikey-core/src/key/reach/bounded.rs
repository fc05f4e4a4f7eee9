//! What a change may leave a key in that is made within the bounds of its owner's keys.

use crate::access::limit::Limit;
use crate::access::network;
use crate::access::permission::covers;
use crate::access::quota::Quota;
use crate::base::time::from_ms;
use crate::key::change::Action;
use crate::key::error::{Conflict, StoreError};
use crate::key::owner::key_bounds::KeyBounds;
use crate::key::reach::widening::{is_faster, is_larger, is_later};
use crate::key::record::{Record, StoredPolicy};
use crate::key::role::role_grants::RoleGrants;

/// Checks the grants and the roles of a new key.
pub(super) fn new_key(bounds: &KeyBounds, grants: &[String], roles: &[String]) -> Result<(), StoreError> {
    offered(bounds, grants)?;
    // What a role grants is those to change who run the service.
    match roles.first() {
        Some(role) => Err(StoreError::invalid("roles", role, "no roles: those who run the service give these")),
        None => Ok(()),
    }
}

/// Checks that a change may leave a key in this state.
pub(super) fn change(
    bounds: &KeyBounds,
    action: &Action,
    before: Option<&Record>,
    after: &Record,
    roles: &RoleGrants,
) -> Result<(), StoreError> {
    match (action, before) {
        (Action::Create(_), _) => create(bounds, after),
        (Action::Update(_), Some(before)) => update(bounds, before, after),
        // The caller gets a secret of this key, and with it everything that the key has.
        (Action::Rotate { .. } | Action::Replace { .. } | Action::Repeat { .. }, _) => {
            match roles.of(after).iter().find(|grant| !bounds.offers(grant)) {
                Some(grant) => Err(StoreError::Conflict(Conflict::NotOffered { grant: grant.clone() })),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn create(bounds: &KeyBounds, key: &Record) -> Result<(), StoreError> {
    new_key(bounds, &key.permissions, &key.roles)?;
    if let Some(name) = key.labels.keys().next() {
        return Err(StoreError::invalid("labels", name, "no labels: those who run the service give these"));
    }
    if let Some(prefix) = &key.prefix {
        return Err(StoreError::invalid("prefix", prefix, "no prefix but the store's default"));
    }
    end(bounds, key)
}

/// Checks the idle time and the rotation policy of a new key, each given with the store's default.
pub(super) fn store_defaults(
    (idle_after, default_idle_after): (Option<i64>, Option<i64>),
    (policy, default_policy): (Option<StoredPolicy>, Option<StoredPolicy>),
) -> Result<(), StoreError> {
    if is_later(idle_after, default_idle_after) {
        let allowed = "what the store gives every key, or less: those who run the service give more";
        return Err(StoreError::invalid("idle_after", "more", allowed));
    }
    if policy != default_policy {
        let allowed = "what the store gives every key: those who run the service give others";
        return Err(StoreError::invalid("rotation", "another", allowed));
    }
    Ok(())
}

fn update(bounds: &KeyBounds, before: &Record, after: &Record) -> Result<(), StoreError> {
    let new = |grant: &&String| !before.permissions.iter().any(|held| covers(held, grant));
    offered(bounds, after.permissions.iter().filter(new))?;
    if let Some(role) = after.roles.iter().find(|role| !before.roles.contains(role)) {
        let allowed = "roles that the key has: those who run the service give others";
        return Err(StoreError::invalid("roles", role, allowed));
    }
    if is_later(after.expires_at, before.expires_at) {
        end(bounds, after)?;
    }
    let idle = |record: &Record| record.idle.map(|idle| idle.after_ms);
    let limit = |record: &Record| record.limit.as_ref().map(Limit::stored);
    let quota = |record: &Record| record.quota.as_ref().map(Quota::stored);
    let is_sooner = before.not_before.is_some_and(|start| after.not_before.is_none_or(|sooner| sooner < start));
    // A key that is idle has ended, until its time begins anew.
    let begins_anew = after.idle.zip(before.idle).is_some_and(|(after, before)| after.since > before.since);
    let widened = [
        ("disabled", before.disabled && !after.disabled),
        ("not_before", is_sooner),
        ("idle_after", is_later(idle(after), idle(before)) || begins_anew),
        ("limit", is_faster(limit(after), limit(before))),
        ("quota", is_larger(quota(after), quota(before))),
        ("networks", network::beyond(&after.networks, &before.networks).is_some()),
        ("labels", after.labels != before.labels),
        ("rotation", after.policy != before.policy),
    ];
    match widened.into_iter().find(|(_, is_widened)| *is_widened) {
        Some((field, _)) => {
            let allowed = "what the key has, or less: those who run the service give more";
            Err(StoreError::invalid(field, "more", allowed))
        }
        None => Ok(()),
    }
}

fn offered<'g>(bounds: &KeyBounds, grants: impl IntoIterator<Item = &'g String>) -> Result<(), StoreError> {
    match grants.into_iter().find(|grant| !bounds.offers(grant)) {
        Some(grant) => Err(StoreError::invalid("permissions", grant, "the permissions that are offered to this owner")),
        None => Ok(()),
    }
}

fn end(bounds: &KeyBounds, key: &Record) -> Result<(), StoreError> {
    if !is_later(key.expires_at, bounds.latest_end(key.created_at)) {
        return Ok(());
    }
    let given = key.expires_at.map_or_else(|| "never".to_owned(), |end| from_ms(end).to_string());
    Err(StoreError::invalid("expires_at", &given, "times within the longest lifetime of this owner's keys"))
}
