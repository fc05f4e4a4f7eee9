//! The records of roles and tenants, which lie behind those of keys.

pub(crate) mod change;
pub(crate) mod evidence;

use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::base::codec;
use crate::base::codec::CodecError;
use crate::base::interner::Full;
use crate::key::role::record::RoleRecord;
use crate::key::tenant::record::TenantRecord;

/// The record of a role or a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedRecord {
    Role(RoleRecord),
    Tenant(TenantRecord),
}

impl NamedRecord {
    /// Decodes the record that lies in this place. The caller compares its id with the place.
    pub(crate) fn decode(kind: Kind, frame: &[u8]) -> Result<Self, CodecError> {
        match kind {
            Kind::Role => codec::decode(frame).map(Self::Role),
            Kind::Tenant => codec::decode(frame).map(Self::Tenant),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Role(role) => codec::encode(role),
            Self::Tenant(tenant) => codec::encode(tenant),
        }
    }

    pub(crate) fn id(&self) -> NamedId {
        match self {
            Self::Role(role) => role.id(),
            Self::Tenant(tenant) => tenant.id(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Role(role) => &role.name,
            Self::Tenant(tenant) => &tenant.name,
        }
    }

    /// The same at this time.
    pub(crate) fn changed_at(self, at: i64) -> Self {
        match self {
            Self::Role(role) => Self::Role(RoleRecord { changed_at: at, ..role }),
            Self::Tenant(tenant) => Self::Tenant(TenantRecord { changed_at: at, ..tenant }),
        }
    }

    pub(crate) fn allowance(&self) -> Result<NamedAllowance, Full> {
        match self {
            Self::Role(role) => role.allowance(),
            Self::Tenant(tenant) => tenant.allowance(),
        }
    }

    pub(crate) fn as_role(&self) -> Option<&RoleRecord> {
        if let Self::Role(role) = self { Some(role) } else { None }
    }

    pub(crate) fn as_tenant(&self) -> Option<&TenantRecord> {
        if let Self::Tenant(tenant) = self { Some(tenant) } else { None }
    }

    /// The role, if it is one.
    pub(crate) fn role(self) -> Option<RoleRecord> {
        if let Self::Role(role) = self { Some(role) } else { None }
    }

    /// The tenant, if it is one.
    pub(crate) fn tenant(self) -> Option<TenantRecord> {
        if let Self::Tenant(tenant) = self { Some(tenant) } else { None }
    }
}
