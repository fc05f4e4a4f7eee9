//! The consoles that this process serves for a store, as far as the store knows of them.

pub(crate) mod hook;
pub(crate) mod links;
