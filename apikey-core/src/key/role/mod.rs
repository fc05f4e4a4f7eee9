//! Roles: named sets of grants, which many keys share.

pub(crate) mod change;
pub(crate) mod record;
#[allow(clippy::module_inception, reason = "the type has the name of its subject")]
pub(crate) mod role;
pub(crate) mod role_grants;
pub(crate) mod role_info;

use crate::access::named::{Kind, NamedId};

/// Returns the id of the role with this name.
pub(crate) fn id(name: &str) -> NamedId {
    Kind::Role.id(name)
}
