//! Rotating a key by hand, also so that a request can be repeated.

use crate::access::verified_key::VerifiedKey;
use crate::base::codec::tail::Unknown;
use crate::key::change::Action;
use crate::key::error::{Conflict, StoreError};
use crate::key::idempotency::{IdempotentRequest, RequestOutcome};
use crate::key::new_key::CreatedKey;
use crate::key::record::{SecretEnd, SecretForm, StoredSecret};
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::token::api_key;
use crate::token::api_key::{ApiKey, Secret};
use crate::token::key_id::KeyId;

use crate::commit::writer::Writer;
use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Rotates a key so that the request can be repeated: a caller that got no answer asks again with the same
    /// idempotency key (1 to 255 bytes, no control characters, chosen by the caller for this one rotation).
    ///
    /// The store cannot return a secret twice. So within 24 hours, a repeat with the same id and overlap
    ///
    /// - gives the key another new secret in place of the one that the first request made, if nobody has used that;
    /// - is [`Conflict::Repeated`] if somebody has, or the key was rotated again since.
    ///
    /// Any other request under the same idempotency key is [`Conflict::OtherRequest`]. Only the SHA-256 of an
    /// idempotency key is stored, and no backup has it. As with every rotation, the secret that was in use goes on for
    /// the overlap.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey, Overlap};
    ///
    /// let store = KeyStore::temporary()?;
    /// let id = store.create(NewKey::for_owner("alice"))?.info.id();
    /// let lost = store.rotate_idempotent(id, Overlap::UntilFirstUse, "may-2031")?; // and no answer came
    /// let new = store.rotate_idempotent(id, Overlap::UntilFirstUse, "may-2031")?;
    /// assert!(store.verify(lost.key.expose_secret()).is_err());
    /// assert!(store.verify(new.key.expose_secret()).is_ok());
    /// assert!(store.rotate_idempotent(id, Overlap::UntilFirstUse, "may-2031").is_err()); // it has arrived
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`rotate`](Self::rotate), the two conflicts, and [`StoreError::Invalid`] for an idempotency key out of
    /// bounds.
    pub fn rotate_idempotent(
        &self,
        id: KeyId,
        overlap: Overlap,
        idempotency_key: impl Into<String>,
    ) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap).idempotency_key(idempotency_key))
    }

    /// Rotates a key as the options say: capped by another key, so that it can be repeated, or both.
    ///
    /// # Errors
    /// Those of [`rotate_within`](Self::rotate_within) and [`rotate_idempotent`](Self::rotate_idempotent).
    pub fn rotate_with(&self, id: KeyId, options: &RotateOptions) -> Result<CreatedKey, StoreError> {
        let RotateOptions { overlap, within, idempotency_key } = options;
        let actor = within.as_ref().map(VerifiedKey::id);
        let idempotency = idempotency_key
            .as_ref()
            .map(|key| IdempotentRequest::rotate(key, id.as_u128(), *overlap, actor))
            .transpose()?;
        let idempotency = idempotency.map(|idempotency| idempotency.of_owner(self.only_owner()));
        let scope = self.scope(within.as_ref());
        let mut token = None;
        let outcomes = self.change(|writer, disk| {
            let inner = self.inner();
            // Not where nothing depends on it: what ends all secrets must do so also if the record cannot be read.
            let is_bounded = inner.engine.lifetime.0.is_some() && *overlap != Overlap::None;
            if is_bounded || idempotency.is_some() {
                let record = disk.record(id.as_u128())?.map(|(record, _)| record);
                // Before it says anything about a key that may not be touched.
                if let Some(reach) = inner.engine.reach(&scope, disk)? {
                    reach.target(id.as_u128(), record.as_ref())?;
                }
                if let Some(record) = &record {
                    inner.engine.lifetime.check_overlap(record, *overlap, inner.engine.time.now_ms())?;
                }
            }
            let earlier =
                idempotency.map(|idempotency| inner.earlier_outcome(&idempotency, disk)).transpose()?.flatten();
            let (key, secret) = inner.new_secret(id, writer)?;
            token = Some(key);
            let overlap = *overlap;
            let mut change = inner.engine.change_of(
                id.as_u128(),
                match earlier {
                    None => Action::Rotate { secret, overlap },
                    Some(_) => Action::Repeat { secret, overlap },
                },
            );
            change.scope = scope.clone();
            change.idempotency = idempotency.map(|idempotency| IdempotentRequest {
                at: earlier.map_or(change.at, |outcome| outcome.at),
                ..idempotency
            });
            Ok(vec![change])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after);
        let (Some(key), Some(after)) = (token, after) else { return Err(StoreError::NotFound(id)) };
        Ok(CreatedKey { key, info: self.inner().info_of(after)? })
    }
}

impl Inner {
    /// A secret of the store's own form; its version is set when it is applied.
    pub(crate) fn new_secret(&self, id: KeyId, writer: &Writer) -> Result<(ApiKey, StoredSecret), StoreError> {
        let body = Secret::generate()?.body(id);
        let digester = writer.digester();
        let prefix = self.prefix().to_owned();
        let token = api_key::format(&prefix, &body);
        let secret = StoredSecret {
            version: 0,
            digest: digester.own(&body),
            pepper: digester.pepper(),
            form: SecretForm::Own { prefix },
            created_at: self.engine.time.now_ms(),
            end: SecretEnd::Never,
            used: false,
            unknown: Unknown::default(),
        };
        Ok((token, secret))
    }

    /// What the same request has made before, if nobody has used it yet.
    ///
    /// # Errors
    /// Somebody has, or it was another request.
    pub(crate) fn earlier_outcome(
        &self,
        idempotency: &IdempotentRequest,
        disk: &Disk,
    ) -> Result<Option<RequestOutcome>, StoreError> {
        let Some(outcome) =
            disk.request_outcome(&idempotency.name)?.filter(|outcome| outcome.holds(self.engine.time.now_ms()))
        else {
            return Ok(None);
        };
        if outcome.request != idempotency.request {
            return Err(StoreError::Conflict(Conflict::OtherRequest));
        }
        let repeated = StoreError::Conflict(Conflict::Repeated { id: KeyId::from_u128(outcome.key) });
        let Some((record, _)) = disk.record(outcome.key)? else { return Err(repeated) };
        let key = self.engine.effective(&record)?;
        let newest = record.secrets.last().zip(key.secrets.last());
        let unused = newest.is_some_and(|(secret, effective)| {
            secret.version == outcome.version && !secret.used && !self.engine.index.is_used(key.id, effective)
        });
        if unused { Ok(Some(outcome)) } else { Err(repeated) }
    }

    /// Forgets requests that are too old to be repeated.
    pub(crate) fn forget_outcomes(&self) {
        let forget = || {
            let disk = self.engine.log.open()?;
            disk.forget_outcomes(|outcome| !outcome.holds(self.engine.time.now_ms()))
        };
        if let Err(error) = forget() {
            tracing::warn!(%error, "idempotency keys that are over are not deleted");
        }
    }
}
