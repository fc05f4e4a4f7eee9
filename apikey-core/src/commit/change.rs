//! The way of a change: decided, staged, put in line, restricted, appended, made durable, published.

use std::io;

use crate::base::codec;
use crate::commit::applier::replace_unused;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::commit::local_log::OpenLog;
use crate::commit::log::Log;
use crate::commit::stage::{Outcome, Stage, Staged};
use crate::commit::writer::Writer;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::batch::Batch;
use crate::storage::database::disk::Disk;

impl Engine {
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

    /// After a failure the records may hold what no caller has an answer to: a conflict that rests on them is none.
    fn hide_conflict_after_failure(&self, error: StoreError) -> StoreError {
        match (self.group.check(), &error) {
            (Err(source), StoreError::Conflict(_) | StoreError::NotFound(_)) => StoreError::Io { source },
            _ => error,
        }
    }
}
