//! The log, which orders changes and makes them durable: the seam between the decision of a change and its storage.

use std::io;

use crate::key::event::stored::Head;
use crate::storage::batch::Batch;

/// An open log, for writes. The one implementation is [`OpenLog`](super::local_log::OpenLog), with a write-ahead log
/// and sled. Records are read from the [`Disk`](crate::storage::database::disk::Disk) beneath it; a log of many
/// machines would have one on each.
///
/// The engine follows these rules, for every implementation:
///
/// - one thread at a time appends, and it holds the writer's lock;
/// - one thread at a time calls `make_durable`, while others append;
/// - after the first error of either the engine acknowledges nothing more, until the store is opened again.
pub(crate) trait Log {
    /// Appends a batch. After a crash the log has all of it or nothing, and never without the batches before it. The
    /// batch can be read when this returns; it is durable when the next [`make_durable`](Self::make_durable) that
    /// begins later returns.
    ///
    /// # Errors
    /// It is unknown whether the batch will be there after a restart.
    fn append(&self, batch: Batch) -> io::Result<()>;

    /// Makes durable all that was appended before it began, up to the change that `head` names, or further.
    ///
    /// # Errors
    /// It is unknown which of these changes are durable.
    fn make_durable(&self, head: Head) -> io::Result<()>;
}
