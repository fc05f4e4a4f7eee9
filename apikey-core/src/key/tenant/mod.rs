//! Tenants: customers whose owners are their own, and what bounds all of their keys.

pub(crate) mod change;
pub(crate) mod record;
#[allow(clippy::module_inception, reason = "the type has the name of its subject")]
pub(crate) mod tenant;
pub(crate) mod tenant_info;
