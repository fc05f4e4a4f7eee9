//! The next entry of this node: which calls share it, what they decide, and how it gets into the log.

pub(crate) mod decide;
mod first_uses;
pub(crate) mod line;
pub(crate) mod open_entry;
mod send;
pub(crate) mod unresolved;
