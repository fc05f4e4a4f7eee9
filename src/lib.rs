#![doc = include_str!("../README.md")]

#[path = "private.rs"]
#[doc(hidden)]
pub mod __private;
mod ask;
#[cfg(feature = "client")]
pub mod client;
mod frameworks;
mod guard;
#[cfg(feature = "openapi")]
pub mod openapi;
mod redact;
pub mod self_service;
#[cfg(feature = "test-util")]
pub mod test_util;

/// Runs the examples of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/rotation.md")]
struct RotationGuide;

/// Runs the example of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/self-service.md")]
struct SelfServiceGuide;

pub use apikey_core::*;

#[cfg(feature = "http")]
pub use crate::ask::PeerAddr;
pub use crate::ask::{ErrorFromRejection, FromRejection, KeySource, Rejection};
#[cfg(feature = "actix-web")]
pub use crate::frameworks::actix_web;
#[cfg(feature = "poem")]
pub use crate::frameworks::poem;
#[cfg(feature = "rocket")]
pub use crate::frameworks::rocket;
#[cfg(feature = "salvo")]
pub use crate::frameworks::salvo;
#[cfg(feature = "tonic")]
pub use crate::frameworks::tonic;
#[cfg(feature = "tower")]
pub use crate::frameworks::tower::{ApiKeyLayer, ApiKeyService, Require, RequireFuture, Supply, SupplyFuture};
#[cfg(feature = "warp")]
pub use crate::frameworks::warp;
#[cfg(feature = "inventory")]
pub use crate::guard::Guarded;
pub use crate::guard::{Authenticated, OptionalApiKey, RequireApiKey, Required, UnknownPermission};
pub use crate::redact::{TOKEN_PATTERN, redact};
#[doc = include_str!("perm.md")]
pub use apikey_macros::perm;
#[doc = include_str!("require_api_key.md")]
pub use apikey_macros::require_api_key;
