use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::quota::Quota;
use crate::base::time::from_ms;
use crate::key::owner::record::OwnerRecord;

/// An owner with bounds of its own: see [`KeyStore::owners`](crate::KeyStore::owners).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OwnerInfo {
    tenant: Option<String>,
    name: String,
    quota: Option<Quota>,
    changed_at: DateTime<Utc>,
}

impl OwnerInfo {
    pub(crate) fn of(record: OwnerRecord) -> Self {
        let quota = record.quota();
        let OwnerRecord { tenant, name, changed_at, .. } = record;
        Self { tenant, name, quota, changed_at: from_ms(changed_at) }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the tenant whose owner it is; `None` for an owner of no tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Returns the quota that all of its keys share.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// Returns when it was put last.
    #[must_use]
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.changed_at
    }
}
