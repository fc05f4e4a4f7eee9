//! The path of a change: it is decided, staged, enqueued, restricted, appended, made durable and published.

use std::io;

use crate::base::codec;
use crate::commit::applier::replace_unused;
use crate::commit::cluster::propagation::Terms;
use crate::commit::engine::{Engine, io_or_not_durable};
use crate::commit::local_log::OpenLog;
use crate::commit::log::Log;
use crate::commit::outcome::Outcome;
use crate::commit::records::Records;
use crate::commit::stage::{Stage, Staged};
use crate::commit::writer::Writer;
use crate::key::change::Change;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::batch::Batch;

impl Engine {
    /// Makes the changes that `decide` returns, at most one of each key: all or none, in one transaction. Returns once
    /// they are durable and visible.
    pub(crate) fn change(
        &self,
        decide: impl FnMut(&mut Writer, &Records<'_>) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.change_on(Terms::default(), decide)
    }

    /// The same, on terms that concern a cluster alone.
    #[cfg_attr(not(feature = "cluster"), allow(unused_variables, reason = "one store is all there is"))]
    pub(crate) fn change_on(
        &self,
        terms: Terms,
        mut decide: impl FnMut(&mut Writer, &Records<'_>) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        #[cfg(feature = "cluster")]
        if let Some(order) = self.order() {
            return order.change(self, terms, &mut decide);
        }
        let log = self.log.open()?;
        let records = Records::of(&log);
        let intent = self.group.intend();
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, &log);
        let (outcomes, notices, restricted) = loop {
            let mut changes = decide(&mut writer, &records).map_err(|error| self.hide_conflict_after_failure(error))?;
            for change in &mut changes {
                // The time may have been read before this call had the lock.
                change.at = change.at.max(self.time.floor());
            }
            let stage = self
                .stage(&mut writer, &records, &changes)
                .map_err(|error| self.hide_conflict_after_failure(self.restrict_without_records(&changes, error)))?;
            // Enqueue before restricting: no earlier change of these keys may widen them again, or publish a successor
            // that this change replaces.
            self.enqueue(&stage);
            if replace_unused(&self.index, &changes, stage.staged.iter().map(|one| &one.pending)) {
                let Stage { outcomes, notices, staged, head, at } = stage;
                self.time.raise(at);
                break (outcomes, notices, self.append(&mut writer, &log, staged, head)?);
            }
            self.group.rollback();
            // A caller has just used the successor that this change was to replace: the first use comes first.
            std::thread::yield_now();
            self.write_first_uses(&mut writer, &log);
            self.group.check().map_err(|source| io_or_not_durable(false, source))?;
        };
        // Wait even if nothing was left to do: the present state may not be on disk yet, or may never get there.
        let ticket = self.group.appended();
        drop(writer);
        let unchanged = outcomes.iter().any(|outcome| !outcome.changed);
        let durable = self.group.wait_after(intent, ticket, &self.index, &log);
        let durable = if unchanged { durable.and_then(|()| self.group.check()) } else { durable };
        durable.map_err(|source| io_or_not_durable(restricted || unchanged, source))?;
        self.emit(&notices);
        Ok(outcomes)
    }

    /// Enqueues staged changes: from now on no more of earlier changes of their keys becomes visible than they leave.
    pub(crate) fn enqueue(&self, stage: &Stage) {
        self.group.enqueue(stage.staged.iter().map(|one| one.pending.clone()));
    }

    /// Takes from the index what the enqueued changes take away, and appends them to the log. Returns whether they took
    /// anything away.
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

    /// After a failure the records may have changes without an acknowledgement, so a conflict with them does not count.
    fn hide_conflict_after_failure(&self, error: StoreError) -> StoreError {
        match (self.group.check(), &error) {
            (Err(source), StoreError::Conflict(_) | StoreError::NotFound(_)) => StoreError::Io { source },
            _ => error,
        }
    }
}
