//! Asks the store about one request, whatever the framework: where the request carries its key and the caller's address,
//! the decision, the refusal, and what the response says about it.

mod authorize;
mod gate;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
mod guard_log;
#[cfg(any(
    feature = "http",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
mod header_fields;
mod key_source;
#[cfg(feature = "http")]
pub(crate) mod peer_addr;
mod rejection;

pub(crate) use authorize::{authorize, authorize_optional};
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
pub(crate) use gate::Gate;
#[cfg(feature = "rocket")]
pub(crate) use gate::authenticate;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) use gate::is_preflight;
pub(crate) use gate::reject;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) use guard_log::GuardLog;
#[cfg(feature = "http")]
pub(crate) use header_fields::DEFAULT_HEADER;
#[cfg(any(feature = "actix-web", feature = "rocket"))]
pub(crate) use header_fields::HeaderFields;
#[cfg(feature = "http")]
pub(crate) use header_fields::append_all;
pub use key_source::KeySource;
#[cfg(feature = "http")]
pub use peer_addr::PeerAddr;
pub use rejection::{ErrorFromRejection, FromRejection, Rejection};
