//! rocket 0.5: guards are request guards, refusals go through rocket's catchers, and a fairing provides the store.
//!
//! The tests run a whole program, the example `rocket` of tests/frameworks.
//!
//! ```ignore
//! use apikey::{KeyStore, Requirement, VerifiedKey, require_api_key};
//! use rocket::{get, routes};
//!
//! #[require_api_key(perm = "orders:read")]
//! #[get("/orders")]
//! fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! #[get("/stats")]
//! fn stats() -> &'static str {
//!     "fine"
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! rocket::build()
//!     .attach(apikey::rocket::supply(store))
//!     .register("/", apikey::rocket::catchers())
//!     .mount("/", routes![list])
//!     .mount("/admin", apikey::rocket::require(admin, routes![stats]));
//! ```
//!
//! Rocket drops a header value that is not UTF-8 before any code can see it, and only rocket's own log says so
//! (`Header 'x-api-key' contains invalid UTF-8`). Such a key therefore counts as no key: the answer is
//! `missing_api_key`, and with `optional` the caller is anonymous, while every other framework refuses. Beside a valid
//! key it does not count as a second one.

mod catchers;
mod extract;
mod request_state;
mod require;
mod respond;
mod supply;

#[cfg(feature = "management")]
pub use super::manage::rocket::manage;
pub use catchers::catchers;
#[cfg(feature = "management")]
pub(super) use request_state::RequestState;
pub use request_state::verified_key;
pub use require::require;
#[cfg(feature = "management")]
pub(super) use respond::http_response;
pub use supply::{Supply, supply};
