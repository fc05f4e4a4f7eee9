//! The engines that the tests start.

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
#[cfg(unix)]
pub mod etcd;
#[cfg(unix)]
mod host;
#[cfg(unix)]
pub mod namespaces;
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
#[cfg(unix)]
pub use host::Host;
