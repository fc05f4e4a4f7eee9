//! The suite for each ledger, and what is special about each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helpers too"
)]

#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod etcd;
mod memory;
mod nodes;
#[cfg(unix)]
mod postgres;
#[cfg(target_os = "linux")]
mod processes;
