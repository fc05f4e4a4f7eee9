//! What a key is and how it changes, without side effects: no store, no disk, no clock.

pub(crate) mod allowance;
pub(crate) mod applied;
pub(crate) mod bounds;
pub(crate) mod builder_json;
pub(crate) mod change;
pub(crate) mod effective_key;
pub(crate) mod entries_patch;
pub(crate) mod error;
pub(crate) mod event;
pub(crate) mod evidence;
pub(crate) mod idempotency;
pub(crate) mod key_filter;
pub(crate) mod key_info;
pub(crate) mod key_update;
pub(crate) mod lifetime;
pub(crate) mod named;
pub(crate) mod new_key;
pub(crate) mod owner;
pub(crate) mod reach;
pub(crate) mod record;
pub(crate) mod revealed_key;
pub(crate) mod role;
pub(crate) mod rotation;
#[cfg(feature = "utoipa")]
mod schema;
pub(crate) mod scope;
pub(crate) mod subject;
pub(crate) mod tenant;
