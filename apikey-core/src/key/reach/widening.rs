//! Whether a change of a key gives it more than it had.

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::access::quota::Quota;
use crate::key::record::Record;
use crate::key::role::role_grants::RoleGrants;

/// Whether a change of a key gives it anything that it did not have.
pub(crate) fn gives(before: &Record, after: &Record, roles: &RoleGrants) -> bool {
    let limit = |record: &Record| record.limit.as_ref().map(Limit::stored);
    let quota = |record: &Record| record.quota.as_ref().map(Quota::stored);
    (before.disabled && !after.disabled)
        || is_later(after.expires_at, before.expires_at)
        || is_later(after.idle.map(|idle| idle.after_ms), before.idle.map(|idle| idle.after_ms))
        || after.idle.zip(before.idle).is_some_and(|(after, before)| after.since > before.since)
        || before.not_before.is_some_and(|start| after.not_before.is_none_or(|sooner| sooner < start))
        || is_faster(limit(after), limit(before))
        || is_larger(quota(after), quota(before))
        || network::beyond(&after.networks, &before.networks).is_some()
        || after.labels.iter().any(|(name, value)| before.labels.get(name) != Some(value))
        || grants::uncovered(&roles.of(before), &roles.of(after)).is_some()
        || after.roles.iter().any(|role| !before.roles.contains(role))
}

/// Whether one end is later than the other, or one idle time longer; `None` is no end.
pub(crate) fn is_later(end: Option<i64>, than: Option<i64>) -> bool {
    than.is_some_and(|than| end.is_none_or(|end| end > than))
}

/// Whether one rate limit lets through more than the other; `None` is no limit.
pub(crate) fn is_faster(limit: Option<Limit>, than: Option<Limit>) -> bool {
    Limit::meet_of(limit, than) != limit
}

/// Whether one quota gives more than the other; `None` is no quota.
pub(crate) fn is_larger(quota: Option<Quota>, than: Option<Quota>) -> bool {
    Quota::meet_of(quota, than) != quota
}
