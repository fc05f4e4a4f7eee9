//! What each command does: one file for each thing that a user does.

pub(crate) mod backup;
pub(crate) mod bench;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod create;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod jsonl;
pub(crate) mod key_args;
pub(crate) mod key_list;
pub(crate) mod keys;
pub(crate) mod maintenance;
mod new_secret;
pub(crate) mod rotate;
