//! What keys use: how often, and how much of their quotas.

mod charge;
pub(crate) mod quotas;
mod shared;
pub(crate) mod usage;
