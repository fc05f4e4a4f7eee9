//! What keys have used of their quotas, which is not part of any change.

use serde::{Deserialize, Serialize};
use sled::IVec;

use crate::access::quota::spent::{Row, Spent};
use crate::base::codec::frame::plain_frame;
use crate::key::error::StoreError;
#[cfg(test)]
use crate::storage::database::disk::Faults;
use crate::storage::database::disk::{Disk, number};
use crate::storage::database::fault::io_error;

/// What was used, or reserved, in a period of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSpent {
    /// The number of the period, as [`Quota::period_at`](crate::access::quota::Quota::period_at) gives it.
    pub(crate) period: u32,
    pub(crate) used: u64,
    /// The number of the period after that one, and what is reserved in it.
    pub(crate) ahead: Option<(u32, u64)>,
}

plain_frame!(StoredSpent, b'D', "what a key has used");

impl Disk {
    /// Reads what every key has used, by its id.
    pub(crate) fn spent(&self) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> + use<> {
        self.spent.iter().map(|item| {
            let (key, frame) = item.map_err(io_error)?;
            Ok((number(&key)?, frame))
        })
    }

    /// Writes what keys have used, and waits until it is on the disk.
    pub(crate) fn set_spent(&self, spent: impl IntoIterator<Item = (u128, Vec<u8>)>) -> Result<(), StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.write)?;
        let mut batch = sled::Batch::default();
        spent.into_iter().for_each(|(key, frame)| batch.insert(&key.to_be_bytes(), frame));
        {
            let _gate = self.flusher.gate()?;
            self.flusher.noted(self.spent.apply_batch(batch)).map_err(io_error)?;
        }
        Ok(self.sync_database()?)
    }

    /// Deletes what keys have used that have no quota any more. A crash may bring it back.
    pub(crate) fn forget_spent(&self, keys: &[u128]) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let _gate = self.flusher.gate()?;
        for key in keys {
            self.flusher.noted(self.spent.remove(key.to_be_bytes())).map_err(io_error)?;
        }
        Ok(())
    }
}

impl From<Row> for StoredSpent {
    fn from(Row { spent: Spent { period, used }, ahead }: Row) -> Self {
        Self { period, used, ahead: ahead.map(|Spent { period, used }| (period, used)) }
    }
}

impl From<StoredSpent> for Row {
    fn from(StoredSpent { period, used, ahead }: StoredSpent) -> Self {
        Self { spent: Spent { period, used }, ahead: ahead.map(|(period, used)| Spent { period, used }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{decode, encode, golden};

    #[test]
    fn golden_bytes_of_what_a_key_has_used() {
        let spent = StoredSpent { period: (1 << 22) + 21_518, used: 300, ahead: Some(((1 << 22) + 21_519, 10)) };
        let frame = encode(&spent).unwrap();
        assert_eq!(decode::<StoredSpent>(&frame).unwrap(), spent);
        golden::check("spent.bin", &frame);
    }
}
