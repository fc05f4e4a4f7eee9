//! Helpers that several test packages share. A helper of one package stays in that package.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking, in its helpers too"
)]

#[cfg(feature = "http")]
mod answer;
mod block_on;
#[cfg(feature = "http")]
mod call;
#[cfg(feature = "database")]
pub mod database;
mod directory;
mod hex;
#[cfg(feature = "log")]
mod log;
#[cfg(feature = "management")]
pub mod management;
mod port;
#[cfg(all(feature = "power", target_os = "linux"))]
pub mod power;
mod process;
pub mod random;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "database")]
pub mod stored_events;
#[cfg(feature = "store")]
mod time;
#[cfg(feature = "token")]
mod token;
mod wait;

#[cfg(feature = "http")]
pub use answer::Answer;
pub use block_on::block_on;
#[cfg(feature = "http")]
pub use call::Call;
pub use directory::copy_directory;
pub use hex::hex;
#[cfg(feature = "log")]
pub use log::{Line, Log};
pub use port::{free_port, is_up};
pub use process::{Process, this_test};
#[cfg(feature = "store")]
pub use store::{alice, all, clocked, code, info, refusal};
#[cfg(feature = "store")]
pub use time::{hours, ms, start};
#[cfg(feature = "token")]
pub use token::{BASE62, TokenParts, base62, with_wrong_secret};
pub use wait::wait_until;
