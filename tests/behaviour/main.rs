//! The key store through its public API: what design and documentation promise, one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod backup;
mod beginning;
mod blocks;
mod bounds;
mod clock;
mod concurrency;
mod delivery;
mod events;
mod export;
mod failed_attempts;
mod golden;
mod happened;
mod history;
mod idempotency;
mod imported;
mod lifetime;
mod limits;
mod list;
mod manage;
mod model;
mod model_key;
mod networks;
mod on_disk;
mod open_errors;
mod owner;
mod permissions;
mod processes;
mod reopen;
mod restore;
mod rotate;
mod rotator;
mod rotator_scene;
mod salvage;
mod scope;
mod scope_model;
mod support;
mod token;
mod verify;
