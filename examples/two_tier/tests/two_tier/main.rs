//! The example `two_tier`, tried as a person would: started as a program, its printed lines followed, its page opened
//! in a browser.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking, in its helper functions too"
)]

mod browser;
mod chromium;
mod demo;
mod http;
mod keys;
mod printed;
mod start;
