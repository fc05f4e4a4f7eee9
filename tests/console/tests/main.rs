//! The console, without a browser: sign-in, sessions, owners, and who may ask for what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod codes;
mod cookies;
mod cross_origin;
mod fixture;
mod keys;
mod logs;
mod mount;
mod owners;
mod secrets;
mod sessions;
