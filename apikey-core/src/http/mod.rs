//! Where a request carries its key, who its caller is, and what a refusal says, as plain data.

pub(crate) mod proxies;
pub(crate) mod refusal;
mod reserved;
