//! Keys managed over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod cluster;
mod fixture;
mod guide;
mod overview;
mod rules;
mod schemas;
mod strange;
mod strangers;
mod table;
mod wire;
