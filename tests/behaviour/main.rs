//! The key store through its public API: what design and documentation promise, one module for each subject, in
//! a folder for each room of the core.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod access {
    mod catalog;
    mod failed_attempts;
    mod key_bounds;
    mod leaving_a_tenant;
    mod limits;
    mod managed;
    mod networks;
    mod owner_store;
    mod permissions;
    mod quotas;
    mod roles;
    mod scope;
    mod scope_model;
    mod shared_quotas;
    mod shared_quotas_copied;
    mod shared_quotas_model;
    mod shared_quotas_within;
    mod strict_quotas;
    mod tenant_actors;
    mod tenants;
    mod verify;
}
mod copies {
    mod backup;
    mod export;
    mod restore;
    mod salvage;
}
mod events {
    mod actors;
    mod batches;
    mod history;
}
mod keys {
    mod bounds;
    mod idle;
    mod idle_model;
    mod labels;
    mod lifetime;
    mod list;
    mod manage;
}
mod rotation {
    #[cfg(unix)]
    mod delivery;
    mod ended;
    pub(crate) mod fake_sink;
    mod first_secret;
    mod idempotency;
    mod rotate;
    mod rotator;
    mod rotator_fixture;
}
mod storage {
    pub(crate) mod golden;
    mod later_fields;
    mod old_format;
    mod on_disk;
    mod open_errors;
    mod ownership;
    mod processes;
    mod reopen;
}
mod store {
    mod bootstrap;
    mod clock;
    mod concurrency;
    mod model;
    mod model_key;
}
mod token {
    mod format;
    mod imported;
}
mod usage {
    mod counting;
    mod steps;
}
mod proptest_config;
