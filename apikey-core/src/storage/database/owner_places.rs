//! Where the ids of keys are among the owners: tenant, a zero byte, owner, a zero byte, id. A key of a tenant is there twice,
//! once without its owner, so that the keys of a tenant are found in their order.

use crate::access::owner::{OwnerRef, Owners};

/// Where the ids of these owners are; `None` if nobody can have such a name.
pub(super) fn place_of(owners: Owners<'_>) -> Option<OwnerRef<'_>> {
    let is_name = |name: &str| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_control());
    let place = match owners {
        Owners::One(owner) if !is_name(owner.name) => return None,
        Owners::One(owner) => owner,
        Owners::AllOf(tenant) => OwnerRef { tenant: Some(tenant), name: "" },
    };
    place.tenant.is_none_or(is_name).then_some(place)
}

/// The places of a key's id among the owners.
pub(crate) fn owner_places(owner: OwnerRef<'_>, id: u128) -> impl Iterator<Item = Vec<u8>> + use<'_> {
    let tenant = owner.tenant.map(|_| OwnerRef { name: "", ..owner });
    [Some(owner), tenant].into_iter().flatten().map(move |place| owner_key(place, id))
}

pub(super) fn owner_key(owner: OwnerRef<'_>, id: u128) -> Vec<u8> {
    let mut key = Vec::with_capacity(owner.tenant.map_or(0, str::len) + owner.name.len() + 18);
    owner_key_into(&mut key, owner, id);
    key
}

/// The same, in a buffer that it clears first.
pub(crate) fn owner_key_into(key: &mut Vec<u8>, OwnerRef { tenant, name }: OwnerRef<'_>, id: u128) {
    key.clear();
    // Neither tenants nor owners have control characters, so a zero byte ends each.
    key.extend_from_slice(tenant.unwrap_or_default().as_bytes());
    key.push(0);
    key.extend_from_slice(name.as_bytes());
    key.push(0);
    key.extend_from_slice(&id.to_be_bytes());
}
