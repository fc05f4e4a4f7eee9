//! Managing a store from beside it: what the command `apikey` asks, and who answers.
//!
//! A [`Request`] and its [`Answer`] are plain data. A [`Session`] answers in this process, for a store that it has open.
//! Where a service has it open, the service listens at a Unix socket in the store's directory
//! ([`KeyStoreBuilder::admin_socket`](crate::KeyStoreBuilder::admin_socket)), and a [`Client`] asks there. Both are the
//! same to who asks, so that a command does the same in either place.
//!
//! On the socket each message is one frame: the number of the [protocol](PROTOCOL) in one byte, the length in four, the
//! highest first, and so many bytes of JSON, at most [`MAX_FRAME`]. One answer follows each request. Who may connect is
//! told by the kernel, not by what is sent: the user that the service runs as, and root.

mod answer;
#[cfg(unix)]
mod client;
mod fault;
pub(crate) mod frame;
mod holder;
mod request;
mod secret_text;
mod session;

/// The name of the socket in the store's directory, where [`admin_socket`](crate::KeyStoreBuilder::admin_socket) offers one.
pub const SOCKET: &str = "admin.sock";

pub use answer::{Answer, Changed, Diagnosis, Imports, Lines, Made, Mismatch, RefusedEntry, Verdict};
#[cfg(unix)]
pub use client::{Client, ConnectError};
pub use fault::{Fault, FaultKind};
pub use frame::{MAX_FRAME, PROTOCOL};
pub use holder::Holder;
pub use request::{
    Entry, EntryForm, Expiry, ExternalKeys, LimitForm, NewKeyForm, OverlapForm, Request, RotationForm, SinkForm,
    UpdateForm,
};
pub use secret_text::SecretText;
pub use session::Session;
