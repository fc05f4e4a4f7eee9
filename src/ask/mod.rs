//! The check of one request, whatever the framework: its key and the caller's address, the decision, the refusal, and
//! the headers of the response.

mod authorize;
mod condition;
#[cfg(feature = "http")]
mod cors;
mod gate;
#[cfg(any(
    feature = "management",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
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
mod span_fields;

pub(crate) use authorize::{authorize, authorize_optional};
pub(crate) use condition::{Condition, TenantCondition};
#[cfg(feature = "http")]
pub use cors::{REQUEST_HEADERS, RESPONSE_HEADERS};
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
pub(crate) use gate::Gate;
#[cfg(feature = "rocket")]
pub(crate) use gate::authenticate;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) use gate::is_preflight;
pub(crate) use gate::reject;
#[cfg(any(
    feature = "management",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
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
pub(crate) use span_fields::record_in;
