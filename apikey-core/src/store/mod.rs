//! The store: keys on disk and in memory, and everything that a caller does with them.

pub(crate) mod bootstrap;
pub(crate) mod clock;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod events;
#[cfg(test)]
mod failure_tests;
pub(crate) mod handle;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod inner;
pub(crate) mod inspect;
pub(crate) mod key_store;
pub(crate) mod life;
pub(crate) mod maintenance;
pub(crate) mod manage;
pub(crate) mod observe;
pub(crate) mod open;
pub(crate) mod owners;
pub(crate) mod roles;
pub(crate) mod rotate;
pub(crate) mod service;
pub(crate) mod tenants;
pub(crate) mod uses;
pub(crate) mod verify;
pub(crate) mod within;
