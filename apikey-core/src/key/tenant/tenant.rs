use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::base::codec::tail::Unknown;
use crate::key::bounds;
use crate::key::builder_json::{UncheckedLimit, only_here};
use crate::key::error::{Conflict, StoreError};
use crate::key::tenant::record::TenantRecord;
use crate::key::tenant::tenant_info::TenantInfo;

/// The bounds of a tenant to put into a store: [`KeyStore::put_tenant`](crate::KeyStore::put_tenant). They hold for all keys
/// of the tenant, present and future, whatever these keys have themselves.
///
/// The name has 1 to 64 bytes of `a-z 0-9 _ -`. A tenant has at most 64 grants.
///
/// ```
/// use apikey::Tenant;
/// use chrono::TimeDelta;
///
/// let tenant = Tenant::new("acme").permissions(["orders:*", "keys:*"]).limit(1000, TimeDelta::minutes(1));
/// let same: Tenant = serde_json::from_str(
///     r#"{"name": "acme", "permissions": ["orders:*", "keys:*"], "limit": {"count": 1000, "per_ms": 60000}}"#,
/// )?;
/// assert_eq!(tenant, same);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "a tenant does nothing until a store has it"]
pub struct Tenant {
    name: String,
    #[serde(default = "everything")]
    permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<UncheckedLimit>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quota: Option<Quota>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    only_if: Option<TenantInfo>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Tenant {
    /// Creates a tenant that bounds nothing.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), permissions: everything(), limit: None, quota: None, only_if: None }
    }

    /// Sets the ceiling: no key of the tenant has more than these permissions (`orders:read`) and wildcards (`orders:*`),
    /// whatever grants and roles it has. Without a call it is `*`, everything; an empty list leaves the keys nothing. Another
    /// call replaces it.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect();
        self
    }

    /// Sets the rate limit that all keys of the tenant share, besides their own: `count` requests at once, and as many more,
    /// evenly spread, in each period. Allowed are 1 to 1,000,000 requests per 1 millisecond to 366 days. In a cluster each
    /// node has the whole limit.
    pub fn limit(mut self, count: u32, per: TimeDelta) -> Self {
        self.limit = Some(UncheckedLimit { count, per });
        self
    }

    /// Sets the quota that all keys of the tenant share, on all nodes of a cluster, besides their own and those of their owners
    /// ([`Owner::quota`](crate::Owner::quota)): what one of them uses, the others have not left.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Puts the tenant only if it is still as it was read. Otherwise the call fails with
    /// [`Conflict::Outdated`](crate::Conflict::Outdated), so that of two callers who change it at the same time none undoes the
    /// change of the other unseen.
    ///
    /// ```
    /// use apikey::{KeyStore, Tenant};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_tenant(Tenant::new("acme"))?;
    /// let read = store.tenants()?.remove(0);
    /// let change = |grant: &str| store.put_tenant(Tenant::new("acme").permissions([grant]).only_if(&read));
    /// assert!(change("orders:read").is_ok());
    /// assert_eq!(change("orders:write").unwrap_err().status(), 412);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only_if(mut self, read: &TenantInfo) -> Self {
        self.only_if = Some(read.clone());
        self
    }

    /// Checks that it is still as the caller has read it.
    pub(crate) fn check_unchanged(&self, held: Option<&TenantRecord>) -> Result<(), StoreError> {
        match &self.only_if {
            Some(read) if held.is_none_or(|held| TenantInfo::of(held.clone()) != *read) => {
                Err(StoreError::Conflict(Conflict::Outdated))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The ceiling, as the caller gave it.
    pub(crate) fn given_permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Checks the fields.
    pub(crate) fn record(&self, at: i64) -> Result<TenantRecord, StoreError> {
        bounds::tenant(&self.name)?;
        Ok(TenantRecord {
            name: self.name.clone(),
            ceiling: bounds::grants(&self.permissions)?,
            limit: self.limit.map(UncheckedLimit::check).transpose()?.map(Limit::to_stored),
            quota: self.quota.map(Quota::check).transpose()?.map(Quota::to_stored),
            ended: None,
            changed_at: at,
            unknown: Unknown::default(),
        })
    }
}
