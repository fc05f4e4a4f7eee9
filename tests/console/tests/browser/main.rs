//! The page of the console in a real browser: what a person sees and does, and what no page may do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod axe;
mod flows;
mod keyboard;
mod origins;
mod page;
mod screens;
mod secrets;
mod server;
mod service;
mod sessions;
mod text;
