//! The engine of changes: each is decided on the records as they stand, put into the log, made durable, and made visible.
//!
//! ```text
//! decide -> stage -> enqueue -> restrict -> append to the log -> sync -> publish
//!           (writer's lock) ...............................     (group commit)
//! ```
//!
//! What a change takes away is gone from the index before the log has it; what a change gives is there only when the log
//! has it on the disk. So no verification succeeds with rights that a restart would not find.

use std::io;
use std::sync::{Mutex, MutexGuard};

use crate::access::auth_error::AuthError;
use crate::access::verified_key::VerifiedKey;
use crate::base::codec;
use crate::base::metrics::Meter;
use crate::base::store_time::StoreTime;
use crate::commit::applier::replace_unused;
use crate::commit::change_feed::ChangeFeed;
use crate::commit::first_use::FirstUses;
use crate::commit::group_commit::GroupCommit;
use crate::commit::local_log::{LocalLog, OpenLog};
use crate::commit::log::Log;
use crate::commit::stage::{Outcome, Stage, Staged};
use crate::commit::writer::Writer;
use crate::index::Index;
use crate::index::refusals::RefusalCounts;
use crate::key::change::{Action, Change};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::lifetime::Lifetime;
use crate::key::record::Record;
use crate::key::scope::Scope;
use crate::storage::batch::Batch;
use crate::storage::database::disk::Disk;

/// What changes keys, and what a verification reads of them.
pub(crate) struct Engine {
    pub(crate) index: Index,
    pub(crate) time: StoreTime,
    pub(crate) lifetime: Lifetime,
    pub(crate) log: LocalLog,
    pub(crate) group: GroupCommit,
    pub(crate) first_uses: FirstUses,
    /// Which keys have changed, for a rotator.
    pub(crate) changes: ChangeFeed,
    /// Counted by key: a key that is deleted takes its counts with it.
    pub(crate) refusals: RefusalCounts,
    pub(crate) meter: Meter,
    writer: Mutex<Writer>,
}

impl Engine {
    pub(crate) fn new(index: Index, time: StoreTime, lifetime: Lifetime, log: LocalLog, writer: Writer) -> Self {
        Self {
            index,
            time,
            lifetime,
            log,
            group: GroupCommit::new(writer.head()),
            first_uses: FirstUses::default(),
            changes: ChangeFeed::default(),
            refusals: RefusalCounts::default(),
            meter: Meter::new(),
            writer: Mutex::new(writer),
        }
    }

