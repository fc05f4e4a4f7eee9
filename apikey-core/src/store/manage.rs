//! Looking at keys, and changing them.

use chrono::{DateTime, Utc};

use crate::bounds;
use crate::change::{Action, Change, Fields, Overlap};
use crate::codec;
use crate::error::{Excess, StoreError};
use crate::grants;
use crate::index::{Cut, Target};
use crate::key_filter::{KeyFilter, Page};
use crate::key_id::KeyId;
use crate::key_info::KeyInfo;
use crate::key_update::KeyUpdate;
use crate::limit::Limit;
use crate::new_key::CreatedKey;
use crate::record::Record;
use crate::rights::Rights;
use crate::rotate_options::RotateOptions;
use crate::time::{checked_ms, from_ms};
use crate::verified::VerifiedKey;

use super::disk::Disk;
use super::{Inner, KeyStore};

/// Changes in one transaction of a change to many keys.
const CHUNK: usize = 1000;

impl KeyStore {
    /// What is known of a key; `None` if there is none with this id.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn get(&self, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        let disk = self.inner().disk()?;
        let disk = disk.as_ref().ok_or(StoreError::Closed)?;
        let record = disk.record(id.as_u128())?.filter(|(record, _)| !self.inner().commit.is_unborn(record.id));
        record.map(|(record, _)| self.inner().info(disk, record)).transpose()
    }

    /// A page of the keys that the filter names, in order of creation. Keys are looked at one by one: a filter by
    /// owner is quick in a large store, the others read every key.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] or [`StoreError::Permission`] for a filter out of bounds, [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        let size = filter.page_size()?;
        let disk = self.inner().disk()?;
        let disk = disk.as_ref().ok_or(StoreError::Closed)?;
        let after = filter.after.map(KeyId::as_u128);
        let now = from_ms(self.inner().time.now_ms());
        let mut keys: Vec<KeyInfo> = Vec::new();
        let mut more = false;
        let mut visit = |record: Record| -> Result<bool, StoreError> {
            if self.inner().commit.is_unborn(record.id) {
                return Ok(true);
            }
            let info = self.inner().info(disk, record)?;
            if filter.admits(&info, now) {
                more = keys.len() == size;
                if !more {
                    keys.push(info);
                }
            }
            Ok(!more)
        };
        if let Some(owner) = &filter.owner {
            for id in disk.ids_of(owner, after)? {
                let Some((record, _)) = disk.record(id?)? else { continue };
                if !visit(record)? {
                    break;
                }
            }
        } else {
            for item in disk.records(after) {
                if !visit(codec::decode(&item?.1)?)? {
                    break;
                }
            }
        }
        let next = keys.last().filter(|_| more).map(KeyInfo::id);
        Ok(Page { keys, next })
    }

    /// Changes a key's fields. What it takes away is gone at once, what it gives holds when it is on disk; the call
    /// returns then.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] or [`StoreError::Permission`] for a field out of bounds;
    /// [`StoreError::Conflict`] for a revoked key; [`StoreError::Exceeds`] if capped by
    /// [`within`](KeyUpdate::within); [`StoreError::NotDurable`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn update(&self, id: KeyId, update: KeyUpdate) -> Result<KeyInfo, StoreError> {
        let fields = Fields { lifetime: self.inner().lifetime, ..checked(&update)? };
        let outcomes = self.change(|_, disk| {
            if let Some(actor) = &update.within {
                let held = disk.record(id.as_u128())?.map(|(record, _)| record.permissions).unwrap_or_default();
                self.inner().cap(actor, disk, &held)?;
                self.inner().cap(actor, disk, fields.permissions.as_deref().unwrap_or_default())?;
            }
            Ok(vec![self.inner().change_of(id.as_u128(), Action::Update(Box::new(fields.clone())))])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after).ok_or(StoreError::NotFound(id))?;
        self.inner().info_of(after)
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

    /// Rotates a key as far as `actor` may: each of the key's grants must be covered by one of the actor's, which
    /// must still be good.
    ///
    /// # Errors
    /// Those of [`rotate`](Self::rotate), and [`StoreError::Exceeds`].
    pub fn rotate_within(&self, id: KeyId, overlap: Overlap, actor: &VerifiedKey) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap).within(actor))
    }

    /// Ends a key for good; its record stays. In force before anything is written, so that no verification that
    /// begins after this returns succeeds, whatever the disk does. A second call is `Ok`, and the first reason stays.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for a reason of more than 256 bytes;
    /// [`StoreError::NotDurable`] if the disk refused: the key is refused all the same, until a restart;
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn revoke(&self, id: KeyId, reason: impl Into<String>) -> Result<(), StoreError> {
        let reason = reason.into();
        bounds::reason(&reason)?;
        let revoke = || self.inner().change_of(id.as_u128(), Action::Revoke { reason: reason.clone() });
        self.change(|_, _| Ok(vec![revoke()])).map(|_| ())
    }

    /// Revokes every key of an owner. How many were not revoked before.
    ///
    /// # Errors
    /// As [`revoke`](Self::revoke), but an owner without keys is `Ok(0)`. After an error, call it again: some keys
    /// may be revoked already.
    pub fn revoke_owner(&self, owner: &str, reason: impl Into<String>) -> Result<usize, StoreError> {
        let reason = reason.into();
        bounds::reason(&reason)?;
        bounds::owner(owner)?;
        let mut after = None;
        let mut revoked = 0;
        let mut refused = None;
        let revoked_all = Cut { revoke: true, ..Cut::default() };
        loop {
            let mut last = None;
            let outcomes = self.change(|_, disk| {
                let ids = disk.ids_of(owner, after).and_then(|ids| ids.take(CHUNK).collect::<Result<Vec<u128>, _>>());
                let ids = ids.map_err(|error| self.inner().cut(vec![(Target::Owner(owner), revoked_all)], error))?;
                last = ids.last().copied();
                let action = |id| self.inner().change_of(id, Action::Revoke { reason: reason.clone() });
                Ok(ids.into_iter().map(action).collect())
            });
            match outcomes {
                Ok(outcomes) => revoked += outcomes.iter().filter(|outcome| outcome.changed).count(),
                // In force in memory: so shall be the rest.
                Err(error @ StoreError::NotDurable { .. }) => refused = Some(error),
                Err(error) => return Err(refused.unwrap_or(error)),
            }
            if last.is_none() {
                return refused.map_or(Ok(revoked), Err);
            }
            after = last;
        }
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
            // A key that is still good is never deleted, whatever time was asked.
            let expired = record.expires_at.is_some_and(|end| end < before && end <= self.inner().time.now_ms());
            revoked || expired
        };
        let mut after = None;
        let mut purged = 0;
        loop {
            // Candidates are found without holding up other changes, and looked at again where they are deleted.
            let mut found = Vec::new();
            let mut last = None;
            {
                let disk = self.inner().disk()?;
                let disk = disk.as_ref().ok_or(StoreError::Closed)?;
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
                        changes.push(self.inner().change_of(*id, Action::Purge));
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
    pub(super) fn change_of(&self, id: u128, action: Action) -> Change {
        Change { id, at: self.time.now_ms(), actor: None, action, once: None }
    }

    pub(super) fn try_erase_ended(&self) -> Result<(), StoreError> {
        loop {
            let mut looked = 0;
            self.change(|writer, disk| {
                let now = self.time.now_ms();
                let mut changes = Vec::new();
                for id in writer.ended(now, CHUNK) {
                    looked += 1;
                    let Some((record, _)) = disk.record(id)? else { continue };
                    writer.note_ends(&record);
                    changes.push(self.change_of(id, Action::EraseEnded));
                }
                Ok(changes)
            })?;
            if looked < CHUNK {
                return Ok(());
            }
        }
    }

    /// Holds grants against those of an acting key, as they are now.
    pub(super) fn cap(&self, actor: &VerifiedKey, disk: &Disk, wanted: &[String]) -> Result<(), StoreError> {
        self.recheck(actor).map_err(|error| StoreError::Exceeds(Excess::Actor(error)))?;
        let record = disk.record(actor.id().as_u128())?.map(|(record, _)| record);
        let record = record.ok_or(StoreError::Exceeds(Excess::Actor(crate::AuthError::Invalid)))?;
        match grants::uncovered(&record.permissions, wanted) {
            Some(grant) => Err(StoreError::Exceeds(Excess::Grant(grant.clone()))),
            None => Ok(()),
        }
    }

    /// A key as it is now.
    pub(super) fn info(&self, disk: &Disk, record: Record) -> Result<KeyInfo, StoreError> {
        let info = self.info_of(record.clone())?;
        if !self.index.lacks_any(&Rights::of(&record).map_err(std::io::Error::from)?) {
            return Ok(info);
        }
        // A change of this key is half done, and has taken the time of use from the index: let it end.
        let _writer = self.writer();
        disk.record(record.id)?.map_or(Ok(info), |(record, _)| self.info_of(record))
    }

    /// A key as a change has left it.
    pub(super) fn info_of(&self, mut record: Record) -> Result<KeyInfo, StoreError> {
        let rights = Rights::of(&record).map_err(std::io::Error::from)?;
        let last_used = self.index.last_used(&rights);
        // The first use of a successor is in force before it is written.
        let ended = self.index.ended_by_use(&rights);
        record.secrets.retain(|secret| !ended.contains(&secret.digest));
        Ok(KeyInfo::new(record, last_used, self.time.now_ms()))
    }
}

fn checked(update: &KeyUpdate) -> Result<Fields, StoreError> {
    if let Some(Some(name)) = &update.name {
        bounds::name(name)?;
    }
    let set = update.metadata.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect();
    bounds::metadata(&set)?;
    Ok(Fields {
        name: update.name.clone(),
        permissions: update.permissions.as_deref().map(bounds::grants).transpose()?,
        expires_at: match update.expires_at {
            Some(Some(end)) => Some(Some(checked_ms("expires_at", end)?)),
            Some(None) => Some(None),
            None => None,
        },
        disabled: update.disabled,
        metadata: update.metadata.clone(),
        limit: match update.limit {
            Some(Some((count, per))) => Some(Some(Limit::checked(count, per)?.to_stored())),
            Some(None) => Some(None),
            None => None,
        },
        networks: match &update.networks {
            Some(Some(networks)) => Some(bounds::networks(networks)?),
            Some(None) => Some(Vec::new()),
            None => None,
        },
        policy: match update.rotation {
            Some(Some(policy)) => Some(Some(policy.stored()?)),
            Some(None) => Some(None),
            None => None,
        },
        ..Fields::default()
    })
}
