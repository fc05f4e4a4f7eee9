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

pub(crate) mod answer;
#[cfg(unix)]
pub(crate) mod client;
mod examine;
pub(crate) mod fault;
pub(crate) mod frame;
pub(crate) mod request;
pub(crate) mod secret_text;
#[cfg(unix)]
pub(crate) mod server;
pub(crate) mod session;

/// The name of the socket in the store's directory, where [`admin_socket`](crate::KeyStoreBuilder::admin_socket) offers one.
pub const SOCKET: &str = "admin.sock";

pub use crate::admin::answer::{Answer, Changed, Diagnosis, Imports, Lines, Made, Mismatch, RefusedEntry, Verdict};
#[cfg(unix)]
pub use crate::admin::client::{Client, ConnectError};
pub use crate::admin::fault::{Fault, FaultKind};
pub use crate::admin::frame::{MAX_FRAME, PROTOCOL};
pub use crate::admin::request::{
    Entry, EntryForm, Expiry, ExternalKeys, LimitForm, NewKeyForm, OverlapForm, Request, RotationForm, SinkForm,
    UpdateForm,
};
pub use crate::admin::secret_text::SecretText;
pub use crate::admin::session::Session;
pub use crate::storage::holder::Holder;
