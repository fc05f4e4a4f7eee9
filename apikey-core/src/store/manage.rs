//! Looking at keys, and changing them.

use chrono::{DateTime, Utc};

use crate::access::auth_error::AuthError;
use crate::access::limit::Limit;
use crate::access::verified_key::VerifiedKey;
use crate::base::codec;
use crate::base::patch::Patch;
use crate::base::time::{checked_ms, from_ms};
use crate::index::restriction::{Restriction, Target};
use crate::key::bounds;
use crate::key::change::{Action, Change, Fields};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::{CapViolation, StoreError};
use crate::key::key_filter::{KeyFilter, Page};
use crate::key::key_info::KeyInfo;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::CreatedKey;
use crate::key::record::Record;
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::key::rotation::policy::RotationPolicy;
use crate::token::key_id::KeyId;

use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

/// Changes in one transaction of a change to many keys.
const CHUNK: usize = 1000;

impl KeyStore {
    /// What is known of a key; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn get(&self, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let is_there =
            |record: &Record| self.sees(&record.owner) && !self.inner().engine.group.is_unpublished(record.id);
        let record = disk.record(id.as_u128())?.filter(|(record, _)| is_there(record));
        record.map(|(record, _)| self.inner().info(&disk, record)).transpose()
    }

    /// A page of the keys that the filter names, in order of creation. The store reads keys one by one: a filter by
    /// owner is quick in a large store, the others read every key.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] or [`StoreError::Permission`] for a filter out of bounds, [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        let size = filter.page_size()?;
        let disk = self.inner().engine.log.open()?;
        let after = filter.after.map(KeyId::as_u128);
        let now = from_ms(self.inner().engine.time.now_ms());
        let mut keys: Vec<KeyInfo> = Vec::new();
        let mut more = false;
        let mut visit = |record: Record| -> Result<bool, StoreError> {
            if self.inner().engine.group.is_unpublished(record.id) {
                return Ok(true);
            }
            let info = self.inner().info(&disk, record)?;
            if filter.matches(&info, now) {
                more = keys.len() == size;
                if !more {
                    keys.push(info);
                }
            }
            Ok(!more)
        };
        if filter.owner.as_deref().is_some_and(|owner| !self.sees(owner)) {
            return Ok(Page { keys, next: None });
        }
        if let Some(owner) = self.only_owner().or(filter.owner.as_deref()) {
            for id in disk.readable_ids_of(owner, after)? {
                let Some((record, _)) = disk.record(id?)? else { continue };
                if !visit(record)? {
                    break;
                }
            }
        } else {
            for item in disk.readable_records(after) {
                if !visit(codec::decode(&item?.1)?)? {
                    break;
                }
            }
        }
        let next = keys.last().filter(|_| more).map(KeyInfo::id);
        Ok(Page { keys, next })
    }

    /// Changes a key's fields. What it takes away is gone at once, what it gives holds when it is on disk; the call
    /// returns then. Where every field is already as it is to be, nothing changes, and there is no event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for an update that names no field; that or
    /// [`StoreError::Permission`] for a field out of bounds, such as an end that has come already (unless it is the one that
    /// the key has);
    /// [`StoreError::Conflict`] for a revoked key; [`StoreError::Exceeds`] if capped by
    /// [`within`](KeyUpdate::within); [`StoreError::NotDurable`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn update(&self, id: KeyId, update: KeyUpdate) -> Result<KeyInfo, StoreError> {
        self.try_update(id, &update).map(|(info, _)| info)
    }

    /// The same, and whether anything changed.
    pub(crate) fn try_update(&self, id: KeyId, update: &KeyUpdate) -> Result<(KeyInfo, bool), StoreError> {
        let fields = Fields { lifetime: self.inner().engine.lifetime, ..checked(update)? };
        let scope = self.scope(update.within.as_ref());
        let outcomes = self.change(|_, _| {
            let change = self.inner().engine.change_of(id.as_u128(), Action::Update(Box::new(fields.clone())));
            Ok(vec![Change { scope: scope.clone(), ..change }])
        })?;
        let changed = outcomes.iter().any(|outcome| outcome.changed);
        let after = outcomes.into_iter().find_map(|outcome| outcome.after).ok_or(StoreError::NotFound(id))?;
        Ok((self.inner().info_of(after)?, changed))
    }

    /// Gives a key a new secret; id, name, permissions and history stay. The old secret stays good for the overlap.
    ///
    /// While an overlap lasts, a further rotation is refused, with two exceptions: [`Overlap::None`] ends every older
    /// secret at once, and a new secret that was never used is replaced (its response may have been lost). So is one that
    /// a [`Rotator`](crate::Rotator) made and has not delivered yet.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey, Overlap};
    ///
    /// let store = KeyStore::temporary()?;
    /// let old = store.create(NewKey::for_owner("alice"))?;
    /// let new = store.rotate(old.info.id(), Overlap::UntilFirstUse)?;
    /// assert!(store.verify(old.key.expose_secret())?.superseded());
    /// assert_eq!(store.verify(new.key.expose_secret())?.id(), old.info.id());
    /// assert!(store.verify(old.key.expose_secret()).is_err()); // the new one was used
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a revoked, disabled or expired key, or during an
    /// overlap; [`StoreError::Invalid`] for an overlap that is not positive; [`StoreError::NotDurable`],
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn rotate(&self, id: KeyId, overlap: Overlap) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap))
    }

    /// Rotates a key as far as `actor` may. Whoever gets the new secret is that key to every handler, so the key must be
    /// one that the actor could have [created](crate::NewKey::within): of its owner, with no grant, end, network or rate
    /// limit beyond its own. The actor must still be good.
    ///
    /// An actor may always rotate itself, with one exception: a secret that was given an end by a rotation gets no
    /// successor ([`Conflict::Overlapping`](crate::Conflict::Overlapping)), otherwise it could make itself new ones for
    /// ever. It may still repeat its own request, see [`RotateOptions::idempotency_key`].
    ///
    /// # Errors
    /// Those of [`rotate`](Self::rotate), and [`StoreError::Exceeds`].
    pub fn rotate_within(&self, id: KeyId, overlap: Overlap, actor: &VerifiedKey) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap).within(actor))
    }

    /// Ends a key for good; its record stays. In force before anything is written, so that no verification that
    /// begins after this returns succeeds, whatever the disk does.
    ///
    /// Whether it was this call that ended it: of a key that is revoked already nothing changes, and its first reason stays
    /// ([`KeyInfo::revoked`]).
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let id = store.create(NewKey::for_owner("alice"))?.info.id();
    /// assert!(store.revoke(id, "left")?);
    /// assert!(!store.revoke(id, "leaked")?);
    /// assert_eq!(store.get(id)?.and_then(|key| Some(key.revoked()?.reason().to_owned())).as_deref(), Some("left"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a reason of more than 256 bytes;
    /// [`StoreError::NotDurable`] if the disk refused: the key is refused all the same, until a restart;
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn revoke(&self, id: KeyId, reason: impl Into<String>) -> Result<bool, StoreError> {
        self.revoke_as(id, reason.into(), None)
    }

    /// Revokes a key as far as `actor` may: the key must be of its owner, unless it has `keys:any_owner`, and have no
    /// grant beyond its own. An actor may always revoke itself.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), and [`StoreError::Exceeds`]. Where the disk cannot be read, the key is not
    /// revoked: nobody knows whether the actor may.
    pub fn revoke_within(&self, id: KeyId, reason: impl Into<String>, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.revoke_as(id, reason.into(), Some(actor))
    }

    fn revoke_as(&self, id: KeyId, reason: String, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        bounds::reason(&reason)?;
        let change = Change {
            scope: self.scope(actor),
            ..self.inner().engine.change_of(id.as_u128(), Action::Revoke { reason })
        };
        let outcomes =
            self.change(|_, _| Ok(vec![Change { at: self.inner().engine.time.now_ms(), ..change.clone() }]))?;
        Ok(outcomes.iter().any(|outcome| outcome.changed))
    }

    /// Revokes every key of an owner. How many were not revoked before.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke), but an owner without keys is `Ok(0)`. After an error, call it again: some keys
    /// may be revoked already.
    pub fn revoke_owner(&self, owner: &str, reason: impl Into<String>) -> Result<usize, StoreError> {
        self.revoke_owner_as(owner, &reason.into(), None)
    }

    /// Revokes every key of an owner as far as `actor` may: see [`revoke_within`](Self::revoke_within). One key that it
    /// does not cover stops all, so up to a thousand keys are revoked all or none. If the actor is one of them, it goes
    /// last. How many were not revoked before.
    ///
    /// # Errors
    /// Those of [`revoke_owner`](Self::revoke_owner), and [`StoreError::Exceeds`].
    pub fn revoke_owner_within(
        &self,
        owner: &str,
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<usize, StoreError> {
        self.revoke_owner_as(owner, &reason.into(), Some(actor))
    }

    fn revoke_owner_as(&self, owner: &str, reason: &str, actor: Option<&VerifiedKey>) -> Result<usize, StoreError> {
        bounds::reason(reason)?;
        bounds::owner(owner)?;
        let mut after = None;
        let mut revoked = 0;
        let mut refused = None;
        let revoked_all = Restriction { revoke: true, ..Restriction::default() };
        let scope = self.scope(actor);
        // Once it is revoked, it may revoke nothing more.
        let own = actor.map(|actor| actor.id().as_u128());
        let mut own_is_left = false;
        loop {
            let mut last = None;
            let outcomes = self.change(|_, disk| {
                let ids = disk.ids_of(owner, after).and_then(|ids| ids.take(CHUNK).collect::<Result<Vec<u128>, _>>());
                let ids = ids.map_err(|error| match actor {
                    Some(_) => error,
                    None => self.inner().engine.restrict_unread(vec![(Target::Owner(owner), revoked_all)], error),
                })?;
                if let Some(reach) = self.inner().engine.reach(&scope, disk)? {
                    reach.owner(owner)?;
                }
                last = ids.last().copied();
                own_is_left |= ids.iter().any(|id| Some(*id) == own);
                let mut changes = Vec::with_capacity(ids.len());
                for id in ids.into_iter().filter(|id| Some(*id) != own) {
                    // What has ended already stops nobody.
                    let is_over = |record: Record| record.revoked.is_some();
                    if actor.is_some() && disk.record(id)?.is_some_and(|(record, _)| is_over(record)) {
                        continue;
                    }
                    let change = self.inner().engine.change_of(id, Action::Revoke { reason: reason.to_owned() });
                    changes.push(Change { scope: scope.clone(), ..change });
                }
                Ok(changes)
            });
            match outcomes {
                Ok(outcomes) => revoked += outcomes.iter().filter(|outcome| outcome.changed).count(),
                // In force in memory: so shall be the rest.
                Err(error @ StoreError::NotDurable { .. }) => refused = Some(error),
                Err(error) => return Err(refused.unwrap_or(error)),
            }
            if last.is_none() {
                break;
            }
            after = last;
        }
        if let Some(own) = own.filter(|_| own_is_left) {
            match self.revoke_as(KeyId::from_u128(own), reason.to_owned(), actor) {
                Ok(ended) => revoked += usize::from(ended),
                // Somebody else was first.
                Err(StoreError::Exceeds(CapViolation::Actor(AuthError::Revoked))) => {}
                Err(error) => return Err(refused.unwrap_or(error)),
            }
        }
        refused.map_or(Ok(revoked), Err)
    }

    /// Deletes the records of keys that were revoked, or expired, before a time. How many. Their events
    /// stay. A key that is still good is never deleted, whatever the time.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]. After an error, call it again: some may be deleted already.
    pub fn purge(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        let before = before.timestamp_millis();
        let over = |record: &Record| {
            let revoked = record.revoked.as_ref().is_some_and(|revoked| revoked.at < before);
            // A key that is still good is never deleted, whatever the time.
            let expired = record.expires_at.is_some_and(|end| end < before && end <= self.inner().engine.time.now_ms());
            revoked || expired
        };
        let mut after = None;
        let mut purged = 0;
        loop {
            // Candidates are found without holding up other changes, and read again where they are deleted.
            let mut found = Vec::new();
            let mut last = None;
            {
                let disk = self.inner().engine.log.open()?;
                for item in disk.records(after) {
                    let (id, frame) = item?;
                    last = Some(id);
                    if over(&codec::decode(&frame)?) {
                        found.push(id);
                    }
                    if found.len() == CHUNK {
                        break;
                    }
                }
            }
            let outcomes = self.change(|_, disk| {
                let mut changes = Vec::new();
                for id in &found {
                    if disk.record(*id)?.is_some_and(|(record, _)| over(&record)) {
                        changes.push(self.inner().engine.change_of(*id, Action::Purge));
                    }
                }
                Ok(changes)
            })?;
            purged += outcomes.iter().filter(|outcome| outcome.changed).count();
            if last.is_none() {
                return Ok(purged);
            }
            after = last;
        }
    }
}

