//! The passes in which a node mirrors its counts of uses, and what it reads of those of the other nodes.
//!
//! It is work that can wait, of the thread of a node that does such work: a few calls to the ledger at a time, and none
//! while the ledger is half full.

use std::time::{Duration, Instant};

use crate::base::codec;
use crate::base::lock::lock;
use crate::base::panics::catch_panic;
use crate::cluster::ledger::Tally;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::node::admission::MAX_SKEW_MS;
use crate::cluster::node::shared::FollowError;
use crate::index::counts::minute;
use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::uses::mirror::{LATE, Mirror, Progress};
use crate::store::uses::usage::{MIN_FREE, has_room};
use crate::usage::chunk::Chunk;
use crate::usage::expire::rows_kept;
#[cfg(test)]
use crate::usage::mirror::{ALL, total};
use crate::usage::mirror::{Counted, MirrorNote, Scan, Unsent, day, delete_sums, read_tally_name};
#[cfg(test)]
use crate::usage::read;
use crate::usage::read::{Minutes, rows_of};
use crate::usage::report::Covers;
use crate::usage::row::{RowName, RowSpan, begin};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// From one pass to the next. One call of it has 120 rows, so a node writes 40 rows a second of what has changed: what more
/// there is comes later. etcd keeps each version of a row until it compacts.
const EACH: Duration = Duration::from_secs(3);
/// The calls of a pass that finds rows on the disk. Each of those is sent once.
const SCANNED_CALLS: usize = 4;
/// How long a pass may take, an answer of the ledger, and what a node sends when it closes.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often the janitor deletes old rows, and how long that may take.
const EXPIRE_EACH: Duration = Duration::from_secs(3600);
const EXPIRING: Duration = Duration::from_secs(5);

impl Inner {
    /// Notes that a row has changed.
    pub(super) fn note_counted(&self, minute: u32, subject: UsageSubject) {
        self.mirror.iter().for_each(|mirror| lock(&mirror.unsent).note(day(minute), subject));
    }

    /// Reads what all nodes have mirrored of a subject; `None` if the ledger does not have it, or does not answer soon.
    pub(super) fn counted_by_all(&self, subject: UsageSubject, minutes: Minutes) -> Option<Vec<Counted>> {
        let node = &self.mirror.as_ref()?.node;
        let (.., step) = minutes;
        if subject.as_key().is_some() || step == Step::Minute || node.state().fault.is_some() {
            return None;
        }
        let begins: Vec<_> = rows_of(subject, minutes).into_iter().map(RowName::bytes).collect();
        let begins: Vec<&[u8]> = begins.iter().map(|begin| &begin[..]).collect();
        let tallies = node.ledger.tallies(node.generation(), &begins, node.runtime.now() + PATIENCE);
        let tallies = tallies.inspect_err(|error| tracing::debug!(%error, "the counts of other nodes are not known"));
        let counted = |tally: Tally| {
            let (row, replica) = read_tally_name(&tally.name)?;
            Some(Counted { row, replica, chunk: codec::decode(&tally.value).ok()? })
        };
        Some(tallies.ok()?.into_iter().filter_map(counted).collect())
    }

    /// The rows among them that are of others, and whose counts a report then has. The caller keeps this store from writing
    /// its own.
    pub(super) fn counted_by_others(&self, all: Option<Vec<Counted>>) -> (Covers, Vec<(RowName, Chunk)>) {
        let Some(mirror) = &self.mirror else { return (Covers::Store, Vec::new()) };
        let Some(all) = all else { return (Covers::ThisNode, Vec::new()) };
        let own = lock(&mirror.note).map(|note| note.replica);
        let others = all.into_iter().filter(|counted| Some(counted.replica) != own);
        (Covers::AllNodes, others.map(|counted| (counted.row, counted.chunk)).collect())
    }

    /// Finds out where it begins, before anything is counted. If the ledger does not answer the thread does so.
    pub(in crate::store) fn begin_mirror(&self) {
        let Some(mirror) = &self.mirror else { return };
        let Ok(disk) = self.engine.log.open() else { return };
        let by = mirror.node.runtime.now() + PATIENCE;
        if self.has_usage(&disk)
            && let Err(error) = self.begin_mirror_by(mirror, &mut lock(&mirror.progress), &disk, by)
        {
            tracing::debug!(%error, "what the ledger has of this replica's counts is not known yet");
        }
    }

