//! The one writer's state: where history stands, and what it needs to go on.

use std::collections::BTreeSet;

use crate::commit::images::ImageTaps;
use crate::key::event::stored::Head;
use crate::key::record::{Record, SecretEnd};
use crate::storage::batch::Batch;
use crate::token::digest::Digester;
use crate::token::id_generator::IdSource;

/// Behind a lock: who holds it is the writer.
pub(crate) struct Writer {
    head: Head,
    pub(crate) ids: IdSource,
    /// All that the store can read by; the last is for new secrets.
    pub(crate) digesters: Vec<Digester>,
    /// Ends of superseded secrets that are still stored.
    ends: BTreeSet<(i64, u128)>,
    pub(crate) taps: ImageTaps,
}

impl Writer {
    pub(crate) fn new(head: Head, ids: IdSource, digesters: Vec<Digester>, overlapping: Vec<u128>) -> Self {
        // Due at once: the first tick reads each of them and notes its true end.
        let ends = overlapping.into_iter().map(|id| (i64::MIN, id)).collect();
        Self { head, ids, digesters, ends, taps: ImageTaps::default() }
    }

    /// Where history stands.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// Notes a batch that is about to be appended, and leads to `head`.
    pub(crate) fn append(&mut self, head: Head, batch: &Batch) {
        self.taps.note(&batch.writes);
        self.head = head;
    }

    /// The digester for new secrets.
    pub(crate) fn digester(&self) -> Digester {
        self.digesters.last().cloned().unwrap_or_else(Digester::plain)
    }

    /// Some of the keys with a superseded secret whose end may have come; each is named once.
    pub(crate) fn ended(&mut self, now: i64, max: usize) -> BTreeSet<u128> {
        let due: Vec<_> = self.ends.range(..(now.saturating_add(1), 0)).take(max).copied().collect();
        due.into_iter().filter(|end| self.ends.remove(end)).map(|(_, id)| id).collect()
    }

    pub(crate) fn note_ends(&mut self, record: &Record) {
        for secret in &record.secrets {
            if let SecretEnd::At(end) = secret.end {
                self.ends.insert((end, record.id));
            }
        }
    }
}
