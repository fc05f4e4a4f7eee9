//! The gRPC services of the example for tonic, as `build.rs` makes them.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    reason = "generated"
)]

/// The request and the response of every method.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Text {
    /// The text.
    #[prost(string, tag = "1")]
    pub text: String,
}

impl Text {
    /// A message with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

include!(concat!(env!("OUT_DIR"), "/shop.Orders.rs"));
include!(concat!(env!("OUT_DIR"), "/shop.Admin.rs"));
