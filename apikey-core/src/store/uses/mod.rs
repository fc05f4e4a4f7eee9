//! What keys use: how often, and how much of their quotas.

pub(crate) mod quotas;
pub(crate) mod usage;
