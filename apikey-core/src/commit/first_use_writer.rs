//! Appends first uses, which are in force at once, to the log with the next change.

use crate::access::verified_key::VerifiedKey;
use crate::commit::engine::Engine;
use crate::commit::local_log::OpenLog;
use crate::commit::records::Records;
use crate::commit::stage::Stage;
use crate::commit::writer::Writer;
use crate::key::error::StoreError;

impl Engine {
    /// Puts the first use of a key's successor in force, and notes it: the maintenance thread writes it if no change does
    /// before. Returns `false` if another use was first, or the secret is gone.
    pub(crate) fn first_use(&self, key: &VerifiedKey) -> bool {
        let keep = Some(self.lifetime.keep_ended).filter(|keep| *keep > 0);
        let until = keep.map(|keep| self.time.now_ms().saturating_add(keep));
        let is_first = self.first_uses.note(key.id().as_u128(), key.version, || self.index.promote(key, until));
        if is_first {
            self.log.maintenance.notify();
        }
        is_first
    }

    /// Writes the first uses that wait. If that fails, they stay in force in memory.
    pub(crate) fn keep_first_uses(&self) {
        #[cfg(feature = "cluster")]
        let written = self
            .order()
            .map_or_else(|| self.change(|_, _| Ok(Vec::new())).map(drop), |order| order.write_first_uses(self));
        #[cfg(not(feature = "cluster"))]
        let written = self.change(|_, _| Ok(Vec::new()));
        if let Err(error) = written {
            tracing::warn!(%error, "first use of a rotated key is in force, and not on disk");
        }
    }

    /// Appends the first uses that wait; the sync of the next change covers them. If that fails, they wait for the next
    /// time, and the next change continues: a revocation must not fail because of them.
    pub(crate) fn write_first_uses(&self, writer: &mut Writer, log: &OpenLog<'_>) {
        for first in self.first_uses.take() {
            // Each has a transaction of its own, which allows one change of a key: a key that was rotated twice within
            // a second may have two.
            let changes = [self.change_of(first.id, first.action())];
            let stage = match self.stage(writer, &Records::of(log), &changes) {
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
