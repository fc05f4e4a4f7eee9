//! An engine of one's own for a cluster of `apikey` stores, to copy and to change: "Write a ledger" in the book goes through it.
//!
//! `database.rs` stands for your database and its client: ordered keys, serializable transactions, notifications. Put yours in
//! its place. `engine.rs` is the ledger on it; `keys.rs` and `values.rs` say what lies where. `tests/suite.rs` runs the suite.

mod database;
mod engine;
mod keys;
mod values;

pub use database::Database;
pub use engine::OwnEngine;
