//! Where a request carries its key, who its caller is, and what a refusal says, as plain data.

pub(crate) mod header_config;
pub(crate) mod presented;
mod problem;
pub(crate) mod proxies;
pub(crate) mod refusal;
mod reserved;
