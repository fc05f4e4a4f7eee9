//! The creation of keys.

use std::collections::HashSet;

use zeroize::Zeroizing;

use crate::access::idle;
use crate::access::idle::StoredIdle;
use crate::access::limit::Limit;
use crate::access::owner::{OwnerRef, Tenants};
use crate::access::quota::Quota;
use crate::access::verified_key::VerifiedKey;
use crate::base::codec::tail::Unknown;
use crate::base::invalid_field::InvalidField;
use crate::base::patch::Patch;
use crate::base::time::{after, checked_ms, earlier, has_come, span_text};
use crate::key::bounds;
use crate::key::builder_json::{SpanMs, UncheckedLimit};
use crate::key::change::{Action, Change};
use crate::key::error::{Conflict, StoreError};
use crate::key::idempotency::IdempotentRequest;
use crate::key::key_info::KeyInfo;
use crate::key::lifetime;
use crate::key::lifetime::FIXED;
use crate::key::new_key::{CreatedKey, Expires, NewKey};
use crate::key::reach::Reach;
use crate::key::record::{Record, SecretEnd, SecretForm, StoredPolicy, StoredSecret};
use crate::key::rotation::overlap::Overlap;
use crate::key::rotation::policy::RotationPolicy;
use crate::key::scope::Scope;
use crate::token::api_key;
use crate::token::api_key::{ApiKey, Secret};
use crate::token::digest::ImportedDigest;
use crate::token::imported::ImportForm;
use crate::token::key_id::KeyId;

use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Creates a key. The call returns once the key is on disk; from then on the key is valid.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], [`StoreError::TooLong`], [`StoreError::Permission`] or [`StoreError::UnknownGrant`] for
    /// a field out of bounds; [`StoreError::Conflict`] for an imported key that the store has already, or for an
    /// [`idempotency_key`](NewKey::idempotency_key) whose secret was used; [`StoreError::Exceeds`] if the key exceeds
    /// its cap ([`within`](NewKey::within)); [`StoreError::Io`], [`StoreError::Closed`].
    pub fn create(&self, key: NewKey) -> Result<CreatedKey, StoreError> {
        let mut created = self.create_many([key])?;
        created.pop().ok_or(StoreError::Closed)
    }

    /// Creates up to 10,000 keys in one change: all or none, in this order.
    ///
    /// # Errors
    /// Those of [`create`](Self::create), for the first key that causes one.
    pub fn create_many(&self, keys: impl IntoIterator<Item = NewKey>) -> Result<Vec<CreatedKey>, StoreError> {
        let keys: Vec<NewKey> = keys.into_iter().take(bounds::MAX_BATCH + 1).collect();
        if keys.len() > bounds::MAX_BATCH {
            return Err(StoreError::invalid("keys", "more than 10000", "at most 10,000 keys in one call"));
        }
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        if keys.len() > 1
            && let Some(key) = keys.iter().find_map(|key| key.idempotency_key.as_deref())
        {
            return Err(StoreError::invalid("idempotency_key", key, "none where several keys are created in one call"));
        }
        let validate = |key| Ok(self.inner().validate(key)?.through(self));
        let validated = keys.into_iter().map(validate).collect::<Result<Vec<_>, StoreError>>()?;
        let mut tokens = Vec::new();
        let outcomes = self.change_many(validated.len(), |writer, records| {
            tokens.clear();
            let mut digests = HashSet::new();
            let mut changes = Vec::with_capacity(validated.len());
            for new in &validated {
                let (token, change) = self.inner().assign(new, writer, records)?;
                if let Action::Create(record) = &change.action
                    && !record.secrets.iter().all(|secret| digests.insert(secret.digest))
                {
                    return Err(StoreError::Conflict(Conflict::DigestTwice));
                }
                tokens.push(token);
                changes.push(change);
            }
            self.check_room(&changes, records)?;
            Ok(changes)
        })?;
        let now = self.inner().engine.time.now_ms();
        let records = outcomes.into_iter().filter_map(|outcome| outcome.after);
        Ok(tokens
            .into_iter()
            .zip(records)
            .map(|(key, record)| CreatedKey {
                key,
                info: KeyInfo::new(record, None, now, self.inner().engine.lifetime),
            })
            .collect())
    }
}

