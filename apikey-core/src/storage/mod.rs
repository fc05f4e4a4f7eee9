//! The local engine of a store: sled, the write-ahead log, the lock and the commit mark. It knows no handle and no index.

pub(crate) mod batch;
pub(crate) mod commit_mark;
pub(crate) mod create;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod file_names;
pub(crate) mod file_owner;
pub(crate) mod holder;
pub(crate) mod in_use_marker;
pub(crate) mod local;
pub(crate) mod lock;
pub(crate) mod meta;
pub(crate) mod open_error;
pub(crate) mod recovery;
pub(crate) mod wal;
