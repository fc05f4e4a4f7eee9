//! The rows of usage, which are not part of any change: a crash may lose those of the last half minute.

use std::sync::atomic::Ordering;

use sled::IVec;

use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
#[cfg(test)]
use crate::storage::database::disk::Faults;
use crate::storage::database::fault::io_error;
#[cfg(feature = "cluster")]
use crate::storage::database::usage_tree::MIRRORED;
use crate::storage::database::usage_tree::{BYTES, UsageWrites};

/// The rows that one batch deletes.
const MANY: usize = 1024;

impl Disk {
    /// Roughly the bytes that the rows of usage take.
    pub(crate) fn usage_bytes(&self) -> u64 {
        self.usage.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn usage_row(&self, name: &[u8]) -> Result<Option<IVec>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        Ok(self.flusher.noted(self.usage.tree.get(name)).map_err(io_error)?)
    }

    /// Reads the rows from one name on, and before another.
    pub(crate) fn usage_rows(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + use<> {
        self.usage.tree.range(from..to).map(|item| Ok(item.map_err(io_error)?))
    }

    /// What is noted of the rows that are mirrored into the ledger of a cluster.
    #[cfg(feature = "cluster")]
    pub(crate) fn usage_mirrored(&self) -> Result<Option<IVec>, StoreError> {
        Ok(self.flusher.noted(self.usage.tree.get(MIRRORED)).map_err(io_error)?)
    }

    /// Notes that, without a sync.
    #[cfg(feature = "cluster")]
    pub(crate) fn note_usage_mirrored(&self, note: &[u8]) -> Result<(), StoreError> {
        let _gate = self.flusher.gate()?;
        self.flusher.noted(self.usage.tree.insert(MIRRORED, note)).map_err(io_error)?;
        Ok(())
    }

    /// Waits until all rows that were written are on the disk.
    #[cfg(feature = "cluster")]
    pub(crate) fn sync_usage(&self) -> Result<(), StoreError> {
        Ok(self.sync_database()?)
    }

    /// Writes rows, without a sync. The caller then calls [`throttle_usage`](Self::throttle_usage) with their number.
    pub(crate) fn write_usage(&self, writes: UsageWrites) -> Result<usize, StoreError> {
        let len = writes.len();
        let UsageWrites { mut batch, added, removed, .. } = writes;
        if len == 0 {
            return Ok(0);
        }
        #[cfg(test)]
        Faults::check(&self.faults.write)?;
        let bytes = (self.usage_bytes() + added).saturating_sub(removed);
        batch.insert(&BYTES, &bytes.to_le_bytes());
        let _gate = self.flusher.gate()?;
        self.flusher.noted(self.usage.tree.apply_batch(batch)).map_err(io_error)?;
        self.usage.bytes.store(bytes, Ordering::Relaxed);
        Ok(len)
    }

    /// Keeps the disk from falling far behind so many rows. It may wait for a sync.
    pub(crate) fn throttle_usage(&self, rows: usize) -> Result<(), StoreError> {
        // A row takes a hundred bytes or so, and sometimes sled writes a whole page of them.
        Ok(self.throttle(rows.div_ceil(2))?)
    }

    /// Deletes the rows from one name on, and before another.
    pub(crate) fn delete_usage(&self, from: &[u8], to: &[u8]) -> Result<(), StoreError> {
        loop {
            let mut writes = UsageWrites::default();
            for item in self.usage_rows(from, to).take(MANY) {
                let (name, value) = item?;
                writes.delete(&name, value.len());
            }
            if writes.len() == 0 {
                return Ok(());
            }
            let rows = self.write_usage(writes)?;
            self.throttle_usage(rows)?;
        }
    }

    /// Deletes those of these rows that there are.
    pub(crate) fn delete_usage_rows<N: AsRef<[u8]>>(&self, names: impl Iterator<Item = N>) -> Result<(), StoreError> {
        let mut writes = UsageWrites::default();
        for name in names {
            let name = name.as_ref();
            if let Some(value) = self.usage_row(name)? {
                writes.delete(name, value.len());
            }
        }
        let rows = self.write_usage(writes)?;
        self.throttle_usage(rows)
    }
}
