//! The attribute: its arguments, the functions it generates, and what the layers add.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on may stop")]

mod agreement;
mod axum_handlers;
mod costs;
mod functions;
mod hygiene;
mod layers;
mod methods;
mod peers;
mod responses;
mod support;
mod tenants;
