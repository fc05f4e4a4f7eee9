//! What the command prints and writes.

mod control;
pub(crate) mod delivery;
pub(crate) mod findings;
pub(crate) mod key_view;
mod print;
pub(crate) mod progress;
pub(crate) mod table;

pub(crate) use print::{json, note, text};
