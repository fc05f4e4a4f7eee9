//! How what was appended becomes durable: in the write-ahead log first, in the database a moment later.

use std::io;
use std::sync::atomic::Ordering;

use crate::base::lock::lock;
use crate::key::error::StoreError;

use crate::storage::batch::{Batch, Write};
use crate::storage::database::disk::Disk;
#[cfg(test)]
use crate::storage::database::disk::Faults;
use crate::storage::wal::{Wal, WalError, beyond};

/// Above this many changes that the database lacks, who makes one waits until it has them.
const MAX_UNFLUSHED: usize = 10_000;
/// As much as this is written to the database without a sync: some 128 KiB, or as many changes as one transaction has.
const MAX_UNSYNCED: usize = 256;

impl Disk {
    /// Appends a batch: reads find it from now on, and it is durable after the next [`sync_wal`](Self::sync_wal).
    pub(crate) fn append(&self, batch: Batch) -> io::Result<()> {
        let waiting = match self.wal.get() {
            Some(wal) => {
                let mut next = wal.waiting();
                next.push(&batch);
                // Before the write-ahead log can be written: what it holds, the database has, or finds in the memtable.
                self.memtable.add(batch)
            }
            None => self.memtable.add(batch),
        };
        if waiting > MAX_UNFLUSHED { self.flush_memtable() } else { Ok(()) }
    }

    /// Waits until all that was appended is on the disk. One thread at a time.
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

    /// Brings the database up to all that was appended, durably. The write-ahead log begins anew.
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

    /// Brings the database up to all that was appended, so that it can be read as a whole.
    pub(crate) fn flush_memtable(&self) -> io::Result<()> {
        self.memtable.write(|batch| {
            self.write(batch)?;
            if let Err(error) = self.forget_uses(&batch.ended) {
                // No part of the change: what stays behind names a secret that is gone.
                tracing::warn!(%error, "times of use of ended secrets are not deleted");
            }
            self.throttle(batch.writes.iter().map(Write::weight).sum::<usize>() + batch.ended.len())
        })
    }

    /// Counts what was written to the database without a sync, in [weights](Write::weight). sled writes again where only
    /// replaced pages were, and looks only at whether the new ones were written, not at whether they are on the disk. So it
    /// is not let far ahead of that: from time to time this syncs.
    pub(crate) fn throttle(&self, weight: usize) -> io::Result<()> {
        let unsynced = self.unsynced.fetch_add(weight, Ordering::Relaxed) + weight;
        if unsynced < MAX_UNSYNCED { Ok(()) } else { self.sync_database() }
    }

    /// Waits until all that was written to the database is on the disk. The system tells a failed sync once, and takes
    /// what it could not write for written: so one thread at a time, and after one failure there are only failures.
    fn sync_database(&self) -> io::Result<()> {
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

    /// Replays what the write-ahead log holds and the database lacks, durably: how many changes. The log keeps them until it
    /// [begins anew](Self::start_wal).
    pub(crate) fn recover(&self) -> Result<usize, RecoverError> {
        let replayed = self.replay(&Wal::bytes(&self.directory).map_err(StoreError::from)?)?;
        if replayed > 0 {
            tracing::info!(changes = replayed, "the database replays its write-ahead log");
            self.sync_database().map_err(StoreError::from)?;
        }
        Ok(replayed)
    }

    /// Checks that the database, as it was opened, has all that its write-ahead log holds.
    pub(crate) fn check_wal(&self) -> Result<(), RecoverError> {
        let wal = Wal::bytes(&self.directory).map_err(StoreError::from)?;
        let lacking = beyond(&wal, &self.head()?.unwrap_or_default())?;
        if lacking.is_empty() { Ok(()) } else { Err(RecoverError::NotKept) }
    }

    /// Begins the write-ahead log anew, in a database that was checked.
    pub(crate) fn start_wal(&self) -> io::Result<()> {
        if self.file.is_some() {
            let _ = self.wal.set(Wal::open(&self.directory)?);
        }
        Ok(())
    }

    /// Replays what a write-ahead log holds and the database lacks: how many changes. Not durable before the next
    /// [`checkpoint`](Self::checkpoint).
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

/// Why a write-ahead log is not replayed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error(transparent)]
    Wal(#[from] WalError),
    #[error(transparent)]
    Database(#[from] StoreError),
    #[error("its database does not keep what it replays from its write-ahead log")]
    NotKept,
}
