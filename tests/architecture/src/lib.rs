//! Holds the code to two tables: `docs/layout.md` says which room may use which, `docs/glossary.md` which words name
//! what. `cargo run -p apikey-architecture` prints everything that does not fit.

mod contributing;
mod files;
mod finding;
mod layout;
mod lines;
mod markdown;
mod pages;
mod words;

pub use contributing::check as contributing;
pub use files::Files;
pub use finding::Finding;
pub use layout::check as layout;
pub use lines::by_room as lines;
pub use pages::check as pages;
pub use words::check as words;

/// The page that says which room may use which.
pub const LAYOUT: &str = "docs/layout.md";
/// The page that says which words name what.
pub const GLOSSARY: &str = "docs/glossary.md";
/// The page that says where a test goes.
pub const CONTRIBUTING: &str = "CONTRIBUTING.md";
/// The page that lists what sled does wrong.
pub const SLED: &str = "docs/sled.md";
