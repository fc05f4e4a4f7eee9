//! A connection to a member: TLS, the login, the checks; and the members, of which one that answers is used.

mod checks;
mod connection;
mod members;

pub(crate) use connection::Connection;
pub(crate) use members::{Members, Repeat};
