//! What many keys share under a name: roles, which grant, and tenants, which bound.

use std::ops::RangeInclusive;

use sha2::{Digest as _, Sha256};

use crate::access::grants;
use crate::access::limit::Limit;
use crate::base::interner::{Full, GRANTS};

/// The id of a role or a tenant, which follows from its name.
pub(crate) type NamedId = u128;

/// What a name is one of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Role,
    Tenant,
}

/// The first four bytes of ids. No key has them: its id begins with a time, and these are in the year 10889.
const ROLES: u128 = 0xfffe_0002 << 96;
const TENANTS: u128 = 0xfffe_0003 << 96;
/// The other twelve bytes.
const REST: u128 = (1 << 96) - 1;

/// The ids of all roles and tenants.
pub(crate) const IDS: RangeInclusive<NamedId> = ROLES..=TENANTS | REST;

impl Kind {
    /// What has this id; `None` for the id of a key.
    pub(crate) fn of(id: u128) -> Option<Self> {
        match id & !REST {
            ROLES => Some(Self::Role),
            TENANTS => Some(Self::Tenant),
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
        }
    }
}

/// What a role grants, or what a tenant leaves its keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NamedAllowance {
    /// The number in [`GRANTS`] of what a role grants, or of the most that keys of a tenant have.
    pub(crate) grants: u32,
    /// Whether it is a tenant that has ended.
    pub(crate) ended: bool,
    /// The limit that the keys of a tenant share.
    pub(crate) limit: Option<Limit>,
}

impl NamedAllowance {
    /// Those of a name that has no record: a role that is not there grants nothing, and a tenant that nobody has put bounds
    /// nothing.
    pub(crate) fn without_record(id: NamedId) -> Result<Self, Full> {
        let grants = if Kind::of(id) == Some(Kind::Tenant) { "*" } else { "" };
        Ok(Self { grants: GRANTS.number(grants)?, ended: false, limit: None })
    }

    /// What both leave.
    pub(crate) fn meet(self, other: Self) -> Result<Self, Full> {
        Ok(Self {
            grants: grants::meet(self.grants, other.grants)?,
            ended: self.ended || other.ended,
            limit: Limit::meet_of(self.limit, other.limit),
        })
    }

    /// Whether keys have anything by this that they do not have by `after`.
    pub(crate) fn loses(self, after: Self) -> bool {
        (after.ended && !self.ended)
            || Limit::meet_of(self.limit, after.limit) != self.limit
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
        for kind in [Kind::Role, Kind::Tenant] {
            for name in ["", "reader", "orders.read-only_2"] {
                let id = kind.id(name);
                assert!(kind.ids().contains(&id) && IDS.contains(&id) && id > last_key);
                assert_eq!(Kind::of(id), Some(kind));
            }
        }
    }
}
