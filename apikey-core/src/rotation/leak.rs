//! The replacement of a leaked key's secrets.

use crate::access::verified_key::VerifiedKey;
use crate::key::bounds;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::new_key::CreatedKey;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Replaces the secrets of a leaked key: the call ends every secret at once, and returns a new one. Name,
    /// permissions and history stay, and an event records the leak and its reason. A key that is disabled or has
    /// expired stays so.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let leaked = store.create(NewKey::for_owner("alice"))?;
    /// let new = store.replace_leaked(leaked.info.id(), "found in a public repository")?;
    /// assert!(store.verify(leaked.key.expose_secret()).is_err());
    /// assert!(store.verify(new.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a revoked key; [`StoreError::Invalid`] for a reason of
    /// more than 256 bytes; [`StoreError::NotDurable`] if the store could not write the change: the secrets have ended
    /// all the same, until a restart; [`StoreError::Io`], [`StoreError::Closed`].
    pub fn replace_leaked(&self, id: KeyId, reason: impl Into<String>) -> Result<CreatedKey, StoreError> {
        self.replace_as(id, &reason.into(), None)
    }

    /// Replaces the secrets of a leaked key on behalf of `actor`, which must be allowed to
    /// [rotate](Self::rotate_within) the key.
    ///
    /// # Errors
    /// Those of [`replace_leaked`](Self::replace_leaked), and [`StoreError::Exceeds`].
    pub fn replace_leaked_within(
        &self,
        id: KeyId,
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<CreatedKey, StoreError> {
        self.replace_as(id, &reason.into(), Some(actor))
    }

    fn replace_as(&self, id: KeyId, reason: &str, actor: Option<&VerifiedKey>) -> Result<CreatedKey, StoreError> {
        bounds::reason(reason)?;
        let scope = self.scope(actor);
        let inner = self.inner();
        let mut token = None;
        let outcomes = self.change(|writer, records| {
            let (key, secret) = inner.next_secret(id, writer, records)?;
            token = Some(key);
            let change = inner.engine.change_of(id.as_u128(), Action::Replace { secret, reason: reason.to_owned() });
            Ok(vec![Change { scope: scope.clone(), ..change }])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after);
        let (Some(key), Some(after)) = (token, after) else { return Err(StoreError::NotFound(id)) };
        Ok(CreatedKey { key, info: inner.info_of(after)? })
    }
}