impl Inner {
    pub(crate) fn try_erase_ended(&self) -> Result<(), StoreError> {
        loop {
            let mut looked = 0;
            self.engine.change(|writer, disk| {
                let now = self.engine.time.now_ms();
                let mut changes = Vec::new();
                for id in writer.ended(now, CHUNK) {
                    looked += 1;
                    let Some((record, _)) = disk.record(id)? else { continue };
                    writer.note_ends(&record);
                    changes.push(self.engine.change_of(id, Action::EraseEnded));
                }
                Ok(changes)
            })?;
            if looked < CHUNK {
                return Ok(());
            }
        }
    }

    /// A key as it is now.
    pub(crate) fn info(&self, disk: &Disk, record: Record) -> Result<KeyInfo, StoreError> {
        let (id, key) = (record.id, self.engine.effective(&record)?);
        let info = self.info_with(record, &key);
        if !self.engine.index.lacks_any(&key) {
            return Ok(info);
        }
        // A change of this key is half done, and has taken the time of use from the index: let it end.
        let _writer = self.engine.writer();
        disk.record(id)?.map_or(Ok(info), |(record, _)| self.info_of(record))
    }

    /// A key as a change has left it.
    pub(crate) fn info_of(&self, record: Record) -> Result<KeyInfo, StoreError> {
        let key = self.engine.effective(&record)?;
        Ok(self.info_with(record, &key))
    }

