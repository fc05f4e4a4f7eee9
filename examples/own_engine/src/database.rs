use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use apikey_core::cluster::LedgerResult;
use tokio::sync::watch;

/// A database that has ordered keys, serializable transactions and notifications, as far as a ledger needs them. It is in memory,
/// so it never fails, and is durable for nobody: this is what you replace.
#[derive(Debug)]
pub struct Database {
    values: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    notifications: watch::Sender<u64>,
}

impl Default for Database {
    fn default() -> Self {
        Self::new()
    }
}

impl Database {
    /// Creates one that is empty.
    #[must_use]
    pub fn new() -> Self {
        Self { values: Mutex::default(), notifications: watch::Sender::new(0) }
    }

    /// Does a transaction: all of its reads and writes at one moment, and nothing of it if it returns an error.
    pub(crate) async fn transact<T>(
        &self,
        transaction: impl FnOnce(&mut Transaction<'_>) -> LedgerResult<T>,
    ) -> LedgerResult<T> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = Transaction { values: &values, writes: BTreeMap::new(), notifies: false };
        let answer = transaction(&mut open)?;
        let Transaction { writes, notifies, .. } = open;
        for (key, value) in writes {
            match value {
                Some(value) => drop(values.insert(key, value)),
                None => drop(values.remove(&key)),
            }
        }
        drop(values);
        if notifies {
            self.notifications.send_modify(|count| *count += 1);
        }
        Ok(answer)
    }

    /// Notifies of each transaction that asks for it, once it is committed.
    pub(crate) fn notifications(&self) -> watch::Receiver<u64> {
        self.notifications.subscribe()
    }
}

/// A transaction. It reads what was there before it.
pub(crate) struct Transaction<'a> {
    values: &'a BTreeMap<Vec<u8>, Vec<u8>>,
    writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    notifies: bool,
}

impl Transaction<'_> {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&[u8]> {
        self.values.get(key).map(Vec::as_slice)
    }

    pub(crate) fn range(&self, keys: RangeInclusive<Vec<u8>>) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values.range(keys).map(|(key, value)| (key.as_slice(), value.as_slice()))
    }

    pub(crate) fn set(&mut self, key: Vec<u8>, value: impl Into<Vec<u8>>) {
        self.writes.insert(key, Some(value.into()));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.writes.insert(key, None);
    }

    pub(crate) fn notify(&mut self) {
        self.notifies = true;
    }

    /// The bytes of all keys and values.
    pub(crate) fn size(&self) -> u64 {
        self.values.iter().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }
}
