//! The rotation of one key: its policy, the overlap of its secrets, and secrets that wait for their delivery.

pub(crate) mod ended;
pub(crate) mod options;
pub(crate) mod overlap;
pub(crate) mod pending;
pub(crate) mod policy;
