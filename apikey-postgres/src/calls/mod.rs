//! The calls of a ledger, as statements. In their texts `@` stands for the schema and the first part of a table's name,
//! and `{durable}` for what a statement returns that writes.

mod append;
mod cells;
mod log;
mod reservations;
mod sight;
mod state;
mod tallies;
mod values;

pub(crate) use append::{append, begin};
pub(crate) use cells::{Exactness, cells, note, swap};
pub(crate) use log::{number_of_head, read, trim};
pub(crate) use reservations::reserve;
pub(crate) use sight::{renew, sight};
pub(crate) use state::{StateCursor, advance};
pub(crate) use tallies::{forget_tallies, tallies, tally};
