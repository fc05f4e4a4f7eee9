//! The attribute at work: what it takes, what it makes of a function, and what the layers add.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on may stop")]

#[path = "macros/agreement.rs"]
mod agreement;
#[path = "macros/axum_handlers.rs"]
mod axum_handlers;
#[path = "macros/functions.rs"]
mod functions;
#[path = "macros/hygiene.rs"]
mod hygiene;
#[path = "macros/layers.rs"]
mod layers;
#[path = "macros/methods.rs"]
mod methods;
#[path = "macros/peers.rs"]
mod peers;
#[path = "macros/responses.rs"]
mod responses;
#[path = "macros/support.rs"]
mod support;
