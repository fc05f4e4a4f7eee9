//! Rotation that makes itself.

pub(crate) mod report;
pub(crate) mod rotator;
pub(crate) mod run;
pub(crate) mod secrets;
pub mod sink;
