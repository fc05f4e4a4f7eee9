//! Revoking several keys in one call.

use crate::access::auth_error::AuthError;
use crate::access::verified_key::VerifiedKey;
use crate::key::bounds;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::error::cap_violation::CapViolation;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;

/// The number of keys that one transaction revokes.
const CHUNK: usize = 1000;

impl KeyStore {
    /// Revokes these keys, and returns the number of keys that were not revoked before. An id that this handle does not see ends
    /// the call, so of up to a thousand keys it revokes all or none.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke). After an error, call it again: it may have revoked some keys already.
    pub fn revoke_keys(&self, ids: &[KeyId], reason: impl Into<String>) -> Result<usize, StoreError> {
        self.revoke_all(ids, &reason.into(), None)
    }

    /// Revokes these keys on behalf of `actor` (see [`revoke_within`](Self::revoke_within)), and returns the number of keys
    /// that were not revoked before. If the actor does not cover one of them, the call fails, so of up to a thousand keys it
    /// revokes all or none. If the actor is one of them, it is the last.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let admin = store.create(NewKey::for_owner("alice").permissions(["*"]))?;
    /// let ids: Vec<_> = store.create_many((0..3).map(|_| NewKey::for_owner("bob")))?.iter().map(|key| key.info.id()).collect();
    /// let caller = store.verify(admin.key.expose_secret())?;
    /// assert_eq!(store.revoke_keys_within(&ids, "left", &caller)?, 3);
    /// assert_eq!(store.revoke_keys_within(&ids, "left", &caller)?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`revoke_within`](Self::revoke_within). After an error, call it again: it may have revoked some keys already.
    pub fn revoke_keys_within(
        &self,
        ids: &[KeyId],
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<usize, StoreError> {
        self.revoke_all(ids, &reason.into(), Some(actor))
    }

    fn revoke_all(&self, ids: &[KeyId], reason: &str, actor: Option<&VerifiedKey>) -> Result<usize, StoreError> {
        bounds::reason(reason)?;
        let is_actor = |id: &KeyId| actor.is_some_and(|actor| actor.id() == *id);
        let mut others: Vec<KeyId> = ids.iter().copied().filter(|id| !is_actor(id)).collect();
        others.sort_unstable();
        others.dedup();
        let scope = self.scope(actor);
        let mut revoked = 0;
        for chunk in others.chunks(CHUNK) {
            let outcomes = self.change(|_, records| {
                let mut changes = Vec::with_capacity(chunk.len());
                for id in chunk {
                    // A key that is revoked already needs no cover.
                    if records.record(id.as_u128())?.is_some_and(|(record, _)| record.revoked.is_some()) {
                        continue;
                    }
                    let action = Action::Revoke { reason: reason.to_owned() };
                    let change = self.inner().engine.change_of(id.as_u128(), action);
                    changes.push(Change { scope: scope.clone(), ..change });
                }
                Ok(changes)
            })?;
            revoked += outcomes.iter().filter(|outcome| outcome.changed).count();
        }
        if let Some(actor) = actor.filter(|actor| ids.contains(&actor.id())) {
            // Once the actor is revoked, it may revoke nothing more.
            match self.revoke_within(actor.id(), reason, actor) {
                Ok(ended) => revoked += usize::from(ended),
                // Another call has revoked it meanwhile.
                Err(StoreError::Exceeds(CapViolation::Actor(AuthError::Revoked))) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(revoked)
    }
}
