//! What keys use: how often, and how much of their quotas.

mod charge;
#[cfg(feature = "cluster")]
pub(crate) mod mirror;
#[cfg(feature = "cluster")]
mod mirror_pass;
pub(crate) mod quotas;
mod shared;
pub(crate) mod usage;
