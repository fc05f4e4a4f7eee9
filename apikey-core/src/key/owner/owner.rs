use serde::{Deserialize, Serialize};

use crate::access::owner::OwnerRef;
use crate::access::quota::Quota;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::owner::record::OwnerRecord;

/// The bounds of an owner to put into a store: [`KeyStore::put_owner`](crate::KeyStore::put_owner), or
/// [`TenantStore::put_owner`](crate::TenantStore::put_owner) for an owner of a tenant. They hold for all keys of the owner,
/// present and future, besides those of each key.
///
/// The name has 1 to 128 bytes, as that of a key's owner.
///
/// ```
/// use apikey::{Owner, Quota};
///
/// let owner = Owner::new("alice").quota(Quota::per_month(10_000));
/// let same: Owner = serde_json::from_str(r#"{"name": "alice", "quota": {"count": 10000, "per": "month"}}"#)?;
/// assert_eq!(owner, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "an owner does nothing until a store has it"]
pub struct Owner {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
}

impl Owner {
    /// Creates an owner that bounds nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), quota: None }
    }

    /// Sets the quota that all keys of the owner share, besides their own, on all nodes of a cluster.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Checks the fields.
    pub(crate) fn record(&self, tenant: Option<&str>, at: i64) -> Result<OwnerRecord, StoreError> {
        bounds::owner_of_keys(&self.name)?;
        let quota = self.quota.map(Quota::check).transpose()?.map(Quota::to_stored);
        Ok(OwnerRecord { quota, ..OwnerRecord::unbounded(OwnerRef { tenant, name: &self.name }, at) })
    }
}
