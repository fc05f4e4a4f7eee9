//! What a process does to its files, and what a power cut may leave of it.

mod recording;
pub mod shim;

pub use recording::{Recording, Style, same};
