//! How a guard asks the store about a request, whatever the framework: where the key and the caller's address are read,
//! the decision, the refusal, and what the response says about it.

mod authorize;
mod gate;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
mod guard_log;
mod key_source;
#[cfg(feature = "http")]
pub(crate) mod peer_addr;
mod rejection;

pub(crate) use authorize::{authorize, authorize_optional};
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
pub(crate) use gate::Gate;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) use gate::is_preflight;
#[cfg(feature = "rocket")]
pub(crate) use gate::pass;
pub(crate) use gate::reject;
#[cfg(any(feature = "actix-web", feature = "rocket"))]
pub(crate) use guard_log::Fields;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) use guard_log::GuardLog;
pub use key_source::KeySource;
#[cfg(feature = "http")]
pub(crate) use key_source::USUAL_HEADER;
#[cfg(feature = "http")]
pub use peer_addr::PeerAddr;
pub use rejection::{ErrorFromRejection, FromRejection, Rejection};
