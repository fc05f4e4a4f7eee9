//! What many keys share under a name: roles, which grant, and tenants and owners, which bound.

use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::base::interner::{Full, GRANTS};

/// The id of a role, a tenant or an owner, which follows from its name.
pub(crate) type NamedId = u128;

/// What a name is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Role,
    Tenant,
    /// Its name is its [text](crate::access::identity::owner_text).
    Owner,
}

/// The first four bytes of ids. No key has them: its id begins with a time, and these are in the year 10889.
const ROLES: u128 = 0xfffe_0002 << 96;
const TENANTS: u128 = 0xfffe_0003 << 96;
const OWNERS: u128 = 0xfffe_0004 << 96;
/// The other twelve bytes.
const REST: u128 = (1 << 96) - 1;

/// The ids of all roles, tenants and owners.
pub(crate) const IDS: RangeInclusive<NamedId> = ROLES..=OWNERS | REST;

impl Kind {
    /// What has this id; `None` for the id of a key.
    pub(crate) fn of(id: u128) -> Option<Self> {
        match id & !REST {
            ROLES => Some(Self::Role),
            TENANTS => Some(Self::Tenant),
            OWNERS => Some(Self::Owner),
            _ => None,
        }
    }

    /// The ids of all that are of this kind.
    pub(crate) fn ids(self) -> RangeInclusive<NamedId> {
        let (first, _) = self.begin();
        first..=first | REST
    }

    /// Returns the id for a name: 96 bits of a digest of the name.
    pub(crate) fn id(self, name: &str) -> NamedId {
        let (first, domain) = self.begin();
        let digest: [u8; 32] = Sha256::new().chain_update(domain).chain_update(name).finalize().into();
        first | digest.first_chunk().map_or(0, |bytes: &[u8; 16]| u128::from_be_bytes(*bytes)) >> 32
    }

    fn begin(self) -> (u128, &'static [u8]) {
        match self {
            Self::Role => (ROLES, b"apikey: a role"),
            Self::Tenant => (TENANTS, b"apikey: a tenant"),
            Self::Owner => (OWNERS, b"apikey: an owner"),
        }
    }
}

/// What a role grants, or what a tenant or an owner leaves its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedAllowance {
    /// The number in [`GRANTS`] of what a role grants, or of the most that keys of a tenant, or of an owner, have.
    pub(crate) grants: u32,
    /// Whether it is a tenant that has ended.
    pub(crate) ended: bool,
    /// The limit that the keys of a tenant share.
    pub(crate) limit: Option<Limit>,
    /// The quota that the keys of a tenant, or of an owner, share.
    pub(crate) quota: Option<Quota>,
}

impl NamedAllowance {
    /// Those of a name that has no record: a role that is not there grants nothing, and a tenant or an owner that nobody has
    /// put bounds nothing.
    pub(crate) fn without_record(id: NamedId) -> Result<Self, Full> {
        let grants = if Kind::of(id) == Some(Kind::Role) { "" } else { "*" };
        Ok(Self { grants: GRANTS.number(grants)?, ended: false, limit: None, quota: None })
    }

    /// What both leave.
    pub(crate) fn meet(self, other: Self) -> Result<Self, Full> {
        Ok(Self {
            grants: grants::meet(self.grants, other.grants)?,
            ended: self.ended || other.ended,
            limit: Limit::meet_of(self.limit, other.limit),
            quota: Quota::meet_of(self.quota, other.quota),
        })
    }

    /// Whether keys have anything by this that they do not have by `after`.
    pub(crate) fn loses(self, after: Self) -> bool {
        (after.ended && !self.ended)
            || Limit::meet_of(self.limit, after.limit) != self.limit
            || Quota::meet_of(self.quota, after.quota) != self.quota
            || (self.grants != after.grants && grants::lose(GRANTS.text(self.grants), GRANTS.text(after.grants)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::LAST_MS;

    #[test]
    fn an_id_follows_from_the_name_and_is_none_of_a_key() {
        assert_eq!(Kind::Role.id("reader"), Kind::Role.id("reader"));
        assert_ne!(Kind::Role.id("reader"), Kind::Role.id("writer"));
        assert_ne!(Kind::Role.id("reader") & REST, Kind::Tenant.id("reader") & REST);
        let last_key = (u128::from(LAST_MS.unsigned_abs()) << 80) | ((1 << 80) - 1);
        assert_eq!(Kind::of(last_key), None);
        for kind in [Kind::Role, Kind::Tenant, Kind::Owner] {
            for name in ["", "reader", "orders.read-only_2"] {
                let id = kind.id(name);
                assert!(kind.ids().contains(&id) && IDS.contains(&id) && id > last_key);
                assert_eq!(Kind::of(id), Some(kind));
            }
        }
    }
}
