//! Counts of uses in a cluster: each node mirrors its own rows of owners, tenants and the store into the ledger, and adds those
//! of the others to its own for a report.
//!
//! A row is sent only once it is on the disk of the node, so the ledger never has more than that, and a node that was killed
//! sends no less than before.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::base::codec;
use crate::base::lock::lock;
use crate::cluster::ledger::Tally;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::node::leave::LEFT;
use crate::cluster::node::shared::{FollowError, Node};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::usage::mirror::{ALL, Batch, MirrorNote, Scan, Unsent, tally_name, total};
use crate::usage::subject::UsageSubject;

/// The pause after a call that failed, and after an open: what was sent before is done by then, or never will be, and so does not
/// follow what is sent later.
pub(super) const LATE: Duration = Duration::from_secs(30);
/// The share of the ledger's quota, in percent, from which on no rows are sent.
const FULL_PERCENT: u64 = 50;

/// The state of mirroring.
pub(crate) struct Mirror {
    pub(super) node: Arc<Node>,
    /// What was counted before the node was opened.
    pub(super) total_at_open: u64,
    pub(super) unsent: Mutex<Unsent>,
    /// The number under which this replica mirrors its rows, and how far it has; `None` if it has not begun to. It changes while nobody reads or
    /// writes counts.
    pub(super) note: Mutex<Option<MirrorNote>>,
    pub(super) progress: Mutex<Progress>,
}

/// How far the thread has come.
#[derive(Default)]
pub(super) struct Progress {
    /// Whether it is known that the ledger has no more than this replica.
    pub(super) has_begun: bool,
    pub(super) scan: Option<Scan>,
    /// Once everything is sent, the ledger has all days before this one.
    pub(super) reaches: Option<u32>,
    pub(super) due: Option<Instant>,
    pub(super) expiring_due: Option<Instant>,
    is_without_room: bool,
    /// How often the engine went back, and its timeline, when rows were sent last.
    pub(super) history: Option<(u64, u64)>,
}

/// Rows on their way to the ledger.
pub(super) struct Outgoing {
    pub(super) batch: Batch,
    /// What changed, and is in the batch.
    changed: Vec<(u32, UsageSubject)>,
    /// Where the scan was before.
    scan: Option<Scan>,
}

impl Mirror {
    /// Creates the mirror of a node that is being opened.
    ///
    /// # Errors
    /// The disk fails.
    pub(in crate::store) fn new(node: Arc<Node>, disk: &Disk) -> Result<Self, StoreError> {
        let note = disk.usage_mirrored()?.and_then(|note| codec::decode(&note).ok());
        let total_at_open = total(disk.usage_row(&ALL.bytes())?.as_deref());
        let (unsent, progress) = (Mutex::default(), Mutex::default());
        Ok(Self { node, total_at_open, unsent, note: Mutex::new(note), progress })
    }

    /// Whether the node has nothing to do with its ledger any more, or for now.
    pub(super) fn is_stopped(&self) -> bool {
        let state = self.node.state();
        state.recovery.is_some() || state.fault.as_deref().is_some_and(|fault| fault != LEFT)
    }

    /// Whether the ledger has room for what can be lost.
    pub(super) fn has_room(&self, progress: &mut Progress) -> bool {
        let space = self.node.state().sight.as_ref().and_then(|sight| sight.space);
        let is_full = space.is_some_and(|space| space.used / 100 * 100 >= space.quota / 100 * FULL_PERCENT);
        if is_full && !progress.is_without_room {
            tracing::warn!(name: "apikey.cluster", target: "apikey", node = self.node.settings.name, "the engine is half full, and gets no counts of uses until there is room: other nodes do not know what this one counts");
        }
        progress.is_without_room = is_full;
        !is_full
    }

    /// How long a call that had no answer may still be done.
    pub(super) fn late(&self) -> Duration {
        if self.node.settings.safeguards.outwaits_late_counts { LATE } else { Duration::ZERO }
    }

