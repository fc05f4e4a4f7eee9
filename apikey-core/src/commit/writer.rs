//! The state of the one writer: the head, and what the next change needs.

use std::collections::BTreeSet;

use crate::commit::images::ImageTaps;
use crate::key::event::stored::Head;
use crate::key::record::{Record, SecretEnd};
use crate::storage::batch::Batch;
use crate::token::digest::Digester;
use crate::token::id_generator::IdSource;

/// The thread that holds the lock of this is the writer.
pub(crate) struct Writer {
    head: Head,
    pub(crate) ids: IdSource,
    /// All digesters of the store, in the order of their numbers.
    pub(crate) digesters: Vec<Digester>,
    /// The pepper for new secrets, in a cluster: one that every node has.
    #[cfg(feature = "cluster")]
    pub(crate) pepper: Option<u32>,
    /// The ends of superseded secrets that are still stored.
    ends: BTreeSet<(i64, u128)>,
    pub(crate) taps: ImageTaps,
    /// How often the records were replaced as a whole.
    pub(crate) replaced: u64,
}

impl Writer {
    pub(crate) fn new(head: Head, ids: IdSource, digesters: Vec<Digester>, overlapping: Vec<u128>) -> Self {
        // Due at once: the first tick reads each of them and notes its true end.
        let ends = overlapping.into_iter().map(|id| (i64::MIN, id)).collect();
        Self {
            head,
            ids,
            digesters,
            #[cfg(feature = "cluster")]
            pepper: None,
            ends,
            taps: ImageTaps::default(),
            replaced: 0,
        }
    }

    /// Returns the head after the last change.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The records were replaced as a whole, and this is their head.
    #[cfg(feature = "cluster")]
    pub(crate) fn replace(&mut self, head: Head) {
        self.head = head;
        self.replaced += 1;
    }

    /// Notes a batch that is about to be appended, after which the head is `head`.
    pub(crate) fn append(&mut self, head: Head, batch: &Batch) {
        self.taps.note(&batch.writes);
        self.head = head;
    }

    /// Returns the digester for new secrets.
    pub(crate) fn digester(&self) -> Digester {
        #[cfg(feature = "cluster")]
        if let Some(digester) = self.digesters.iter().find(|digester| Some(digester.pepper()) == self.pepper) {
            return digester.clone();
        }
        self.digesters.last().cloned().unwrap_or_else(Digester::plain)
    }

    /// Takes up to `max` keys with a superseded secret that may have ended. It returns each key once.
    pub(crate) fn ended(&mut self, now: i64, max: usize) -> BTreeSet<u128> {
        let due: Vec<_> = self.ends.range(..(now.saturating_add(1), 0)).take(max).copied().collect();
        due.into_iter().filter(|end| self.ends.remove(end)).map(|(_, id)| id).collect()
    }

    pub(crate) fn note_ends(&mut self, record: &Record) {
        self.ends.extend(ends(record));
    }

    /// Notes the ends that a change leaves, instead of those before it: on a node of a cluster that erases nothing, too,
    /// there are no more than the records have.
    #[cfg(feature = "cluster")]
    pub(crate) fn replace_ends(&mut self, before: Option<&Record>, after: Option<&Record>) {
        if let Some(record) = before {
            // The one of an opened store, of which only the key is known.
            self.ends.remove(&(i64::MIN, record.id));
            for end in ends(record) {
                self.ends.remove(&end);
            }
        }
        self.ends.extend(after.into_iter().flat_map(ends));
    }

    /// How many ends are noted.
    #[cfg(all(test, feature = "cluster"))]
    pub(crate) fn noted_ends(&self) -> usize {
        self.ends.len()
    }
}

/// The ends of the superseded secrets of a record, and that of the time for which it keeps an ended one.
fn ends(record: &Record) -> impl Iterator<Item = (i64, u128)> {
    let superseded = record.secrets.iter().filter_map(|secret| match secret.end {
        SecretEnd::At(end) => Some(end),
        _ => None,
    });
    superseded.chain(record.ended.as_ref().map(|ended| ended.until)).map(|end| (end, record.id))
}
