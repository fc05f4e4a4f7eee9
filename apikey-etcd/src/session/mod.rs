//! A connection to a member: TLS, the login, the checks; and the members, of which one that answers is used.

mod checks;
mod connection;
mod members;
mod random;

pub(crate) use connection::Connection;
pub(crate) use members::{Members, Repeat};
pub(crate) use random::jitter;
