//! Times of use, and the last warnings before an end: neither is part of a change.

use sled::IVec;

use crate::key::error::StoreError;
use crate::key::lifetime::WarnedOf;
use crate::storage::database::disk::Disk;
use crate::storage::database::fault::io_error;
use crate::token::digest::Digest;

impl Disk {
    pub(crate) fn uses(&self) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        self.uses.iter().map(|item| Ok(item.map_err(io_error)?))
    }

    /// Writes times of use, without a sync: a crash may lose them.
    pub(crate) fn set_uses(&self, uses: &[([u8; 16], u32)]) -> Result<(), StoreError> {
        for chunk in uses.chunks(1024) {
            let mut batch = sled::Batch::default();
            chunk.iter().for_each(|(secret, second)| batch.insert(secret, &second.to_le_bytes()));
            let gate = self.flusher.gate()?;
            self.flusher.noted(self.uses.apply_batch(batch)).map_err(io_error)?;
            drop(gate);
            // Each takes twenty bytes, and sometimes sled writes a whole page of them.
            self.throttle(chunk.len().div_ceil(4))?;
        }
        Ok(())
    }

    /// Reads the last warning about a key: the end of which it warned, and how long before it.
    pub(crate) fn warned(&self, of: WarnedOf) -> Result<Option<(i64, i64)>, StoreError> {
        let Some(bytes) = self.flusher.noted(self.warned.get(of.key())).map_err(io_error)? else {
            return Ok(None);
        };
        let (end, before) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let before = before.first_chunk::<8>().copied().unwrap_or_default();
        Ok(Some((i64::from_le_bytes(*end), i64::from_le_bytes(before))))
    }

    /// Records a warning, without a sync: a crash may repeat it.
    pub(crate) fn set_warned(&self, of: WarnedOf, end: i64, before: i64) -> Result<(), StoreError> {
        self.flusher.check()?;
        let bytes = [end.to_le_bytes(), before.to_le_bytes()].concat();
        self.flusher.noted(self.warned.insert(of.key(), bytes)).map_err(io_error)?;
        Ok(self.throttle(1)?)
    }

    /// Deletes the warnings about keys that no longer exist.
    pub(crate) fn forget_warned(&self) -> Result<(), StoreError> {
        self.flusher.check()?;
        for key in self.warned.iter().keys() {
            let key = self.flusher.noted(key).map_err(io_error)?;
            let (id, _) = key.split_at(key.len().min(size_of::<u128>()));
            if !self.flusher.noted(self.keys.contains_key(id)).map_err(io_error)? {
                self.flusher.noted(self.warned.remove(&key)).map_err(io_error)?;
                self.throttle(1)?;
            }
        }
        Ok(())
    }

    pub(crate) fn forget_uses(&self, digests: &[Digest]) -> Result<(), StoreError> {
        for digest in digests {
            if let Some((half, _)) = digest.split_first_chunk::<16>() {
                self.flusher.noted(self.uses.remove(half)).map_err(io_error)?;
            }
        }
        Ok(())
    }
}
