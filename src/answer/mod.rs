//! The responses of a handler that manages keys: a problem, or a key with its new secret.

#[cfg(feature = "json")]
mod json;
#[cfg(all(feature = "axum", feature = "json"))]
mod json_body;
mod plain_response;
mod problem;
#[cfg(feature = "json")]
mod query;
#[cfg(feature = "utoipa")]
mod schema;
mod secret_response;

#[cfg(feature = "json")]
pub use json::from_json;
#[cfg(all(feature = "axum", feature = "json"))]
pub use json_body::JsonBody;
pub use plain_response::PlainResponse;
pub use problem::Problem;
#[cfg(feature = "json")]
pub use query::from_query;
pub use secret_response::SecretResponse;
