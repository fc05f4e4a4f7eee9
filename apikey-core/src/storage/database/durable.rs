//! The durability of appended batches: in the write-ahead log first, and in the database a moment later.

use std::io;
use std::sync::atomic::Ordering;

use crate::base::lock::lock;
use crate::key::error::StoreError;

use crate::storage::batch::{Batch, Write};
use crate::storage::database::disk::Disk;
#[cfg(test)]
use crate::storage::database::disk::Faults;
use crate::storage::wal::{Wal, WalError, beyond};

/// The most changes that the database may lack; above it each new change waits until the database has them.
const MAX_UNFLUSHED: usize = 10_000;
/// The most that is written to the database without a sync: some 128 KiB, or as many changes as one transaction has.
const MAX_UNSYNCED: usize = 256;

impl Disk {
    /// Appends a batch. Reads find it from now on, and it is durable after the next [`sync_wal`](Self::sync_wal).
    pub(crate) fn append(&self, batch: Batch) -> io::Result<()> {
        let waiting = match self.wal.get() {
            Some(wal) => {
                let mut next = wal.waiting();
                next.push(&batch);
                // Add the batch before the write-ahead log can be written, so that the database or the memtable has
                // everything in the log.
                self.memtable.add(batch)
            }
            None => self.memtable.add(batch),
        };
        if waiting > MAX_UNFLUSHED { self.flush_memtable() } else { Ok(()) }
    }

    /// Waits until everything that was appended is on the disk. One thread at a time may call it.
    pub(crate) fn sync_wal(&self) -> io::Result<()> {
        #[cfg(test)]
        {
            Faults::check(&self.faults.write)?;
            Faults::check(&self.faults.sync)?;
        }
        self.flusher.check()?;
        match self.wal.get() {
            Some(wal) if !wal.write()? => self.checkpoint(),
            _ => Ok(()),
        }
    }

    /// Whether the write-ahead log needs a checkpoint soon.
    pub(crate) fn needs_checkpoint(&self) -> bool {
        self.wal.get().is_some_and(Wal::needs_checkpoint)
    }

    /// Writes everything that was appended to the database, syncs it, and starts the write-ahead log anew.
    pub(crate) fn checkpoint(&self) -> io::Result<()> {
        let _one = lock(&self.syncing);
        let held = self.wal.get().filter(|wal| wal.rotate());
        self.flush_memtable()?;
        self.sync_database()?;
        if let Some(wal) = held {
            wal.release();
        }
        Ok(())
    }

    /// Writes everything that was appended to the database, so that it can be read as a whole.
    pub(crate) fn flush_memtable(&self) -> io::Result<()> {
        self.memtable.write(|batch| {
            self.write(batch)?;
            if let Err(error) = self.forget_uses(&batch.ended) {
                // This is not part of the change: a leftover names a secret that no longer exists.
                tracing::warn!(%error, "times of use of ended secrets are not deleted");
            }
            self.throttle(batch.writes.iter().map(Write::weight).sum::<usize>() + batch.ended.len())
        })
    }

    /// Counts what was written to the database without a sync, in [weights](Write::weight). sled reuses the space of
    /// replaced pages as soon as the new ones are written, without waiting until they are on the disk. So this syncs
    /// from time to time, to keep sled from running far ahead of the disk.
    pub(crate) fn throttle(&self, weight: usize) -> io::Result<()> {
        let unsynced = self.unsynced.fetch_add(weight, Ordering::Relaxed) + weight;
        if unsynced < MAX_UNSYNCED { Ok(()) } else { self.sync_database() }
    }

    /// Waits until everything that was written to the database is on the disk. The kernel reports a failed sync once,
    /// and then takes the dirty pages for clean. So one thread syncs at a time, and after one failure every sync fails.
    pub(super) fn sync_database(&self) -> io::Result<()> {
        let _one = lock(&self.syncing_file);
        #[cfg(test)]
        self.flusher.noted(Faults::check(&self.faults.sync))?;
        let Some(file) = &self.file else { return Ok(()) };
        let unsynced = self.unsynced.load(Ordering::Relaxed);
        self.flusher.flush()?;
        self.flusher.noted(file.sync_data())?;
        self.unsynced.fetch_sub(unsynced, Ordering::Relaxed);
        Ok(())
    }

    /// Replays the changes of the write-ahead log that the database lacks, syncs them, and returns their number. The
    /// log keeps them until it [begins anew](Self::start_wal).
    pub(crate) fn recover(&self) -> Result<usize, RecoverError> {
        let replayed = self.replay(&Wal::bytes(&self.directory).map_err(StoreError::from)?)?;
        if replayed > 0 {
            tracing::info!(changes = replayed, "the database replays its write-ahead log");
            self.sync_database().map_err(StoreError::from)?;
        }
        Ok(replayed)
    }

    /// Checks that the database, as it was opened, has every change of its write-ahead log.
    pub(crate) fn check_wal(&self) -> Result<(), RecoverError> {
        let wal = Wal::bytes(&self.directory).map_err(StoreError::from)?;
        let lacking = beyond(&wal, &self.head()?.unwrap_or_default())?;
        if lacking.is_empty() { Ok(()) } else { Err(RecoverError::NotKept) }
    }

    /// Discards the write-ahead log of a database whose content is about to be replaced as a whole: its changes would not
    /// fit what comes.
    #[cfg(feature = "cluster")]
    pub(crate) fn discard_wal(&self) -> io::Result<()> {
        // Opening it makes it empty, durably.
        if self.file.is_some() { Wal::open(&self.directory).map(drop) } else { Ok(()) }
    }

    /// Empties the write-ahead log of an open database that has every change of it: they would not fit what comes.
    #[cfg(feature = "cluster")]
    pub(crate) fn empty_wal(&self) -> io::Result<()> {
        self.checkpoint()?;
        self.wal.get().map_or(Ok(()), Wal::empty)
    }

    /// Starts the write-ahead log anew, in a database that was checked.
    pub(crate) fn start_wal(&self) -> io::Result<()> {
        if self.file.is_some() {
            let _ = self.wal.set(Wal::open(&self.directory)?);
        }
        Ok(())
    }

    /// Replays the changes of a write-ahead log that the database lacks, and returns their number. They are durable
    /// after the next [`checkpoint`](Self::checkpoint).
    pub(crate) fn replay(&self, wal: &[u8]) -> Result<usize, RecoverError> {
        let head = self.head()?.unwrap_or_default();
        let mut replayed = 0;
        for call in beyond(wal, &head)? {
            replayed += call.writes.len();
            self.memtable.add(call);
        }
        self.flush_memtable().map_err(StoreError::from)?;
        Ok(replayed)
    }
}

/// The error of a replay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Database(#[from] StoreError),
    #[error("its database does not keep what it replays from its write-ahead log")]
    NotKept,
}
