//! The example `two_tier`, tried as a person would: started as a program, its printed lines followed, its page opened
//! in a browser.
//!
//! `cargo test` builds the examples first. After `cargo test --test two_tier` alone they may be old: build them with
//! `cargo build --example two_tier`.

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
