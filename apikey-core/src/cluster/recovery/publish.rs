//! Publishing the entries that the engine lost. Only what was in the log was ever applied, so this brings back what was
//! there, and nothing else.

use crate::base::lock::lock;
use crate::cluster::format::entry::{LogEntry, position};
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Appended, Entry, Logged, Position};
use crate::cluster::node::shared::{FollowError, Node, PATIENCE};
use crate::cluster::recovery::step::RecoveryStep;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;

/// The most bytes that a node reads of the log at a time.
const READ: usize = 1 << 20;

/// What became of the entries that the log lacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Published {
    /// The log has them, or another node was first with one.
    Moved,
    /// This node does not keep entries so far back.
    NotKept,
}

impl Node {
    /// Appends the entries that the log lacks, from its head on. Each is the one that it was, under its op, so several nodes
    /// may do this at once.
    pub(super) fn publish(&self, engine: &Engine, head: Position) -> Result<Published, FollowError> {
        let (own, digesters) = {
            let writer = engine.writer();
            (position(&writer.head()), writer.digesters.clone())
        };
        let entries = lock(&self.kept).after(head.place()).map_err(StoreError::from)?.unwrap_or_default();
        if entries.last().map(|entry| Position::from(entry.last)) != Some(own) {
            return Ok(Published::NotKept);
        }
        self.recovers(RecoveryStep::Publishing { events: own.number.saturating_sub(head.number) });
        for kept in &entries {
            let (base, last) = (Position::from(kept.base), Position::from(kept.last));
            // Nothing that was damaged on the disk gets into the log.
            let is_whole = LogEntry::decode(&kept.bytes, &digesters).is_ok_and(|entry| {
                entry.generation == self.generation()
                    && (entry.base, entry.last()) == (base, last)
                    && entry.op.to_be_bytes() == kept.op
            });
            if !is_whole {
                return Ok(Published::NotKept);
            }
            if self.probing.is_closed() {
                return Err(LedgerError::refused("the node closes").into());
            }
            let entry = Entry { generation: self.generation(), op: kept.op, base, last, bytes: &kept.bytes };
            match self.noted(self.ledger.append(&entry, None, self.runtime.now() + PATIENCE))? {
                Appended::Here => {}
                Appended::Lost { .. } => return Ok(Published::Moved),
            }
        }
        Ok(Published::Moved)
    }

    /// Reads from the log what the kept entries lack up to the head of the replica: a power cut takes what was not synced.
    pub(crate) fn complete_kept(&self, engine: &Engine) -> Result<(), FollowError> {
        let own = position(&engine.writer().head());
        let Some(mut at) = lock(&self.kept).last().map(Position::from) else { return Ok(()) };
        let mut lacking = Vec::new();
        while at.number < own.number {
            let by = self.runtime.now() + PATIENCE;
            let entries = self.ledger.read(self.generation(), at.number, READ, by)?;
            if entries.is_empty() {
                return Ok(());
            }
            for logged in entries {
                let base = std::mem::replace(&mut at, logged.last);
                lacking.push((base, logged));
            }
        }
        // The chain ends where the replica does, so it is the replica's.
        let is_own = |(_, logged): &(Position, Logged)| logged.last == own;
        let Some(end) = lacking.iter().position(is_own) else { return Ok(()) };
        let mut kept = lock(&self.kept);
        for (base, logged) in lacking.iter().take(end + 1) {
            kept.append(base.place(), logged.last.place(), logged.op, &logged.bytes).map_err(StoreError::from)?;
        }
        Ok(())
    }
}
