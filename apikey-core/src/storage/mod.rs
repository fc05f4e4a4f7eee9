//! The local engine: sled, the write-ahead log, the lock and the commit mark.

pub(crate) mod abandoned;
pub(crate) mod batch;
pub(crate) mod commit_mark;
pub(crate) mod directory;
pub(crate) mod disk;
pub(crate) mod durable;
pub(crate) mod event_batch;
pub(crate) mod events;
pub(crate) mod flush;
pub(crate) mod holder;
pub(crate) mod memtable;
pub(crate) mod open_error;
pub(crate) mod overflow;
pub(crate) mod readable;
pub(crate) mod shutdown_marker;
pub(crate) mod wal;
