//! The key store through its public API: what design and documentation promise, one module for each subject.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

#[path = "behaviour/backup.rs"]
mod backup;
#[path = "behaviour/beginning.rs"]
mod beginning;
#[path = "common/blocks.rs"]
mod blocks;
#[path = "behaviour/bounds.rs"]
mod bounds;
#[path = "behaviour/clock.rs"]
mod clock;
#[path = "behaviour/concurrency.rs"]
mod concurrency;
#[path = "behaviour/delivery.rs"]
mod delivery;
#[path = "behaviour/events.rs"]
mod events;
#[path = "behaviour/export.rs"]
mod export;
#[path = "behaviour/failed_attempts.rs"]
mod failed_attempts;
#[path = "behaviour/golden.rs"]
mod golden;
#[path = "behaviour/happened.rs"]
mod happened;
#[path = "behaviour/history.rs"]
mod history;
#[path = "behaviour/idempotency.rs"]
mod idempotency;
#[path = "behaviour/imported.rs"]
mod imported;
#[path = "behaviour/limits.rs"]
mod limits;
#[path = "behaviour/list.rs"]
mod list;
#[path = "behaviour/manage.rs"]
mod manage;
#[path = "behaviour/model.rs"]
mod model;
#[path = "behaviour/model_key.rs"]
mod model_key;
#[path = "behaviour/networks.rs"]
mod networks;
#[path = "behaviour/on_disk.rs"]
mod on_disk;
#[path = "behaviour/open_errors.rs"]
mod open_errors;
#[path = "behaviour/permissions.rs"]
mod permissions;
#[path = "behaviour/processes.rs"]
mod processes;
#[path = "behaviour/reopen.rs"]
mod reopen;
#[path = "behaviour/restore.rs"]
mod restore;
#[path = "behaviour/rotate.rs"]
mod rotate;
#[path = "behaviour/rotator.rs"]
mod rotator;
#[path = "behaviour/rotator_scene.rs"]
mod rotator_scene;
#[path = "behaviour/salvage.rs"]
mod salvage;
#[path = "behaviour/scope.rs"]
mod scope;
#[path = "behaviour/scope_model.rs"]
mod scope_model;
#[path = "behaviour/support.rs"]
mod support;
#[path = "behaviour/token.rs"]
mod token;
#[path = "behaviour/verify.rs"]
mod verify;
