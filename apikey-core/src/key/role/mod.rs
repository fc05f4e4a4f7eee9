//! Roles: named sets of grants, which many keys share.

pub(crate) mod change;
pub(crate) mod record;
#[allow(clippy::module_inception, reason = "the type has the name of its subject")]
pub(crate) mod role;
pub(crate) mod role_info;

use sha2::{Digest as _, Sha256};

use crate::access::grant_set::RoleId;

/// The first four bytes of the id of a role. No key has them: its id begins with a time, and this one is in the year 10889.
const FIRST: u128 = 0xfffe_0002 << 96;
const DOMAIN: &[u8] = b"apikey: a role";

/// The ids of all roles.
pub(crate) const IDS: std::ops::RangeInclusive<RoleId> = FIRST..=FIRST | ((1 << 96) - 1);

/// Returns the id of the role with this name: 96 bits of a digest of the name.
pub(crate) fn id(name: &str) -> RoleId {
    let digest: [u8; 32] = Sha256::new().chain_update(DOMAIN).chain_update(name).finalize().into();
    let first = digest.first_chunk().map_or(0, |bytes: &[u8; 16]| u128::from_be_bytes(*bytes));
    FIRST | first >> 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::LAST_MS;

    #[test]
    fn the_id_of_a_role_follows_from_its_name_and_is_none_of_a_key() {
        assert_eq!(id("reader"), id("reader"));
        assert_ne!(id("reader"), id("writer"));
        let last_key = (u128::from(LAST_MS.unsigned_abs()) << 80) | ((1 << 80) - 1);
        for name in ["", "reader", "orders.read-only_2"] {
            assert!(IDS.contains(&id(name)) && id(name) > last_key);
        }
    }
}
