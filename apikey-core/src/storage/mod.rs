//! The local engine of a store: sled, the write-ahead log, the lock and the commit mark. It knows no handle and no
//! index.

pub(crate) mod batch;
pub(crate) mod commit_mark;
pub(crate) mod create;
pub(crate) mod database;
pub(crate) mod directory;
pub(crate) mod file_names;
pub(crate) mod file_owner;
pub(crate) mod holder;
pub(crate) mod in_use_marker;
#[cfg(feature = "cluster")]
pub(crate) mod kept_entries;
pub(crate) mod local;
pub(crate) mod lock;
pub(crate) mod meta;
#[cfg(feature = "cluster")]
pub(crate) mod only_here;
pub(crate) mod open_error;
pub(crate) mod recovery;
#[cfg(feature = "cluster")]
pub(crate) mod replica_note;
#[cfg(feature = "cluster")]
pub(crate) mod set_aside;
pub(crate) mod wal;
