//! Order, durability and visibility of changes.
//!
//! [`change`] is the path of a change, [`log`] the seam to its storage, and [`applier`] makes it visible. Verifications
//! read the index, and only this module writes to it.

pub(crate) mod applier;
pub(crate) mod change;
pub(crate) mod change_feed;
pub(crate) mod change_notice;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod engine;
pub(crate) mod first_use;
pub(crate) mod first_use_writer;
pub(crate) mod group_commit;
pub(crate) mod image_tap;
pub(crate) mod images;
pub(crate) mod local_log;
pub(crate) mod log;
pub(crate) mod outcome;
pub(crate) mod reach;
pub(crate) mod records;
pub(crate) mod restrict;
mod role_use;
pub(crate) mod stage;
pub(crate) mod writer;
