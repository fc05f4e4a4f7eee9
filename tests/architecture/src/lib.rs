//! Holds the code to two tables: `docs/internals/layout.md` says which room may use which, `docs/internals/glossary.md` which words name
//! what; and the pages of the book to what they name and link. `cargo run -p apikey-architecture` prints everything that does not fit.

mod book;
mod built;
mod contributing;
mod files;
mod finding;
mod layout;
mod lines;
mod links;
mod markdown;
mod pages;
mod words;

pub use book::check as book;
pub use built::check as built;
pub use contributing::check as contributing;
pub use files::Files;
pub use finding::Finding;
pub use layout::check as layout;
pub use lines::by_room as lines;
pub use links::check as links;
pub use pages::check as pages;
pub use words::check as words;

/// The page that says which room may use which.
pub const LAYOUT: &str = "docs/internals/layout.md";
/// The page that says which words name what.
pub const GLOSSARY: &str = "docs/internals/glossary.md";
/// The page that says where a test goes.
pub const CONTRIBUTING: &str = "CONTRIBUTING.md";
/// The page that lists what sled does wrong.
pub const SLED: &str = "docs/internals/sled.md";
/// The folder of the book's pages.
pub(crate) const BOOK: &str = "docs/";
