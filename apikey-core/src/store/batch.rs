//! What one call changes on the disk: all of it or nothing.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::codec::entries;
use crate::digest::Digest;

/// The changes of one call, or of several that follow each other.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) writes: Vec<Write>,
    /// The head after the last of them, as it is stored.
    pub(super) head: Vec<u8>,
    /// Secrets whose times of use go; no part of the transaction.
    pub(super) ended: Vec<Digest>,
}

impl Batch {
    /// Goes on with what follows.
    pub(super) fn extend(&mut self, later: Self) {
        self.writes.extend(later.writes);
        self.ended.extend(later.ended);
        self.head = later.head;
    }
}

impl Write {
    /// How much it makes the database write, roughly: one for each half KiB, and one for being there.
    pub(super) fn weight(&self) -> usize {
        let made = self.made.as_ref().map_or(0, |(_, frame)| frame.len());
        let record = self.record.as_ref().map_or(0, |record| record.len());
        1 + (record + self.event.1.len() + made) / 512
    }
}

/// One change of one key. The order of fields is the stored format of the journal.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(fuzzing, derive(Debug))]
pub(super) struct Write {
    pub(super) id: u128,
    pub(super) owner: String,
    /// Whether there was no record before.
    pub(super) is_new: bool,
    /// `None` deletes the record.
    pub(super) record: Option<ByteBuf>,
    #[serde(with = "entries::list")]
    pub(super) imported_in: Vec<Digest>,
    #[serde(with = "entries::list")]
    pub(super) imported_out: Vec<Digest>,
    pub(super) event: (u64, ByteBuf),
    /// What a request with an idempotency key has made, under its name.
    pub(super) made: Option<(Digest, ByteBuf)>,
}
