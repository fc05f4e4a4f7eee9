//! axum over HTTP: the same requests in process and through a listening socket, and the same answers expected.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "http/app.rs"]
mod app;
#[path = "http/client.rs"]
mod client;
#[path = "http/layers.rs"]
mod layers;
#[path = "http/managing.rs"]
mod managing;
#[path = "http/refusals.rs"]
mod refusals;
#[path = "http/rotation.rs"]
mod rotation;
#[path = "http/self_service.rs"]
mod self_service;
#[path = "http/wire.rs"]
mod wire;
