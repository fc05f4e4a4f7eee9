//! Connections: how one is made and checked, and the place in which a node has it.

mod checks;
mod connection;
mod hosts;
mod random;
mod schema;
mod slot;
mod tls;

pub(crate) use connection::{Connection, Param, Params};
pub(crate) use hosts::Hosts;
pub(crate) use slot::{Repeat, Slot};
