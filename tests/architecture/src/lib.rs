//! Holds the code to the tables of `docs/layout.md`, which say which room may use which. `cargo run -p apikey-architecture` prints everything that does not fit.

mod files;
mod finding;
mod layout;
mod lines;
mod markdown;

pub use files::Files;
pub use finding::Finding;
pub use layout::check as layout;
pub use lines::by_room as lines;

/// The page that says which room may use which.
pub const LAYOUT: &str = "docs/layout.md";
