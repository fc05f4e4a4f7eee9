//! Handles of a store: what one has for itself, whose keys it sees, and who makes its changes.

pub(crate) mod actor;
pub(crate) mod owner;
mod room;
mod seen_keys;
pub(crate) mod tenant;
pub(crate) mod view;
