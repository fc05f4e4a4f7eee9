//! The web frameworks: the sources of keys, the layers and the extractors of each.

#[cfg(feature = "actix-web")]
mod actix_layer;
#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "actix-web", feature = "salvo"))]
mod innermost_store;
#[cfg(all(
    feature = "management",
    any(feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo")
))]
mod manage;
#[cfg(any(feature = "actix-web", feature = "poem", feature = "salvo"))]
mod middleware;
#[cfg(feature = "poem")]
pub mod poem;
#[cfg(feature = "rocket")]
pub mod rocket;
#[cfg(feature = "salvo")]
pub mod salvo;
#[cfg(feature = "salvo-oapi")]
mod salvo_oapi;
#[cfg(feature = "tonic")]
pub mod tonic;
#[cfg(feature = "tower")]
pub(crate) mod tower;
#[cfg(feature = "warp")]
pub mod warp;
