#![doc = include_str!("lib.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[path = "private.rs"]
#[doc(hidden)]
pub mod __private;
mod answer;
mod ask;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "console")]
pub mod console;
mod frameworks;
mod guard;
#[cfg(feature = "management")]
pub mod management;
#[cfg(feature = "openapi")]
pub mod openapi;
pub mod self_service;
#[cfg(feature = "management")]
mod served;
#[cfg(feature = "test-util")]
pub mod test_util;
#[cfg(any(feature = "tower", feature = "management"))]
mod worker;

pub use apikey_core::*;
#[cfg(feature = "etcd")]
#[doc(inline)]
pub use apikey_etcd as etcd;
#[cfg(feature = "postgres")]
#[doc(inline)]
pub use apikey_postgres as postgres;

#[cfg(all(feature = "axum", feature = "json"))]
pub use crate::answer::JsonBody;
pub use crate::answer::{PlainResponse, Problem, SecretResponse};
#[cfg(feature = "json")]
pub use crate::answer::{from_json, from_query};
pub use crate::ask::{ErrorFromRejection, FromRejection, KeySource, Rejection};
#[cfg(feature = "http")]
pub use crate::ask::{PeerAddr, REQUEST_HEADERS, RESPONSE_HEADERS};
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
pub use crate::guard::{
    Authenticated, Cost, NoTenant, Offered, OptionalApiKey, RequireApiKey, Required, UnknownPermission,
};
#[cfg(feature = "inventory")]
pub use crate::guard::{Guarded, GuardedTenant};
#[doc = include_str!("perm.md")]
pub use apikey_macros::perm;
#[doc = include_str!("require_api_key.md")]
pub use apikey_macros::require_api_key;
