//! Permissions, grants, networks and limits, and the result of a check.

pub(crate) mod attempt;
pub(crate) mod auth_error;
pub(crate) mod catalog;
pub(crate) mod control_word;
pub(crate) mod grant_set;
pub(crate) mod grants;
pub(crate) mod identity;
pub(crate) mod idle;
pub(crate) mod limit;
pub(crate) mod named;
pub(crate) mod need;
pub(crate) mod network;
pub(crate) mod owner;
pub(crate) mod peer;
pub(crate) mod permission;
pub(crate) mod quota;
pub(crate) mod refusal_count;
pub(crate) mod requirement;
pub(crate) mod stores;
pub(crate) mod verified_key;
