//! A role, a tenant or an owner as a line of JSON, for export and import.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::limit::{Limit, LimitLine};
use crate::access::quota::Quota;
use crate::base::time::from_ms;
use crate::copies::transfer_report::LineFault;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::owner::owner::Owner;
use crate::key::owner::record::OwnerRecord;
use crate::key::role::record::RoleRecord;
use crate::key::role::role::Role;
use crate::key::tenant::record::TenantRecord;
use crate::key::tenant::tenant::Tenant;

/// The kinds of these lines.
pub(super) const ROLE: &str = "role";
pub(super) const TENANT: &str = "tenant";
pub(super) const OWNER: &str = "owner";

/// A line of a role.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RoleLine {
    kind: String,
    name: String,
    permissions: Vec<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    changed_at: Option<DateTime<Utc>>,
}

impl RoleLine {
    pub(super) fn of(role: RoleRecord) -> Self {
        let RoleRecord { name, permissions, description, changed_at, .. } = role;
        Self { kind: ROLE.to_owned(), name, permissions, description, changed_at: Some(from_ms(changed_at)) }
    }

    /// The line, with its line end.
    pub(super) fn text(&self) -> Result<String, StoreError> {
        Ok(serde_json::to_string(self).map_err(std::io::Error::from)? + "\n")
    }

    pub(super) fn read(text: &[u8]) -> Result<Role, LineFault> {
        let Self { name, permissions, description, .. } =
            serde_json::from_slice(text).map_err(|error| not_json(&error))?;
        let role = Role::new(name).permissions(permissions);
        Ok(match description {
            Some(description) => role.describe(description),
            None => role,
        })
    }
}

/// A line of a tenant.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantLine {
    kind: String,
    name: String,
    permissions: Vec<String>,
    #[serde(default)]
    limit: Option<LimitLine>,
    #[serde(default)]
    quota: Option<Quota>,
    #[serde(default)]
    ended: Option<RevokedLine>,
    #[serde(default)]
    changed_at: Option<DateTime<Utc>>,
}

impl TenantLine {
    pub(super) fn of(tenant: TenantRecord) -> Self {
        let quota = tenant.quota();
        let TenantRecord { name, ceiling: permissions, limit, ended, changed_at, .. } = tenant;
        Self {
            quota,
            kind: TENANT.to_owned(),
            name,
            permissions,
            limit: limit.as_ref().map(|limit| Limit::stored(limit).into()),
            ended: ended.map(|ended| RevokedLine { at: from_ms(ended.at), reason: ended.reason }),
            changed_at: Some(from_ms(changed_at)),
        }
    }

    /// The line, with its line end.
    pub(super) fn text(&self) -> Result<String, StoreError> {
        Ok(serde_json::to_string(self).map_err(std::io::Error::from)? + "\n")
    }

    pub(super) fn read(text: &[u8]) -> Result<(Tenant, Option<String>), LineFault> {
        let Self { name, permissions, limit, quota, ended, .. } =
            serde_json::from_slice(text).map_err(|error| not_json(&error))?;
        let limit = limit.map(Limit::read).transpose()?;
        let tenant = Tenant::new(name).permissions(permissions);
        let tenant = limit.map_or(tenant.clone(), |limit| tenant.limit(limit.count(), limit.per()));
        let tenant = quota.map_or(tenant.clone(), |quota| tenant.quota(quota));
        let reason = ended.map(|ended| ended.reason);
        reason.as_deref().map_or(Ok(()), bounds::reason)?;
        Ok((tenant, reason))
    }
}

/// A line of an owner.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnerLine {
    kind: String,
    #[serde(default)]
    tenant: Option<String>,
    name: String,
    #[serde(default)]
    quota: Option<Quota>,
    #[serde(default)]
    changed_at: Option<DateTime<Utc>>,
}

impl OwnerLine {
    pub(super) fn of(owner: OwnerRecord) -> Self {
        let quota = owner.quota();
        let OwnerRecord { tenant, name, changed_at, .. } = owner;
        Self { kind: OWNER.to_owned(), tenant, name, quota, changed_at: Some(from_ms(changed_at)) }
    }

    /// The line, with its line end.
    pub(super) fn text(&self) -> Result<String, StoreError> {
        Ok(serde_json::to_string(self).map_err(std::io::Error::from)? + "\n")
    }

    pub(super) fn read(text: &[u8]) -> Result<(Owner, Option<String>), LineFault> {
        let Self { tenant, name, quota, .. } = serde_json::from_slice(text).map_err(|error| not_json(&error))?;
        tenant.as_deref().map_or(Ok(()), bounds::tenant)?;
        let owner = Owner::new(name);
        Ok((quota.map_or(owner.clone(), |quota| owner.quota(quota)), tenant))
    }
}

/// When and why a key was revoked, or a tenant ended.
#[derive(Serialize, Deserialize)]
pub(super) struct RevokedLine {
    pub(super) at: DateTime<Utc>,
    #[serde(default)]
    pub(super) reason: String,
}

pub(super) fn not_json(error: &serde_json::Error) -> LineFault {
    LineFault::Json { column: error.column() }
}
