//! Order, durability and visibility of changes.

pub(crate) mod change_feed;
pub(crate) mod group_commit;
pub(crate) mod reach;
pub(crate) mod writer;
