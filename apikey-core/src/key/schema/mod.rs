//! Schemas of what the types of this crate are as JSON, for OpenAPI documents that utoipa generates.
//!
//! utoipa keeps schemas by name, and a service has types of its own: where the name of the type is a common word, the
//! schema has a longer one, such as `KeyPage`.

mod error;
mod key;
mod object;
mod request;
mod role;
#[cfg(test)]
mod tests;
mod value;
