//! Owners that have bounds of their own: what all keys of one share.

pub(crate) mod change;
pub(crate) mod key_bounds;
#[allow(clippy::module_inception, reason = "the type has the name of its subject")]
pub(crate) mod owner;
pub(crate) mod owner_info;
pub(crate) mod record;