    /// The number of this replica, and what it has counted in all.
    #[cfg(test)]
    pub(crate) fn counted_here(&self) -> (Option<u64>, u64) {
        let mirror = self.mirror.as_ref().unwrap();
        let _writing = lock(&self.writing_usage);
        self.collect_uses();
        let waiting = read::waiting(&self.engine.counts.as_ref().unwrap().pending(), UsageSubject::STORE);
        let row = self.engine.log.open().unwrap().usage_row(&ALL.bytes()).unwrap();
        let total = total(row.as_deref()) + waiting.iter().map(|(_, counts)| counts.total()).sum::<u64>();
        (lock(&mirror.note).map(|note| note.replica), total)
    }

    /// Does what the thread does, as if it were time.
    #[cfg(test)]
    pub(crate) fn mirror_usage_now(&self) {
        if let Some(mirror) = &self.mirror {
            let mut progress = lock(&mirror.progress);
            (progress.due, progress.expiring_due) = (None, None);
        }
        self.mirror_usage();
    }

    /// Mirrors some rows, and as the janitor deletes old ones from the ledger, if it is time.
    pub(in crate::store) fn mirror_usage(&self) {
        let Some(mirror) = &self.mirror else { return };
        let Ok(disk) = self.engine.log.open() else { return };
        if mirror.is_stopped() {
            return;
        }
        let runtime = &mirror.node.runtime;
        let is_due = |due: Option<Instant>| due.is_none_or(|due| due <= runtime.now());
        // A panic in the database must not end the thread, which has more to do.
        let worked = catch_panic(|| {
            let mut progress = lock(&mirror.progress);
            if is_due(progress.due) && self.has_usage(&disk) {
                let sent = self.mirror_some(mirror, &mut progress, &disk, false);
                progress.due = Some(runtime.now() + if sent.is_ok() { EACH } else { mirror.late() });
                if let Err(error) = sent {
                    tracing::debug!(%error, "other nodes do not know yet what this one has counted");
                }
            }
            if progress.expiring_due.is_none() && !self.has_usage(&disk) {
                // Others may count, but there is no hurry.
                progress.expiring_due = Some(runtime.now() + EXPIRE_EACH);
            }
            if is_due(progress.expiring_due) && self.engine.keeps_house() {
                let expired = self.expire_tallies(mirror);
                progress.expiring_due = Some(runtime.now() + if expired.is_ok() { EXPIRE_EACH } else { LATE });
                if let Err(error) = expired {
                    tracing::debug!(%error, "old counts are left in the ledger");
                }
            }
        });
        if let Err(panic) = worked {
            tracing::error!(panic, "the database panicked behind the key store");
        }
    }

