//! The log of one machine: the local engine, and the commit mark with the number of its last change.

use std::io;
use std::ops::Deref;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::base::lock::lock;
use crate::base::signal::Signal;
use crate::commit::log::Log;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::batch::Batch;
use crate::storage::commit_mark::MarkFile;
use crate::storage::database::disk::Disk;

/// The log, while the store is open and after.
pub(crate) struct LocalLog {
    /// `None` once the store is closed.
    disk: RwLock<Option<Disk>>,
    /// `None` for a temporary store.
    mark: Mutex<Option<MarkFile>>,
    /// Wakes the maintenance thread, or ends it.
    pub(crate) maintenance: Signal,
}

/// The log in use: the store does not close meanwhile.
pub(crate) struct OpenLog<'a> {
    log: &'a LocalLog,
    disk: OpenDisk<'a>,
}

enum OpenDisk<'a> {
    /// A lock whose content is never `None`.
    Shared(RwLockReadGuard<'a, Option<Disk>>),
    /// The database that was taken out, to be closed.
    Closing(&'a Disk),
}

impl LocalLog {
    pub(crate) fn new(disk: Disk, mark: Option<MarkFile>) -> Self {
        Self { disk: RwLock::new(Some(disk)), mark: Mutex::new(mark), maintenance: Signal::default() }
    }

    /// # Errors
    /// [`StoreError::Closed`].
    pub(crate) fn open(&self) -> Result<OpenLog<'_>, StoreError> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner);
        if disk.is_some() { Ok(OpenLog { log: self, disk: OpenDisk::Shared(disk) }) } else { Err(StoreError::Closed) }
    }

    /// Waits until the log is not in use, and locks it. Closing the store takes the database out.
    pub(crate) fn close(&self) -> RwLockWriteGuard<'_, Option<Disk>> {
        self.disk.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the log for the thread that has taken the database out.
    pub(crate) fn closing<'a>(&'a self, disk: &'a Disk) -> OpenLog<'a> {
        OpenLog { log: self, disk: OpenDisk::Closing(disk) }
    }

    /// Writes the mark. It may lag, so an error does not fail the change. Wakes the maintenance thread if the mark
    /// becomes dirty, or the write-ahead log needs a checkpoint.
    fn write_mark(&self, head: Head, needs_checkpoint: bool) {
        let mut mark = self.mark();
        let Some(file) = mark.as_mut() else { return };
        let was_dirty = file.is_dirty();
        if let Err(error) = file.write(head.into()) {
            tracing::warn!(%error, "the commit mark is not written");
        }
        let is_dirty = file.is_dirty();
        drop(mark);
        if needs_checkpoint || (is_dirty && !was_dirty) {
            self.maintenance.notify();
        }
    }

    /// Whether the mark in the file is not synced.
    pub(crate) fn mark_is_dirty(&self) -> bool {
        self.mark().as_ref().is_some_and(MarkFile::is_dirty)
    }

    pub(crate) fn sync_mark(&self) -> io::Result<()> {
        self.mark().as_mut().map_or(Ok(()), MarkFile::sync)
    }

    /// The number of the last change that the synced mark knows; `None` for a temporary store.
    pub(crate) fn marked(&self) -> Option<u64> {
        self.mark().as_ref().map(MarkFile::synced)
    }

    /// Writes the mark of records that were replaced as a whole.
    #[cfg(feature = "cluster")]
    pub(crate) fn reset_mark(&self, head: Head) -> io::Result<()> {
        self.mark().as_mut().map_or(Ok(()), |file| file.reset(head.into()))
    }

    fn mark(&self) -> MutexGuard<'_, Option<MarkFile>> {
        lock(&self.mark)
    }
}

impl Log for OpenLog<'_> {
    fn append(&self, batch: Batch) -> io::Result<()> {
        Disk::append(self, batch)
    }

    fn make_durable(&self, head: Head) -> io::Result<()> {
        self.sync_wal()?;
        self.log.write_mark(head, self.needs_checkpoint());
        Ok(())
    }
}

impl Deref for OpenLog<'_> {
    type Target = Disk;

    #[allow(clippy::panic, reason = "`open` makes one only of a database that is there, and the guard keeps it there")]
    fn deref(&self) -> &Disk {
        match &self.disk {
            OpenDisk::Closing(disk) => disk,
            OpenDisk::Shared(disk) => match &**disk {
                Some(disk) => disk,
                None => panic!("a closed log was opened"),
            },
        }
    }
}
