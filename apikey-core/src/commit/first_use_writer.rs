//! First uses are in force at once; here they are appended to the log, with the change that comes next.

use crate::commit::engine::Engine;
use crate::commit::first_use::FirstUse;
use crate::commit::local_log::OpenLog;
use crate::commit::stage::Stage;
use crate::commit::writer::Writer;
use crate::key::change::Action;
use crate::key::error::StoreError;

impl Engine {
    /// Notes a first use that is in force. The maintenance thread writes it if no change does before.
    pub(crate) fn note_first_use(&self, first: FirstUse) {
        self.first_uses.push(first);
        self.log.maintenance.notify();
    }

    /// Writes the first uses that wait. What the disk refuses stays in force in memory.
    pub(crate) fn keep_first_uses(&self) {
        if let Err(error) = self.change(|_, _| Ok(Vec::new())) {
            tracing::warn!(%error, "first use of a rotated key is in force, and not on disk");
        }
    }

    /// Appends the first uses that wait; the sync comes with the change that follows. What the disk refuses waits for the
    /// next time, and holds up nothing: a revocation must not fail for it.
    pub(crate) fn write_first_uses(&self, writer: &mut Writer, log: &OpenLog<'_>) {
        for first in self.first_uses.take() {
            // One of a key in a transaction: a key rotated twice within a second may have two.
            let changes = [self.change_of(first.id, Action::FirstUse { version: first.version })];
            let stage = match self.stage(writer, log, &changes) {
                Ok(stage) => stage,
                Err(error) => {
                    tracing::warn!(%error, "the first use of a rotated key cannot be written");
                    if matches!(error, StoreError::Io { .. }) {
                        self.first_uses.push(first);
                    }
                    continue;
                }
            };
            self.enqueue(&stage);
            let Stage { staged, notices, head, at, .. } = stage;
            self.time.raise(at);
            if let Err(error) = self.append(writer, log, staged, head) {
                tracing::warn!(%error, "the first use of a rotated key is in force, and not on disk");
                self.first_uses.push(first);
            } else {
                self.emit(&notices);
            }
        }
    }
}
