//! The example `two_tier`, used as a person would: the tests start the program, follow its printed lines, and open its
//! page in a browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod browser;
mod console;
mod demo;
mod http;
mod keys;
mod printed;
mod start;
