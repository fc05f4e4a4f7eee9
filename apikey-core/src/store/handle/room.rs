//! How many keys an owner may have.

use crate::commit::records::Records;
use crate::key::change::{Action, Change};
use crate::key::error::{Conflict, StoreError};

use crate::store::key_store::KeyStore;

/// How many keys of an owner, in whatever state, the check reads at least: the one writer waits for it.
const MAX_READ: usize = 1000;

impl KeyStore {
    /// Checks that the owner of this handle may have the keys that changes create or bring back, if the handle has bounds.
    pub(in crate::store) fn check_room(&self, changes: &[Change], records: &Records<'_>) -> Result<(), StoreError> {
        let (Some(bounds), Some(owners)) = (self.bounds(), self.seen().owners()) else { return Ok(()) };
        let now = self.inner().engine.time.now_ms();
        let mut new = 0;
        for change in changes {
            new += usize::from(match &change.action {
                Action::Create(_) => true,
                // Its place may be taken since it has expired. A key of others is not there, whatever it is.
                Action::Update(fields) if !fields.expires_at.is_keep() => records
                    .record(change.id)?
                    .is_some_and(|(record, _)| self.seen().has(record.owner()) && record.expired(now)),
                _ => false,
            });
        }
        if new == 0 {
            return Ok(());
        }
        let max_read = MAX_READ.max(bounds.keys().saturating_mul(2));
        let ids = records.ids_of(owners, None, max_read)?;
        if ids.len() == max_read {
            return Err(StoreError::Conflict(Conflict::TooManyEnded { keys: max_read }));
        }
        let mut room = bounds.keys().checked_sub(new);
        for id in ids {
            let Some(left) = room else { break };
            let counts =
                records.record(id)?.is_some_and(|(record, _)| record.revoked.is_none() && !record.expired(now));
            room = left.checked_sub(usize::from(counts));
        }
        room.map(drop).ok_or(StoreError::Conflict(Conflict::TooManyKeys { max: bounds.keys() }))
    }
}
