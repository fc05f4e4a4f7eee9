//! How often keys were used and refused, on the disk: by key, owner, tenant and store, in steps of a minute, an hour and a
//! day.
//!
//! A [row](row) has the counts of one subject over some steps. Writing adds what the index has counted to the rows of every
//! step at once, so each coarser step has the exact sum of the finer one, and the finer rows can go at any time:
//! [expiry](expire) deletes them when they are old, or when all rows together take more room than the store may give them.
//! The rows are not part of any change and have no events.

pub(crate) mod chunk;
pub(crate) mod code;
pub(crate) mod expire;
#[cfg(feature = "cluster")]
pub(crate) mod mirror;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod report;
pub(crate) mod row;
pub(crate) mod step;
pub(crate) mod subject;
pub(crate) mod write;
