//! The interface for operators: the requests that the command `apikey` sends, and the answers of a store.
//!
//! A [`Request`] and its [`Answer`] are plain data. A [`Session`] answers for a store that this process has open. If a
//! service has it open, the service can listen at a Unix socket in the store's directory
//! ([`KeyStoreBuilder::admin_socket`](crate::KeyStoreBuilder::admin_socket)), to which a [`Client`] connects. Both take
//! the same requests, so the command works the same in either case.
//!
//! On the socket each message is one frame: the number of the [protocol](PROTOCOL) in one byte, the length in four
//! bytes in big-endian order, and the message as JSON of at most [`MAX_FRAME`] bytes. One answer follows each request.
//! The server accepts root and the user that the service runs as. The kernel, and no message, identifies the user.

#[cfg(unix)]
mod accept_loop;
mod answer;
#[cfg(unix)]
mod client;
#[cfg(unix)]
mod connection;
mod console;
mod examine;
mod external_keys;
mod fault;
#[cfg_attr(
    not(unix),
    allow(dead_code, reason = "frames travel through a Unix socket, and sessions measure their length")
)]
pub(crate) mod frame;
mod id_prefix;
#[cfg(not(unix))]
pub(crate) mod no_server;
mod owners;
mod request;
mod secret_text;
#[cfg(unix)]
pub(crate) mod server;
mod session;
#[cfg(unix)]
mod socket_user;
mod usage;

/// The name of the socket in the store's directory, if [`admin_socket`](crate::KeyStoreBuilder::admin_socket) is on.
pub const SOCKET: &str = "admin.sock";

pub use crate::access::refusal_count::RefusalCount;
pub use crate::admin::answer::{
    Answer, Changed, Diagnosis, EventsToPurge, Imports, Lines, Mismatch, MostUsed, NewSecret, OwnerChanged, OwnerPage,
    RefusedEntry, RefusedRequests, RolePage, RolePut, TenantChanged, TenantPage, UsageAnswer, Verdict,
};
#[cfg(unix)]
pub use crate::admin::client::{Client, ConnectError};
pub use crate::admin::external_keys::{Entry, EntryForm, ExternalKeys};
pub use crate::admin::fault::{Fault, FaultKind};
pub use crate::admin::frame::{MAX_FRAME, PROTOCOL};
pub use crate::admin::id_prefix::{IdPrefix, IdPrefixError};
pub use crate::admin::request::{OwnerName, Request, SinkForm};
pub use crate::admin::secret_text::SecretText;
pub use crate::admin::session::Session;
pub use crate::admin::usage::MAX_MOST_USED;
pub use crate::base::time::span_text;
pub use crate::key::new_key::Expires;
pub use crate::storage::holder::Holder;
pub use crate::token::api_key::has_token;
