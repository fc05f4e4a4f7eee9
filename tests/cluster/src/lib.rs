//! What every ledger of a cluster promises, as tests that any ledger can be given; and the engines that the tests start.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking, in its helpers too"
)]

#[cfg(unix)]
mod authority;
#[cfg(feature = "conformance")]
pub mod conformance;
#[cfg(unix)]
pub mod etcd;
#[cfg(unix)]
pub mod postgres;
#[cfg(unix)]
mod processes;
#[cfg(unix)]
pub mod proxy;
#[cfg(unix)]
mod shared_servers;

#[cfg(unix)]
pub use authority::Authority;
