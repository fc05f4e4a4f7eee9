//! Access to a store: its arguments, its holder, and its answers.

pub(crate) mod backend;
#[cfg(feature = "http")]
mod http;
pub(crate) mod key_name;
mod lock_holder;
pub(crate) mod store_args;
