//! What keys use: how often, and how much of their quotas.

mod charge;
#[cfg(feature = "cluster")]
pub(crate) mod mirror;
pub(crate) mod quotas;
mod shared;
pub(crate) mod usage;
