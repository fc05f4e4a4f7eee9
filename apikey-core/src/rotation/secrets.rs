//! The changes that automatic rotation makes, and the answer to a leak.

use constant_time_eq::constant_time_eq_32;

use crate::access::verified_key::VerifiedKey;
use crate::base::store_time::Working;
use crate::key::bounds;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::new_key::CreatedKey;
use crate::key::record::{Record, SecretEnd, SecretForm, StoredSecret};
use crate::key::rotation_policy::due;
use crate::token::api_key::ApiKey;
use crate::token::key_id::KeyId;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// The answer to a leak in one call: every secret of the key ends now, and its successor is returned. Name,
    /// permissions and history stay; the history says that it leaked, and why. Also for a key that is disabled or has
    /// expired, which it stays.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
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
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a revoked key; [`StoreError::Invalid`] for a reason of more
    /// than 256 bytes; [`StoreError::NotDurable`] if the disk refused: the secrets have ended all the same, until a
    /// restart; [`StoreError::Io`], [`StoreError::Closed`].
    pub fn replace_leaked(&self, id: KeyId, reason: impl Into<String>) -> Result<CreatedKey, StoreError> {
        self.replace_as(id, &reason.into(), None)
    }

    /// Answers a leak as far as `actor` may, which is as far as it may [rotate](Self::rotate_within) the key.
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
        let outcomes = self.change(|writer, _| {
            let (key, secret) = inner.new_secret(id, writer)?;
            token = Some(key);
            let change = inner.engine.change_of(id.as_u128(), Action::Replace { secret, reason: reason.to_owned() });
            Ok(vec![Change { scope: scope.clone(), ..change }])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after);
        let (Some(key), Some(after)) = (token, after) else { return Err(StoreError::NotFound(id)) };
        Ok(CreatedKey { key, info: inner.info_of(after)? })
    }
}

impl Inner {
    /// Gives a key a secret that waits for its delivery, if one waits already, or if it is due. `None`: neither.
    pub(crate) fn stage_secret(
        &self,
        id: KeyId,
        doubtful: bool,
        at: Working,
    ) -> Result<Option<(ApiKey, Record)>, StoreError> {
        let mut token = None;
        let outcomes = self.engine.change(|writer, disk| {
            token = None;
            let now = self.engine.time.of(at);
            let Some((record, _)) = disk.record(id.as_u128())? else { return Ok(Vec::new()) };
            let waiting = record.secrets.iter().rev().find_map(|secret| match secret.end {
                SecretEnd::Pending { overlap_ms } => Some(overlap_ms),
                _ => None,
            });
            // Looked at again where it is decided: the policy may just have been taken away.
            let due = record.policy.filter(|_| due(&record).is_some_and(|due| due <= now));
            let Some(overlap_ms) = due.map(|policy| policy.overlap_ms).or(waiting) else { return Ok(Vec::new()) };
            let (key, secret) = self.new_secret(id, writer)?;
            token = Some(key);
            let secret = StoredSecret { created_at: now, ..secret };
            let action = Action::Stage { secret, overlap_ms, doubtful };
            Ok(vec![Change { at: now, ..self.engine.change_of(id.as_u128(), action) }])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after);
        Ok(token.zip(after))
    }

    /// Makes a secret that was delivered the current one; whether it still waited.
    pub(crate) fn promote_secret(&self, id: KeyId, version: u32, at: Working) -> Result<bool, StoreError> {
        let change = || Change {
            at: self.engine.time.of(at),
            ..self.engine.change_of(id.as_u128(), Action::Promote { version })
        };
        let outcomes = self.engine.change(|_, _| Ok(vec![change()]))?;
        Ok(outcomes.iter().any(|outcome| outcome.changed))
    }

    /// Erases what has ended of these keys; each is named once.
    pub(crate) fn erase_ended_of(&self, ids: &[u128], at: Working) -> Result<(), StoreError> {
        let erase =
            |id: &u128| Change { at: self.engine.time.of(at), ..self.engine.change_of(*id, Action::EraseEnded) };
        self.engine.change(|_, _| Ok(ids.iter().map(erase).collect())).map(|_| ())
    }

    /// Which of a key's live secrets this token is.
    pub(crate) fn version_of(&self, record: &Record, token: &str, now: i64) -> Option<u32> {
        let tail = self.prefixes.parse(token.as_bytes());
        let digesters = self.engine.writer().digesters.clone();
        let is_it = |secret: &&StoredSecret| {
            let Some(digester) = digesters.iter().find(|digester| digester.pepper() == secret.pepper) else {
                return false;
            };
            let digest = match &secret.form {
                SecretForm::Own { .. } => tail.map(|tail| digester.presented(tail)),
                SecretForm::Imported(form) => form.digest(token.as_bytes()).map(|given| digester.imported(&given)),
            };
            digest.is_some_and(|digest| constant_time_eq_32(&digest, &secret.digest))
        };
        record.live(now).find(is_it).map(|secret| secret.version)
    }
}
