//! The application tier of the example, as a library: the program `two_tier` runs it once, and `three_nodes` on three nodes of
//! a cluster.

pub mod api;
mod orders;

use std::error::Error;

/// What ends the program.
pub type Failure = Box<dyn Error + Send + Sync>;
