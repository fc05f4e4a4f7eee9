//! Turns a fault in a requirement into a compile error.

#![allow(
    clippy::expect_used,
    clippy::unnecessary_literal_unwrap,
    reason = "this code runs at compile time, where a panic is a compile error"
)]

/// Stops the compilation with this message. Uses `expect`: the error of a `panic!` would also point into the standard
/// library.
#[track_caller]
pub(crate) const fn stop(message: &str) {
    None::<()>.expect(message);
}
