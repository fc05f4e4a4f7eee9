//! Events: the history of keys and of the store.

pub(crate) mod actor;
pub(crate) mod chain;
pub(crate) mod changes;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod kind;
pub(crate) mod stored;
