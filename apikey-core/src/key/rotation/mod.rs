//! Rotation as a key knows it: its policy, the overlap of its secrets, and one that waits for its delivery.

pub(crate) mod options;
pub(crate) mod overlap;
pub(crate) mod pending;
pub(crate) mod policy;
