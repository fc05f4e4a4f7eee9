//! The log: what orders changes and makes them durable. The seam between what is decided and where it is kept.

use std::io;

use crate::key::event::stored::Head;
use crate::storage::batch::Batch;

/// An open log, for writes. [`OpenLog`](super::local_log::OpenLog) is the one there is: a write-ahead log and sled. Records
/// are read from the [`Disk`](crate::storage::database::disk::Disk) beneath it: a log of many machines keeps one on each.
///
/// The engine calls it under these rules, which hold for any other:
///
/// - one thread at a time appends, and it holds the writer's lock;
/// - one thread at a time makes durable, while others append;
/// - after the first error of either the engine acknowledges nothing more, until the store is opened again.
pub(crate) trait Log {
    /// Puts a batch behind all that came before. It is whole or not there after a crash, and so is all before it. It can be
    /// read when this returns; it is durable when the next [`make_durable`](Self::make_durable) that begins later returns.
    ///
    /// # Errors
    /// Nobody knows whether the batch will be there after a restart.
    fn append(&self, batch: Batch) -> io::Result<()>;

    /// Makes durable all that was appended before it began, up to the change that `head` names, or further.
    ///
    /// # Errors
    /// Nobody knows what of it is durable.
    fn make_durable(&self, head: Head) -> io::Result<()>;
}