    fn info_with(&self, mut record: Record, key: &EffectiveKey) -> KeyInfo {
        let last_used = self.engine.index.last_used(key);
        // The first use of a successor is in force before it is written.
        let ended = self.engine.index.ended_by_use(key);
        record.secrets.retain(|secret| !ended.contains(&secret.digest));
        KeyInfo::new(record, last_used, self.engine.time.now_ms(), self.engine.lifetime)
    }
}

fn checked(update: &KeyUpdate) -> Result<Fields, StoreError> {
    if update.is_empty() {
        return Err(StoreError::invalid("update", "no field", "updates of one field or more"));
    }
    if let Patch::Set(name) = &update.name {
        bounds::name(name)?;
    }
    let set = update.metadata.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    bounds::metadata(&set)?;
    Ok(Fields {
        name: update.name.clone(),
        permissions: update.permissions.as_deref().map(bounds::grants).transpose()?,
        expires_at: update.expires_at.try_map(|end| checked_ms("expires_at", end))?,
        disabled: update.disabled,
        metadata: update.metadata.clone(),
        limit: update.limit.try_map(|limit| limit.check().map(Limit::to_stored))?,
        networks: update.networks.as_ref().try_map(|networks| bounds::networks(networks))?,
        policy: update.rotation.try_map(RotationPolicy::stored)?,
        ..Fields::default()
    })
}
