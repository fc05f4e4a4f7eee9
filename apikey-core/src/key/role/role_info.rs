use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::time::from_ms;
use crate::key::role::record::RoleRecord;

/// A role of a store: see [`KeyStore::roles`](crate::KeyStore::roles).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RoleInfo {
    name: String,
    permissions: Vec<String>,
    description: Option<String>,
    changed_at: DateTime<Utc>,
}

impl RoleInfo {
    pub(crate) fn of(record: RoleRecord) -> Self {
        let RoleRecord { name, permissions, description, changed_at, .. } = record;
        Self { name, permissions, description, changed_at: from_ms(changed_at) }
    }

    /// Whether a role of this record grants the same, with the same description.
    pub(crate) fn is_like(&self, record: &RoleRecord) -> bool {
        (&self.permissions, &self.description) == (&record.permissions, &record.description)
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the grants.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Returns what the role is for.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns when the role was put last.
    #[must_use]
    pub fn changed_at(&self) -> DateTime<Utc> {
        self.changed_at
    }
}
