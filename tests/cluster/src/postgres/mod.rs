//! PostgreSQL for tests: servers of their own on free ports of the loopback interface, in a directory that goes with them.
//! As root they run as the user `nobody`, since PostgreSQL refuses root.

mod programs;
mod server;
mod shared;

pub use server::{Backup, Pooler, Server, ServerConfig};
pub use shared::{Shared, serve};
