//! The key and the caller's address of a request, and the response of a refusal, as plain data.

pub(crate) mod header_config;
pub(crate) mod presented;
mod problem;
pub(crate) mod proxies;
pub(crate) mod refusal;
mod reserved;
