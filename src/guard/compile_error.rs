//! How a fault in a requirement becomes a compile error.

#![allow(
    clippy::expect_used,
    clippy::unnecessary_literal_unwrap,
    reason = "it runs while the program is compiled, where a panic is a compile error"
)]

/// Stops the compilation with these words. `expect` and not `panic!`, whose own place, in the standard library, would be
/// a part of the error.
#[track_caller]
pub(crate) const fn stop(words: &str) {
    None::<()>.expect(words);
}
