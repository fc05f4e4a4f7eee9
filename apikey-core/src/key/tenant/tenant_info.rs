use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::base::time::from_ms;
use crate::key::key_info::Revoked;
use crate::key::tenant::record::TenantRecord;

/// A tenant of a store: see [`KeyStore::tenants`](crate::KeyStore::tenants).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TenantInfo {
    name: String,
    permissions: Vec<String>,
    limit: Option<Limit>,
    quota: Option<Quota>,
    ended: Option<Revoked>,
    changed_at: DateTime<Utc>,
}

impl TenantInfo {
    pub(crate) fn of(record: TenantRecord) -> Self {
        let quota = record.quota();
        let TenantRecord { name, ceiling, limit, ended, changed_at, .. } = record;
        let limit = limit.as_ref().map(Limit::stored);
        Self {
            name,
            permissions: ceiling,
            limit,
            quota,
            ended: ended.map(Revoked::of),
            changed_at: from_ms(changed_at),
        }
    }

    /// Whether a tenant of this record has the same bounds, and has not ended either.
    pub(crate) fn is_like(&self, record: &TenantRecord) -> bool {
        let limit = record.limit.as_ref().map(Limit::stored);
        let is_like = self.permissions == record.ceiling && self.limit == limit && self.quota == record.quota();
        is_like && self.ended.is_none() && record.ended.is_none()
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the ceiling: the most that its keys have. `*` is everything.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Returns the rate limit that its keys share.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Returns the quota that its keys share.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// Returns when and why it has ended; `None` for a tenant that has not.
    #[must_use]
    pub fn ended(&self) -> Option<&Revoked> {
        self.ended.as_ref()
    }

    /// Returns when it was put last, or ended.
    #[must_use]
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.changed_at
    }
}
