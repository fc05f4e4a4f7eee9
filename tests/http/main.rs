//! axum over HTTP: the same requests in the process and through a socket must get the same answers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod access_log;
mod app;
mod client;
mod layers;
mod managing;
mod refusals;
mod rotation;
mod self_service;
mod tenants;
mod wire;
