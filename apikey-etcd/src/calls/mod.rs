//! The calls of a ledger, as transactions of etcd.

mod append;
mod cells;
mod chunks;
mod forms;
mod keys;
mod log;
mod outcome;
mod reservations;
mod sight;
mod state;
mod tallies;
mod transaction;

pub(crate) use append::{append, begin};
pub(crate) use cells::{Exactness, cells, note, swap};
pub(crate) use keys::{Keys, SHARDS};
pub(crate) use log::{head, inline, read, trim};
pub(crate) use reservations::reserve;
pub(crate) use sight::{renew, sight};
pub(crate) use state::{Loading, advance, load, shard};
pub(crate) use tallies::{forget_tallies, tallies, tally};