    /// Makes changes that `decide` names: all or none, in one transaction; at most one of a key. Returns when they are
    /// durable and visible.
    pub(crate) fn change(
        &self,
        mut decide: impl FnMut(&mut Writer, &Disk) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let log = self.log.open()?;
        let intent = self.group.intend();
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, &log);
        let (outcomes, notices, restricted) = loop {
            let mut changes = decide(&mut writer, &log).map_err(|error| self.hide_conflict_after_failure(error))?;
            for change in &mut changes {
                // The time may have been read before this call had the lock.
                change.at = change.at.max(self.time.floor());
            }
            let stage = self
                .stage(&mut writer, &log, &changes)
                .map_err(|error| self.hide_conflict_after_failure(self.restrict_without_records(&changes, error)))?;
            // Before anything is taken away: nothing earlier of these keys may widen them again, or show a successor
            // that is about to be replaced.
            self.enqueue(&stage);
            if replace_unused(&self.index, &changes, stage.staged.iter().map(|one| &one.pending)) {
                let Stage { outcomes, notices, staged, head, at } = stage;
                self.time.raise(at);
                break (outcomes, notices, self.append(&mut writer, &log, staged, head)?);
            }
            self.group.rollback();
            // A successor that was to be replaced was used in this very moment: that comes first.
            std::thread::yield_now();
            self.write_first_uses(&mut writer, &log);
            self.group.check().map_err(|source| io_or_not_durable(false, source))?;
        };
        // Also when nothing was left to do: what holds already may not be on disk yet, or never come there.
        let ticket = self.group.appended();
        drop(writer);
        let unchanged = outcomes.iter().any(|outcome| !outcome.changed);
        let durable = self.group.wait_after(intent, ticket, &self.index, &log);
        let durable = if unchanged { durable.and_then(|()| self.group.check()) } else { durable };
        durable.map_err(|source| io_or_not_durable(restricted || unchanged, source))?;
        self.emit(&notices);
        Ok(outcomes)
    }

    /// The one writer. Who holds it decides alone.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // Nobody knows how far it came, in memory and on disk.
            self.group.fail(&io::Error::other("a change panicked"));
            poisoned.into_inner()
        })
    }

    /// A change of one key, at the time that it is now.
    pub(crate) fn change_of(&self, id: u128, action: Action) -> Change {
        Change { id, at: self.time.now_ms(), actor: None, scope: Scope::default(), action, once: None }
    }

    /// Puts staged changes in line: from now on nothing earlier of their keys becomes visible beyond what they leave.
    pub(crate) fn enqueue(&self, stage: &Stage) {
        self.group.enqueue(stage.staged.iter().map(|one| one.pending.clone()));
    }

    /// Takes away what the enqueued changes take away, and appends them to the log. Whether they took anything away.
    pub(crate) fn append(
        &self,
        writer: &mut Writer,
        log: &OpenLog<'_>,
        staged: Vec<Staged>,
        head: Head,
    ) -> Result<bool, StoreError> {
        if staged.is_empty() {
            return Ok(false);
        }
        let mut restricted = false;
        let mut ended = Vec::new();
        for pending in staged.iter().map(|one| &one.pending) {
            restricted |= pending.restrict(&self.index).map_err(|full| self.fail(true, full.into()))?;
            ended.extend(pending.ended_digests());
        }
        self.group.check().map_err(|source| io_or_not_durable(restricted, source))?;
        let frame = codec::encode(&head).map_err(|error| self.fail(restricted, io::Error::other(error)))?;
        let changed: Vec<u128> = staged.iter().filter(|one| one.is_of_rotator).map(|one| one.pending.id).collect();
        let batch = Batch { writes: staged.into_iter().map(|one| one.write).collect(), head: frame, ended };
        writer.append(head, &batch);
        log.append(batch).map_err(|source| self.fail(restricted, source))?;
        self.group.append(head);
        self.changes.note(&changed);
        Ok(restricted)
    }

    /// Waits until all that is appended is durable and visible.
    pub(crate) fn wait(&self, ticket: u64, log: &OpenLog<'_>) -> io::Result<()> {
        self.group.wait(ticket, &self.index, log)
    }

    /// Writes what was used for the first time until this moment, and makes everything durable. The caller has taken the
    /// database out, and closed the index.
    pub(crate) fn close(&self, disk: &Disk) -> io::Result<()> {
        let log = self.log.closing(disk);
        self.write_first_uses(&mut self.writer(), &log);
        self.wait(self.group.appended(), &log)?;
        disk.sync()
    }

    /// What a record gives.
    pub(crate) fn effective(&self, record: &Record) -> Result<EffectiveKey, StoreError> {
        Ok(EffectiveKey::of(record, self.lifetime).map_err(io::Error::from)?)
    }

    /// Whether a key that was verified earlier is still good, with the same secret.
    pub(crate) fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        if key.store != self.index.store() {
            return Err(AuthError::Invalid);
        }
        self.index.recheck(key, self.time.now_ms()).map_err(|error| self.unavailable_if_closed(error))
    }

    /// A closed store knows no key; that is not the caller's fault.
    pub(crate) fn unavailable_if_closed(&self, error: AuthError) -> AuthError {
        if error == AuthError::Invalid && self.index.is_closed() { AuthError::Unavailable } else { error }
    }

    /// After a failure the records may hold what no caller has an answer to: a conflict that rests on them is none.
    fn hide_conflict_after_failure(&self, error: StoreError) -> StoreError {
        match (self.group.check(), &error) {
            (Err(source), StoreError::Conflict(_) | StoreError::NotFound(_)) => StoreError::Io { source },
            _ => error,
        }
    }

    /// After a failed write nobody knows what is on disk: nothing more is acknowledged until the store is reopened.
    fn fail(&self, restricted: bool, source: io::Error) -> StoreError {
        self.group.fail(&source);
        io_or_not_durable(restricted, source)
    }
}

/// A change that the disk refused, and that took rights away, is in force all the same.
pub(crate) fn io_or_not_durable(restricted: bool, source: io::Error) -> StoreError {
    if restricted { StoreError::NotDurable { source } } else { StoreError::Io { source } }
}