/// A new key with valid fields.
pub(crate) struct ValidatedKey {
    key: NewKey,
    pub(super) permissions: Vec<String>,
    roles: Vec<String>,
    not_before: Option<i64>,
    limit: Option<Limit>,
    quota: Option<Quota>,
    networks: Vec<String>,
    imported: Option<(ImportForm, ImportedDigest)>,
    /// Whether it is an imported secret that is known to be too long to guess.
    is_strong: bool,
    policy: Option<StoredPolicy>,
    /// In milliseconds; `Keep` means the default.
    idle_after: Patch<i64>,
    idempotency: Option<IdempotentRequest>,
    scope: Scope,
    /// Whether the store's bound on lifetimes exempts it.
    lives_on: bool,
}

impl ValidatedKey {
    /// Makes this a fixed key with this mark, which the bound on lifetimes exempts.
    pub(crate) fn fixed(mut self, mark: String) -> Self {
        self.key.metadata.insert(FIXED.to_owned(), mark);
        Self { lives_on: true, ..self }
    }

    /// Makes this a key of this tenant.
    pub(crate) fn in_tenants(mut self, tenants: Tenants) -> Self {
        self.scope.seen.tenants = tenants;
        self
    }

    /// Adds the actor and scope of this handle.
    fn through(self, store: &KeyStore) -> Self {
        let actor = self.key.within.as_ref().map(VerifiedKey::id);
        let idempotency = self.idempotency.map(|request| request.of_owners(store.seen().owners()).of_actor(actor));
        Self { idempotency, scope: store.scope(self.key.within.as_ref()), ..self }
    }
}

impl Inner {
    pub(crate) fn validate(&self, key: NewKey) -> Result<ValidatedKey, StoreError> {
        let validated = self.validate_form(key)?;
        // Check the list as the caller gave it, so that the error has the index in that list.
        // The cap comes before the catalogue, of which a capped caller learns nothing beyond its cap: see `assign`.
        if validated.key.within.is_none() {
            self.check_catalog(&validated.key.permissions, &[])?;
        }
        Ok(validated)
    }

    /// The same without the check against the catalogue, for a key that may exist already.
    pub(super) fn validate_form(&self, key: NewKey) -> Result<ValidatedKey, StoreError> {
        bounds::owner(&key.owner)?;
        key.name.as_deref().map_or(Ok(()), bounds::name)?;
        bounds::metadata(&key.metadata)?;
        bounds::labels(&key.labels)?;
        key.prefix.as_deref().map_or(Ok(()), |prefix| self.check_prefix(prefix))?;
        let permissions = bounds::grants(&key.permissions)?;
        let roles = bounds::roles(&key.roles)?;
        let limit = key.limit.map(UncheckedLimit::check).transpose()?;
        let quota = key.quota.map(Quota::check).transpose()?;
        let networks = key.networks.as_deref().map(bounds::networks).transpose()?.unwrap_or_default();
        let not_before = key.not_before.map(|start| checked_ms("not_before", start)).transpose()?;
        let imported = key.imported.as_ref().map(|(imported, scheme)| {
            let own = imported.raw_key().is_some_and(|raw| self.prefixes.parse(raw.as_bytes()).is_some());
            let fault = |allowed| StoreError::from(InvalidField::new("imported", "[REDACTED]", allowed));
            if own {
                return Err(fault("it is a token of this store's own form; an export moves such keys between stores"));
            }
            imported.resolve(*scheme, key.allow_weak).map_err(fault)
        });
        if key.metadata.contains_key(FIXED) {
            return Err(lifetime::reserved());
        }
        let policy = match key.rotation.changed() {
            Some(policy) => policy.map(RotationPolicy::stored).transpose()?,
            None => self.rotation,
        };
        let idle_after = self.checked_idle_after(key.idle_after)?;
        let idempotency = key
            .idempotency_key
            .as_ref()
            .map(|given| IdempotentRequest::create(given, &key, &permissions))
            .transpose()?;
        Ok(ValidatedKey {
            lives_on: false,
            scope: Scope { actor: key.within.clone(), ..Scope::default() },
            idempotency,
            policy,
            idle_after,
            permissions,
            roles,
            not_before,
            limit,
            quota,
            networks,
            is_strong: key.imported.as_ref().is_some_and(|(imported, scheme)| imported.is_strong(*scheme)),
            imported: imported.transpose()?,
            key,
        })
    }

