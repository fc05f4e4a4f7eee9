//! What happened to keys.

pub(crate) mod chain;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod stored;
