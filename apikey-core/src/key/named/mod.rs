//! The records of roles, tenants and owners, which lie behind those of keys.

pub(crate) mod change;
pub(crate) mod evidence;

use std::borrow::Cow;

use crate::access::identity;
use crate::access::named::{Kind, NamedAllowance, NamedId};
use crate::access::quota::StoredQuota;
use crate::base::codec;
use crate::base::codec::CodecError;
use crate::base::codec::tail::Unknown;
use crate::base::interner::Full;
use crate::key::owner::record::OwnerRecord;
use crate::key::role::record::RoleRecord;
use crate::key::tenant::record::TenantRecord;

/// The record of a role, a tenant or an owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamedRecord {
    Role(RoleRecord),
    Tenant(TenantRecord),
    Owner(OwnerRecord),
}

impl NamedRecord {
    /// Decodes the record that lies in this place. The caller compares its id with the place.
    pub(crate) fn decode(kind: Kind, frame: &[u8]) -> Result<Self, CodecError> {
        match kind {
            Kind::Role => codec::decode(frame).map(Self::Role),
            Kind::Tenant => codec::decode(frame).map(Self::Tenant),
            Kind::Owner => codec::decode(frame).map(Self::Owner),
        }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        match self {
            Self::Role(role) => codec::encode(role),
            Self::Tenant(tenant) => codec::encode(tenant),
            Self::Owner(owner) => codec::encode(owner),
        }
    }

    pub(crate) fn id(&self) -> NamedId {
        match self {
            Self::Role(role) => role.id(),
            Self::Tenant(tenant) => tenant.id(),
            Self::Owner(owner) => owner.id(),
        }
    }

    /// The name from which its id follows.
    pub(crate) fn name(&self) -> Cow<'_, str> {
        match self {
            Self::Role(role) => Cow::Borrowed(&role.name),
            Self::Tenant(tenant) => Cow::Borrowed(&tenant.name),
            Self::Owner(owner) => identity::owner_text(owner.owner()),
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Role(_) => Kind::Role,
            Self::Tenant(_) => Kind::Tenant,
            Self::Owner(_) => Kind::Owner,
        }
    }

    /// A role that grants nothing, or a tenant or an owner that leaves its keys nothing.
    pub(crate) fn with_nothing(kind: Kind, name: &str, at: i64) -> Self {
        let mut record = match kind {
            Kind::Role => Self::Role(RoleRecord {
                name: name.to_owned(),
                permissions: Vec::new(),
                description: None,
                changed_at: at,
                unknown: Unknown::default(),
            }),
            Kind::Tenant => Self::Tenant(TenantRecord::unbounded(name, at)),
            Kind::Owner => Self::Owner(OwnerRecord::unbounded(identity::owner(name), at)),
        };
        record.clear();
        record
    }

    /// Takes away everything that it grants or leaves.
    pub(crate) fn clear(&mut self) {
        match self {
            Self::Role(role) => role.permissions.clear(),
            Self::Tenant(tenant) => tenant.ceiling.clear(),
            Self::Owner(owner) => owner.quota = Some(StoredQuota::NOTHING),
        }
    }

    /// Whether it is a tenant that has ended.
    pub(crate) fn is_ended(&self) -> bool {
        self.as_tenant().is_some_and(|tenant| tenant.ended.is_some())
    }

    /// The same at this time.
    pub(crate) fn changed_at(self, at: i64) -> Self {
        match self {
            Self::Role(role) => Self::Role(RoleRecord { changed_at: at, ..role }),
            Self::Tenant(tenant) => Self::Tenant(TenantRecord { changed_at: at, ..tenant }),
            Self::Owner(owner) => Self::Owner(OwnerRecord { changed_at: at, ..owner }),
        }
    }

    pub(crate) fn allowance(&self) -> Result<NamedAllowance, Full> {
        match self {
            Self::Role(role) => role.allowance(),
            Self::Tenant(tenant) => tenant.allowance(),
            Self::Owner(owner) => owner.allowance(),
        }
    }

    pub(crate) fn as_role(&self) -> Option<&RoleRecord> {
        if let Self::Role(role) = self { Some(role) } else { None }
    }

    pub(crate) fn as_tenant(&self) -> Option<&TenantRecord> {
        if let Self::Tenant(tenant) = self { Some(tenant) } else { None }
    }

    pub(crate) fn as_owner(&self) -> Option<&OwnerRecord> {
        if let Self::Owner(owner) = self { Some(owner) } else { None }
    }

    /// The role, if it is one.
    pub(crate) fn role(self) -> Option<RoleRecord> {
        if let Self::Role(role) = self { Some(role) } else { None }
    }

    /// The tenant, if it is one.
    pub(crate) fn tenant(self) -> Option<TenantRecord> {
        if let Self::Tenant(tenant) = self { Some(tenant) } else { None }
    }

    /// The owner, if it is one.
    pub(crate) fn owner(self) -> Option<OwnerRecord> {
        if let Self::Owner(owner) = self { Some(owner) } else { None }
    }
}