    /// Mirrors what is left when the node closes, for a short time.
    pub(in crate::store) fn mirror_rest(&self) {
        let Some(mirror) = &self.mirror else { return };
        let Ok(disk) = self.engine.log.open() else { return };
        if !self.has_usage(&disk) || mirror.is_stopped() {
            return;
        }
        let worked = catch_panic(|| {
            self.write_usage_to(&disk);
            self.mirror_some(mirror, &mut lock(&mirror.progress), &disk, true)
        });
        match worked {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "other nodes know the last counts once this one is open again"),
            Err(panic) => tracing::error!(panic, "the database panicked behind the key store"),
        }
    }

    fn has_usage(&self, disk: &Disk) -> bool {
        self.engine.counts.is_some() || disk.usage_bytes() > 0
    }

    /// Mirrors rows by a few calls; by as many as there is time for, if they are the last ones.
    fn mirror_some(
        &self,
        mirror: &Mirror,
        progress: &mut Progress,
        disk: &Disk,
        is_last: bool,
    ) -> Result<(), FollowError> {
        if !has_room(disk, MIN_FREE) || !mirror.has_room(progress) {
            return Ok(());
        }
        let (node, by) = (&mirror.node, mirror.node.runtime.now() + PATIENCE);
        let note = self.begin_mirror_by(mirror, progress, disk, by)?;
        self.plan_scan(mirror, progress, note);
        let most = match progress.scan {
            _ if is_last => usize::MAX,
            Some(_) => SCANNED_CALLS,
            None => 1,
        };
        for call in 0..most {
            let mut rows = mirror.next_rows(progress, disk, call % 2 == 1)?;
            if !rows.batch.is_empty()
                && let Err(error) = mirror.send(note, disk, &mut rows.batch, by)
            {
                mirror.take_back(progress, rows);
                return Err(error);
            }
            mirror.note_reached(progress, disk)?;
            if node.runtime.now() >= by || (progress.scan.is_none() && lock(&mirror.unsent).is_empty()) {
                break;
            }
        }
        Ok(())
    }

    /// Finds out under which number this replica mirrors its rows, and what the ledger may lack of them.
    fn begin_mirror_by(
        &self,
        mirror: &Mirror,
        progress: &mut Progress,
        disk: &Disk,
        by: Instant,
    ) -> Result<MirrorNote, FollowError> {
        let held = *lock(&mirror.note);
        if let Some(note) = held.filter(|_| progress.has_begun) {
            return Ok(note);
        }
        let generation = mirror.node.generation();
        let note = match held {
            None => mirror.new_note()?,
            Some(note) if note.generation != generation => MirrorNote { generation, day: 0, ..note },
            Some(note)
                if mirror.total_sent(note.replica, by)? <= mirror.total_at_open
                    || !mirror.node.settings.safeguards.renumbers_what_went_back =>
            {
                progress.due = Some(mirror.node.runtime.now() + mirror.late());
                note
            }
            // A copy of the directory, which goes on elsewhere, or an earlier state of it.
            Some(_) => {
                let new = mirror.new_note()?;
                tracing::warn!(name: "apikey.cluster", target: "apikey", node = mirror.node.settings.name, "this replica has counted less than it had mirrored into the engine: it begins anew to count the uses of owners, tenants and all keys, and the engine keeps what it had counted");
                let _writing = lock(&self.writing_usage);
                delete_sums(disk)?;
                *lock(&mirror.unsent) = Unsent::default();
                mirror.set_note(disk, new)?;
                new
            }
        };
        if held != Some(note) {
            mirror.set_note(disk, note)?;
        }
        lock(&mirror.unsent).scan_from(note.day);
        progress.has_begun = true;
        Ok(note)
    }

    /// Begins to send the rows of the disk: after an open, each day those of the day that is over, and when the engine has lost
    /// what it had.
    fn plan_scan(&self, mirror: &Mirror, progress: &mut Progress, note: MirrorNote) {
        let history = {
            let state = mirror.node.state();
            state.sight.as_ref().map(|sight| (state.times_back, sight.identity.timeline))
        };
        let (before, mut unsent) = (progress.history, lock(&mirror.unsent));
        if let (Some((times_back, _)), Some(now)) = (before, history)
            && before != history
        {
            unsent.scan_from(if times_back == now.0 { note.day } else { 0 });
        }
        progress.history = history.or(before);
        if progress.scan.is_some() {
            return;
        }
        // What somebody writes just now is sent because it changes, and is of this day or of one that is planned then.
        let Ok(_writing) = self.writing_usage.try_lock() else { return };
        let now = minute(self.engine.time.now_ms());
        let oldest = self.engine.counts.as_ref().and_then(|counts| counts.pending().minutes.keys().next().copied());
        let today = day(oldest.map_or(now, |oldest| oldest.min(now)));
        let is_over = note.day < today && progress.reaches.is_none_or(|reaches| reaches < today);
        let from = unsent.take_rescan().or(is_over.then_some(note.day));
        if let Some(from) = from {
            progress.scan = Some(Scan::from(from, now));
            progress.reaches = Some(today);
        }
    }

    /// Deletes the rows that are older than a node keeps its own. That depends on their age alone, so a former janitor does no
    /// harm; but one whose clock is ahead would.
    fn expire_tallies(&self, mirror: &Mirror) -> Result<(), LedgerError> {
        let node = &mirror.node;
        if node.state().skew_ms.abs() > MAX_SKEW_MS {
            return Ok(());
        }
        let floor = minute(self.engine.time.floor_ms());
        for step in [Step::Hour, Step::Day] {
            let (span, by) = (RowSpan::Steps(step), node.runtime.now() + EXPIRING);
            let [from, to] = [0, *rows_kept(step, floor).start()].map(|number| begin(span, number));
            node.ledger.forget_tallies(node.generation(), &from, &to, by)?;
        }
        Ok(())
    }
}
