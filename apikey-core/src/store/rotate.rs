//! The manual rotation of a key, and its idempotent form.

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

use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Rotates a key in an idempotent request: a caller that received no answer repeats the request with the same
    /// idempotency key (1 to 255 bytes, no control characters, chosen by the caller for this one rotation).
    ///
    /// The store cannot return a secret twice. So within 24 hours, a repeat with the same id and overlap
    ///
    /// - replaces the secret that the first request created, if nobody has used it;
    /// - fails with [`Conflict::Repeated`] if somebody has used it, or the key was rotated again since.
    ///
    /// Any other request with the same idempotency key fails with [`Conflict::OtherRequest`]. Each acting key
    /// ([`RotateOptions::within`]) and each [`OwnerStore`](crate::OwnerStore) has idempotency keys of its own. The store keeps only the
    /// SHA-256 of an idempotency key, and no backup contains that. As with every rotation, the old secret stays valid
    /// for the overlap.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Overlap};
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

    /// Rotates a key with options: a cap by another key, an idempotency key, or both.
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
        let idempotency = idempotency.map(|request| request.of_owners(self.seen().owners()).of_actor(actor));
        let scope = self.scope(within.as_ref());
        let mut token = None;
        let outcomes = self.change(|writer, records| {
            let inner = self.inner();
            // A rotation that ends all secrets needs no bound, and must work even if the record cannot be read.
            let is_bounded = inner.engine.lifetime.max.is_some() && *overlap != Overlap::None;
            if is_bounded || idempotency.is_some() {
                let record = records.record(id.as_u128())?.map(|(record, _)| record);
                // Check the scope before an error discloses anything about a key.
                if let Some(reach) = inner.engine.reach(&scope, records)? {
                    reach.target(id.as_u128(), record.as_ref())?;
                }
                if let Some(record) = &record {
                    inner.engine.lifetime.check_overlap(record, *overlap, inner.engine.time.now_ms())?;
                }
            }
            let earlier =
                idempotency.map(|idempotency| inner.earlier_outcome(&idempotency, records)).transpose()?.flatten();
            let (key, secret) = inner.next_secret(id, writer, records)?;
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
    /// Generates the next token of a key, and its stored secret. Applying the change sets the secret's version.
    pub(crate) fn next_secret(
        &self,
        id: KeyId,
        writer: &Writer,
        records: &Records<'_>,
    ) -> Result<(ApiKey, StoredSecret), StoreError> {
        // Without a record there will be no new secret, but the change may still end the old ones.
        let record = records.record(id.as_u128()).ok().flatten();
        match record.and_then(|(record, _)| record.prefix) {
            None => self.new_secret(id, writer),
            Some(prefix) => {
                self.check_prefix(&prefix)?;
                self.secret_with(prefix, id, writer)
            }
        }
    }

    /// The same for a key that was created with no prefix of its own.
    pub(crate) fn new_secret(&self, id: KeyId, writer: &Writer) -> Result<(ApiKey, StoredSecret), StoreError> {
        self.secret_with(self.prefixes.own().to_owned(), id, writer)
    }

    fn secret_with(&self, prefix: String, id: KeyId, writer: &Writer) -> Result<(ApiKey, StoredSecret), StoreError> {
        let body = Secret::generate()?.body(id);
        let digester = writer.digester();
        let token = api_key::format(&prefix, &body);
        let secret = StoredSecret {
            version: 0,
            digest: digester.own(&body),
            pepper: digester.pepper(),
            form: SecretForm::Own { prefix },
            created_at: self.engine.time.now_ms(),
            end: SecretEnd::Never,
            used: false,
            is_strong: false,
            unknown: Unknown::default(),
        };
        Ok((token, secret))
    }

    /// Returns the earlier outcome of the same request, if nobody has used its secret yet.
    ///
    /// # Errors
    /// Somebody has used the secret, or the earlier request was a different one.
    pub(crate) fn earlier_outcome(
        &self,
        idempotency: &IdempotentRequest,
        records: &Records<'_>,
    ) -> Result<Option<RequestOutcome>, StoreError> {
        let Some(outcome) =
            records.request_outcome(&idempotency.name)?.filter(|outcome| outcome.holds(self.engine.time.now_ms()))
        else {
            return Ok(None);
        };
        if outcome.request != idempotency.request {
            return Err(StoreError::Conflict(Conflict::OtherRequest));
        }
        let repeated = StoreError::Conflict(Conflict::Repeated { id: KeyId::from_u128(outcome.key) });
        let Some((record, _)) = records.record(outcome.key)? else { return Err(repeated) };
        let key = self.engine.effective(&record)?;
        let newest = record.secrets.last().zip(key.secrets.last());
        let unused = newest.is_some_and(|(secret, effective)| {
            secret.version == outcome.version && !secret.used && !self.engine.index.is_used(key.id, effective)
        });
        if unused { Ok(Some(outcome)) } else { Err(repeated) }
    }

    /// Deletes the outcomes of requests that are too old to be repeated.
    pub(crate) fn forget_outcomes(&self) {
        let forget = || {
            let (disk, now) = (self.engine.log.open()?, self.engine.time.now_ms());
            #[cfg(feature = "cluster")]
            if self.engine.order().is_some() {
                return disk.forget_outcomes(|outcome| !outcome.is_kept_by_replica(now));
            }
            disk.forget_outcomes(|outcome| !outcome.holds(now))
        };
        if let Err(error) = forget() {
            tracing::warn!(%error, "expired idempotency keys could not be deleted");
        }
    }
}
