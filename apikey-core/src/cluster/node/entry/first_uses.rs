//! First uses of rotated secrets: in force here at once, and in the log with the next entry of this node.

use std::time::Instant;

use crate::base::lock::lock;
use crate::cluster::format::entry::position;
use crate::cluster::node::entry::open_entry::OpenEntry;
use crate::cluster::node::shared::Node;
use crate::commit::cluster::propagation::Terms;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;

/// The most first uses of an entry, so that a revocation beside them stays small.
const MAX: usize = 256;

impl Node {
    /// Gets the first uses that wait into the log, if no other call of this node does before.
    pub(crate) fn write_first_uses(&self, engine: &Engine, by: Instant) -> Result<(), StoreError> {
        while !engine.first_uses.waiting().is_empty() {
            // An entry takes those with it that wait.
            self.change_nothing(engine, by)?;
        }
        Ok(())
    }

    /// Makes a change of nothing: what was sent before is resolved first.
    pub(crate) fn change_nothing(&self, engine: &Engine, by: Instant) -> Result<(), StoreError> {
        self.change_by(engine, Terms::HERE, &mut |_, _| Ok(Vec::new()), by, &mut None).map(drop)
    }

    /// Adds the first uses that wait to an entry, behind the changes of the calls. Returns `false`, and adds nothing, if the
    /// replica has gone on since the entry was begun.
    pub(super) fn add_first_uses(&self, engine: &Engine, entry: &mut OpenEntry) -> Result<bool, StoreError> {
        let mut waiting = engine.first_uses.waiting();
        if waiting.is_empty() {
            return Ok(true);
        }
        waiting.truncate(MAX);
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        let mut writer = engine.writer();
        engine.group.check()?;
        if !entry.follows(position(&writer.head())) {
            return Ok(false);
        }
        for first in waiting {
            let mut change = engine.change_of(first.id, first.action());
            change.at = change.at.max(engine.time.floor()).max(entry.at);
            let changes = [change];
            match engine.stage(&mut writer, &entry.decided.records(&log), &changes) {
                Ok(stage) => {
                    let (_, notices) = entry.add(stage, &changes);
                    entry.notices.extend(notices);
                }
                Err(error @ (StoreError::Io { .. } | StoreError::Closed)) => return Err(error),
                Err(error) => tracing::warn!(%error, "the first use of a rotated key cannot be written"),
            }
            entry.first_uses.push(first);
        }
        Ok(true)
    }
}