    /// Creates a note with another number.
    pub(super) fn new_note(&self) -> Result<MirrorNote, LedgerError> {
        let mut replica = [0; 8];
        let filled = self.node.runtime.fill(&mut replica);
        filled.map_err(|error| LedgerError::refused(format!("no random numbers: {error}")))?;
        Ok(MirrorNote { replica: u64::from_be_bytes(replica), generation: self.node.generation(), day: 0 })
    }

    /// Writes the note, without a sync.
    pub(super) fn set_note(&self, disk: &Disk, note: MirrorNote) -> Result<(), StoreError> {
        disk.note_usage_mirrored(&codec::encode(&note)?)?;
        *lock(&self.note) = Some(note);
        Ok(())
    }

    /// What the ledger has of all that this replica has ever counted.
    pub(super) fn total_sent(&self, replica: u64, by: Instant) -> Result<u64, LedgerError> {
        let name = tally_name(ALL, replica);
        let tallies = self.node.ledger.tallies(self.node.generation(), &[&name], by)?;
        Ok(tallies.iter().map(|tally| total(Some(&tally.value))).max().unwrap_or(0))
    }

    /// The next rows: those that have changed, or those that a scan finds, and as many of the others as fit.
    pub(super) fn next_rows(
        &self,
        progress: &mut Progress,
        disk: &Disk,
        is_scan_first: bool,
    ) -> Result<Outgoing, StoreError> {
        let batch = Batch::new(Tally::MAX, Tally::MAX_BYTES);
        let mut rows = Outgoing { batch, changed: Vec::new(), scan: progress.scan.clone() };
        let added = if is_scan_first {
            rows.batch.add_scanned(disk, &mut progress.scan).and_then(|()| self.add_changed(disk, &mut rows))
        } else {
            self.add_changed(disk, &mut rows).and_then(|()| rows.batch.add_scanned(disk, &mut progress.scan))
        };
        match added {
            Ok(()) => Ok(rows),
            Err(error) => {
                self.take_back(progress, rows);
                Err(error)
            }
        }
    }

    fn add_changed(&self, disk: &Disk, rows: &mut Outgoing) -> Result<(), StoreError> {
        loop {
            let Some((day, subject)) = lock(&self.unsent).take() else { return Ok(()) };
            rows.changed.push((day, subject));
            if !rows.batch.add(disk, day, subject)? {
                rows.changed.pop();
                lock(&self.unsent).put_back(day, subject);
                return Ok(());
            }
        }
    }

    /// Sends rows.
    pub(super) fn send(
        &self,
        note: MirrorNote,
        disk: &Disk,
        batch: &mut Batch,
        by: Instant,
    ) -> Result<(), FollowError> {
        batch.finish(disk)?;
        let tallies: Vec<_> = batch.by_name(note.replica).map(|(name, value)| Tally { name, value }).collect();
        // The ledger must have no more than this disk.
        disk.sync_usage()?;
        Ok(self.node.ledger.tally(note.generation, &tallies, by)?)
    }

    /// Rows that were not sent are sent later.
    pub(super) fn take_back(&self, progress: &mut Progress, rows: Outgoing) {
        progress.scan = rows.scan;
        let mut unsent = lock(&self.unsent);
        rows.changed.into_iter().for_each(|(day, subject)| unsent.note(day, subject));
    }

    /// Notes how far the ledger has everything.
    pub(super) fn note_reached(&self, progress: &mut Progress, disk: &Disk) -> Result<(), StoreError> {
        let Some(day) = progress.reaches.filter(|_| progress.scan.is_none()) else { return Ok(()) };
        if !lock(&self.unsent).has_none_before(day) {
            return Ok(());
        }
        progress.reaches = None;
        let held = *lock(&self.note);
        held.map_or(Ok(()), |note| self.set_note(disk, MirrorNote { day, ..note }))
    }
}