    /// Checks the idle time that a call sets.
    pub(crate) fn checked_idle_after(&self, given: Patch<SpanMs>) -> Result<Patch<i64>, StoreError> {
        given.try_map(|SpanMs(span)| {
            let after_ms = idle::checked(span)?;
            self.check_tracks_use(after_ms)?;
            Ok(after_ms)
        })
    }

    /// Checks that a key may have this idle time: without times of use the store could not tell when the key is idle.
    pub(crate) fn check_tracks_use(&self, idle_after_ms: i64) -> Result<(), StoreError> {
        if self.engine.index.tracks_use() {
            return Ok(());
        }
        let allowed = "none in a store that does not track use (track_use)";
        Err(StoreError::invalid("idle_after", &span_text(idle::span(idle_after_ms)), allowed))
    }

    /// Assigns an id, times and a secret to a validated key.
    pub(crate) fn assign(
        &self,
        new: &ValidatedKey,
        writer: &mut Writer,
        records: &Records<'_>,
    ) -> Result<(ApiKey, Change), StoreError> {
        let now = self.engine.time.now_ms();
        let reach = self.engine.reach(&new.scope, records)?;
        let reach = reach.as_ref();
        let tenant = new.scope.seen.tenant().or_else(|| reach.and_then(Reach::default_tenant)).map(str::to_owned);
        let expires_at = match new.key.expires {
            Expires::Never => reach.and_then(|reach| reach.default_end(now)),
            Expires::In(span) => Some(after("expires_in", now, span)?),
            Expires::At(end) => Some(checked_ms("expires_at", end)?),
        };
        // An imported key may have ended already.
        if let Some(end) = expires_at.filter(|end| *end <= now && new.imported.is_none()) {
            return Err(has_come("expires_at", end).into());
        }
        if let (Some(start), Some(end)) = (new.not_before, expires_at)
            && end <= start
        {
            let given = crate::base::time::from_ms(end).to_string();
            return Err(StoreError::invalid("expires_at", &given, "times after not_before"));
        }
        if let Some(reach) = reach {
            // Check the cap before an error discloses anything about an earlier request.
            reach.new_key(
                OwnerRef { tenant: tenant.as_deref(), name: &new.key.owner },
                &new.permissions,
                &new.roles,
            )?;
        }
        let prefix = new.key.prefix.clone().or_else(|| reach.and_then(Reach::default_prefix));
        if new.key.within.is_some() {
            self.check_catalog(&new.key.permissions, &[])?;
        }
        if let Some(idempotency) = &new.idempotency
            && let Some(outcome) = self.earlier_outcome(idempotency, records)?
        {
            let (token, secret) = self.next_secret(KeyId::from_u128(outcome.key), writer, records)?;
            let action = Action::Repeat { secret, overlap: Overlap::None };
            let idempotency = Some(IdempotentRequest { at: outcome.at, ..*idempotency });
            return Ok((
                token,
                Change { scope: new.scope.clone(), idempotency, ..self.engine.change_of(outcome.key, action) },
            ));
        }
        let id = writer.ids.next(now)?;
        let digester = writer.digester();
        let (token, digest, form) = match &new.imported {
            None => {
                let body = Secret::generate()?.body(id);
                let prefix = self.prefix_or_default(prefix.as_deref())?;
                (api_key::format(prefix, &body), digester.own(&body), SecretForm::Own { prefix: prefix.to_owned() })
            }
            Some((form, given)) => {
                // Try every pepper: the store may have imported the key before it had the newest pepper.
                for held in &writer.digesters {
                    if let Some(holder) = records.imported(&held.imported(given))? {
                        // The id of another owner's key is not for a scope that does not see it.
                        let is_seen = match (reach, records.record(holder)?) {
                            (Some(reach), Some((record, _))) => reach.sees(record.owner()),
                            (reach, _) => reach.is_none(),
                        };
                        let holder = is_seen.then(|| KeyId::from_u128(holder));
                        return Err(StoreError::Conflict(Conflict::DigestHeld(holder)));
                    }
                }
                let raw = new.key.imported.as_ref().and_then(|(imported, _)| imported.raw_key()).unwrap_or_default();
                let token = ApiKey::new(Zeroizing::new(raw.to_owned()));
                (token, digester.imported(given), SecretForm::Imported(*form))
            }
        };
        let secret = StoredSecret {
            version: 1,
            digest,
            pepper: digester.pepper(),
            form,
            created_at: now,
            end: SecretEnd::Never,
            used: false,
            is_strong: new.is_strong,
            unknown: Unknown::default(),
        };
        let idle_after = match new.idle_after {
            Patch::Keep => earlier(self.idle_after, reach.and_then(Reach::default_idle_after)),
            Patch::Clear => None,
            Patch::Set(after_ms) => Some(after_ms),
        };
        if let Some(reach) = reach {
            reach.store_defaults((idle_after, self.idle_after), (new.policy, self.rotation))?;
        }
        let record = Record {
            id: id.as_u128(),
            tenant,
            owner: new.key.owner.clone(),
            name: new.key.name.clone(),
            permissions: new.permissions.clone(),
            roles: new.roles.clone(),
            metadata: new.key.metadata.clone(),
            created_at: now,
            not_before: new.not_before,
            expires_at,
            disabled: false,
            revoked: None,
            version: 1,
            secrets: vec![secret],
            used_before: None,
            policy: new.policy,
            limit: new.limit.map(Limit::to_stored).or_else(|| reach.and_then(Reach::default_limit)),
            quota: new.quota.map(Quota::to_stored).or_else(|| reach.and_then(Reach::default_quota)),
            networks: if new.networks.is_empty() {
                reach.map(Reach::default_networks).unwrap_or_default()
            } else {
                new.networks.clone()
            },
            idle: idle_after.map(|after_ms| StoredIdle { after_ms, since: now }),
            labels: new.key.labels.clone(),
            prefix,
            ended: None,
            last_event: 0,
            unknown: Unknown::default(),
        };
        if !new.lives_on {
            self.engine.lifetime.check(&record)?;
        }
        let idempotency = new.idempotency.map(|idempotency| IdempotentRequest { at: now, ..idempotency });
        let change = self.engine.change_of(record.id, Action::Create(Box::new(record)));
        Ok((token, Change { at: now, scope: new.scope.clone(), idempotency, ..change }))
    }

    /// The prefix of a new secret of a key that was created with this prefix, if with any.
    pub(crate) fn prefix_or_default<'a>(&'a self, of_key: Option<&'a str>) -> Result<&'a str, InvalidField> {
        of_key.map_or(Ok(self.prefixes.own()), |prefix| self.check_prefix(prefix).map(|()| prefix))
    }

    pub(super) fn check_prefix(&self, prefix: &str) -> Result<(), InvalidField> {
        let allowed = "the prefixes that the store was opened with";
        if self.prefixes.knows(prefix) { Ok(()) } else { Err(InvalidField::new("prefix", prefix, allowed)) }
    }
}
