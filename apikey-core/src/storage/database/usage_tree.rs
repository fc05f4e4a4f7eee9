//! The tree of rows of usage, and what is written to it.

use std::sync::atomic::AtomicU64;

use sled::Tree;

/// Where the tree has the bytes of all rows; no row has so short a name.
pub(super) const BYTES: [u8; 1] = [0];
/// Where it has which rows a node has mirrored into the ledger of its cluster.
#[cfg(feature = "cluster")]
pub(super) const MIRRORED: [u8; 2] = [0, 1];
/// Roughly what the database takes for a row: so many times its name and its value, and some bytes more. Of a million keys
/// that were used once in each hour of a day it took 565 MiB, for 2,622,191 rows of 48 bytes.
const TIMES: usize = 4;
const AROUND: usize = 32;

/// The tree of rows, and how much it holds.
pub(crate) struct UsageTree {
    pub(super) tree: Tree,
    pub(super) bytes: AtomicU64,
}

/// Rows to write.
#[derive(Default)]
pub(crate) struct UsageWrites {
    pub(super) batch: sled::Batch,
    len: usize,
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl UsageWrites {
    /// Puts a row in place of one whose value has `held` bytes; 0 for a new one.
    pub(crate) fn put(&mut self, name: &[u8], value: Vec<u8>, held: usize) {
        self.added += weight(name, value.len());
        if held > 0 {
            self.removed += weight(name, held);
        }
        self.batch.insert(name, value);
        self.len += 1;
    }

    pub(super) fn delete(&mut self, name: &[u8], held: usize) {
        self.removed += weight(name, held);
        self.batch.remove(name);
        self.len += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

fn weight(name: &[u8], value: usize) -> u64 {
    ((name.len() + value) * TIMES + AROUND) as u64
}

impl UsageTree {
    pub(super) fn open(db: &sled::Db) -> sled::Result<Self> {
        let tree = db.open_tree("usage")?;
        let bytes = tree.get(BYTES)?.and_then(|bytes| Some(u64::from_le_bytes(*bytes.first_chunk()?)));
        Ok(Self { tree, bytes: AtomicU64::new(bytes.unwrap_or(0)) })
    }
}
