#![doc = include_str!("../README.md")]

#[cfg(any(feature = "openapi", feature = "salvo-oapi"))]
mod alternatives;
mod authorize;
mod catalog;
#[cfg(feature = "client")]
pub mod client;
mod gate;
mod guard;
#[cfg(feature = "inventory")]
mod guarded;
mod key_source;
#[cfg(any(feature = "actix-web", feature = "poem", feature = "salvo"))]
mod middleware;
#[cfg(any(feature = "actix-web", feature = "salvo"))]
mod named;
#[cfg(feature = "http")]
mod peer;
mod redact;
mod rejection;
mod required;
pub mod self_service;
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
mod trail;
#[cfg(feature = "warp")]
pub mod warp;

/// Runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/rotation.md")]
struct RotationGuide;

/// Runs the example of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/self-service.md")]
struct SelfServiceGuide;

#[path = "private.rs"]
#[doc(hidden)]
pub mod __private;

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "http")]
mod http;
#[cfg(feature = "openapi")]
pub mod openapi;
#[cfg(feature = "poem")]
pub mod poem;
#[cfg(feature = "rocket")]
pub mod rocket;
#[cfg(feature = "salvo")]
pub mod salvo;
#[cfg(feature = "salvo-oapi")]
mod salvo_oapi;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
mod tower;

pub use apikey_core::*;

pub use crate::guard::{OptionalApiKey, RequireApiKey};
#[cfg(feature = "inventory")]
pub use crate::guarded::Guarded;
pub use crate::key_source::KeySource;
#[cfg(feature = "http")]
pub use crate::peer::PeerAddr;
pub use crate::redact::{TOKEN_PATTERN, redact};
pub use crate::rejection::{ErrorFromRejection, FromRejection, Rejection};
pub use crate::required::{Authenticated, Required};
#[cfg(feature = "tower")]
pub use crate::tower::{ApiKeyLayer, ApiKeyService, Require, RequireFuture, Supply, SupplyFuture};
#[doc = include_str!("perm.md")]
pub use apikey_macros::perm;
#[doc = include_str!("require_api_key.md")]
pub use apikey_macros::require_api_key;
pub use catalog::UnknownPermission;
