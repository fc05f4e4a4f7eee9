//! The commands: one file for each task of a user.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod cluster;
pub(crate) mod completions;
mod confirm;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod jsonl;
pub(crate) mod key_args;
pub(crate) mod key_list;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod maintenance;
mod new_secret;
pub(crate) mod owner;
pub(crate) mod purge;
pub(crate) mod quota;
pub(crate) mod refusals;
pub(crate) mod role;
pub(crate) mod rotate;
pub(crate) mod tenant;
pub(crate) mod usage;
