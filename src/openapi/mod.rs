//! OpenAPI 3.0 and 3.1: writes the requirements of handlers into the document, and tests that every operation is
//! guarded.
//!
//! It works on the document as JSON, from any source: utoipa, poem-openapi, salvo-oapi, a file. The requirement of an
//! operation comes from the attribute of its handler, which it finds by the operation's `operationId`.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use apikey::{HeaderConfig, VerifiedKey, openapi, require_api_key};
//! use serde_json::json;
//!
//! #[require_api_key(perm = "orders:read")]
//! async fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! let mut document = json!({
//!     "openapi": "3.1.0",
//!     "info": { "title": "shop", "version": "1" },
//!     "paths": { "/orders": { "get": { "operationId": "list", "responses": {} } } },
//! });
//! openapi::describe(&mut document, &HeaderConfig::default())?; // in a service: store.header_config()
//!
//! let operation = &document["paths"]["/orders"]["get"];
//! assert_eq!(operation["security"], json!([{ "api_key": ["orders:read"] }]));
//! assert_eq!(operation["x-apikey-required"], "orders:read");
//! assert!(operation["responses"]["401"].is_object() && operation["responses"]["403"].is_object());
//! # }
//! # Ok::<(), apikey::openapi::OpenApiError>(())
//! ```

mod components;
mod describe;
mod operations;
mod self_service;

pub use components::SCHEME;
#[cfg(feature = "management")]
pub(crate) use components::{components, refusals};
pub use describe::{Described, OpenApiError, describe};
pub use operations::{Operation, assert_guarded, operations};
pub use self_service::describe_self_service;
