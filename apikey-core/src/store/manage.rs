//! Reading and changing keys.

use chrono::{DateTime, Utc};

use crate::access::auth_error::AuthError;
use crate::access::limit::Limit;
use crate::access::owner::{OwnerRef, Owners};
use crate::access::quota::Quota;
use crate::access::verified_key::VerifiedKey;
use crate::base::codec;
use crate::base::invalid_field::InvalidField;
use crate::base::patch::Patch;
use crate::base::time::{checked_ms, from_ms};
use crate::commit::cluster::propagation::Terms;
use crate::commit::records::Records;
use crate::index::restriction::{Restriction, Target};
use crate::key::bounds;
use crate::key::change::{Action, Change, Fields};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::cap_violation::CapViolation;
use crate::key::error::cluster_error::ClusterError;
use crate::key::error::{Conflict, StoreError};
use crate::key::key_filter::{KeyFilter, Page, is_purgeable};
use crate::key::key_info::KeyInfo;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::CreatedKey;
use crate::key::record::Record;
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::key::rotation::policy::RotationPolicy;
use crate::key::scope::Scope;
use crate::token::key_id::KeyId;

use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

/// The number of keys that one transaction of a larger change covers.
const CHUNK: usize = 1000;
/// How long after its end a node of a cluster keeps a superseded secret: as long as clocks may be apart, and as much again.
const ERASE_GRACE_MS: i64 = 10 * 60_000;

impl KeyStore {
    /// Returns a key without its secret; `None` if the store has no key with this id.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn get(&self, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let is_there =
            |record: &Record| self.seen().has(record.owner()) && !self.inner().engine.group.is_unpublished(record.id);
        let record = disk.record(id.as_u128())?.filter(|(record, _)| is_there(record));
        record.map(|(record, _)| self.inner().info(&disk, record)).transpose()
    }

    /// Returns a page of the keys that the filter selects, in the order of their creation. The store reads keys one by
    /// one: a filter by owner is fast in a large store, while the others read every key.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] or [`StoreError::Permission`] for a filter out of bounds, [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        self.select(filter, filter.page_size()?)
    }

    /// The same for a page of this size.
    pub(crate) fn select(&self, filter: &KeyFilter, size: usize) -> Result<Page, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let after = filter.after.map(KeyId::as_u128);
        let now = from_ms(self.inner().engine.time.now_ms());
        let roles = if filter.asks_what_roles_grant() { disk.roles()? } else { Vec::new() };
        let mut keys: Vec<KeyInfo> = Vec::new();
        let mut more = false;
        let mut reads = 0;
        let mut last_read = None;
        let mut visit = |record: Record| -> Result<bool, StoreError> {
            if filter.max_reads.is_some_and(|max| reads >= max) {
                more = true;
                return Ok(false);
            }
            reads += 1;
            last_read = Some(KeyId::from_u128(record.id));
            if !self.seen().has(record.owner()) || self.inner().engine.group.is_unpublished(record.id) {
                return Ok(true);
            }
            let info = self.inner().info(&disk, record)?;
            if filter.matches(&info, &roles, now, self.seen()) {
                more = keys.len() == size;
                if !more {
                    keys.push(info);
                }
            }
            Ok(!more)
        };
        if let Some(owners) = filter.owners(self.seen()) {
            for id in disk.readable_ids_of(owners, after)? {
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
        // A full page ends with its last key, and one that read all it may with the last key that it read.
        let next = if keys.len() == size { keys.last().map(KeyInfo::id) } else { last_read };
        let next = next.filter(|_| more);
        Ok(Page { keys, next })
    }

    /// Changes a key's fields. Restrictions take effect at once, and everything else once the change is on disk, which
    /// is when the call returns. If every field has its new value already, the store changes nothing and records no
    /// event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::Invalid`] for an update that names no field, unless it
    /// was read from JSON; the same or
    /// [`StoreError::TooLong`], [`StoreError::Permission`] or [`StoreError::UnknownGrant`] for a field out of bounds,
    /// such as an end in the past (unless it is the key's present end); [`StoreError::Conflict`] for a revoked key, and for one
    /// that was changed meanwhile ([`only_if`](KeyUpdate::only_if));
    /// [`StoreError::Exceeds`] if the change exceeds its cap ([`within`](KeyUpdate::within));
    /// [`StoreError::NotDurable`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn update(&self, id: KeyId, update: KeyUpdate) -> Result<KeyInfo, StoreError> {
        self.try_update(id, &update).map(|(info, _)| info)
    }

    /// The same; also returns whether anything changed.
    pub(crate) fn try_update(&self, id: KeyId, update: &KeyUpdate) -> Result<(KeyInfo, bool), StoreError> {
        let idle_after = self.inner().checked_idle_after(update.idle_after)?;
        let fields = Fields { lifetime: self.inner().engine.lifetime, idle_after, ..checked(update)? };
        let scope = self.scope(update.within.as_ref());
        let outcomes = self.change(|_, records| {
            self.inner().check_unchanged(id, update, &scope, records)?;
            self.inner().check_new_grants(id, update, &scope, records)?;
            let change = self.inner().engine.change_of(id.as_u128(), Action::Update(Box::new(fields.clone())));
            let changes = vec![Change { scope: scope.clone(), ..change }];
            self.check_room(&changes, records)?;
            Ok(changes)
        })?;
        let changed = outcomes.iter().any(|outcome| outcome.changed);
        let after = outcomes.into_iter().find_map(|outcome| outcome.after).ok_or(StoreError::NotFound(id))?;
        Ok((self.inner().info_of(after)?, changed))
    }

    /// Gives a key a new secret; its id, name, permissions and history stay. The old secret stays valid for the
    /// overlap.
    ///
    /// During an overlap the store rejects a further rotation, with two exceptions: [`Overlap::None`] ends every older
    /// secret at once, and a rotation replaces a new secret that nobody has used (its response may have been lost), or
    /// that a [`Rotator`](crate::Rotator) has not delivered yet.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Overlap};
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
    /// [`StoreError::NotFound`]; [`StoreError::Conflict`] for a revoked, expired or idle key, for a disabled one with an
    /// overlap, or during an overlap; [`StoreError::Invalid`] for an overlap that is not positive; [`StoreError::NotDurable`],
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn rotate(&self, id: KeyId, overlap: Overlap) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap))
    }

    /// Rotates a key on behalf of `actor`. The caller who gets the new secret can do everything that the key can, so
    /// the key must be one that the actor could have [created](crate::NewKey::within): it has the actor's owner, and no
    /// grant, end, idle time, network or rate limit beyond the actor's. The actor must still be valid.
    ///
    /// An actor may always rotate itself, with one exception: a superseded secret cannot rotate its key
    /// ([`Conflict::Overlapping`](crate::Conflict::Overlapping)), since it could otherwise outlive its end for ever. It
    /// may still repeat its own request, see [`RotateOptions::idempotency_key`].
    ///
    /// # Errors
    /// Those of [`rotate`](Self::rotate), and [`StoreError::Exceeds`].
    pub fn rotate_within(&self, id: KeyId, overlap: Overlap, actor: &VerifiedKey) -> Result<CreatedKey, StoreError> {
        self.rotate_with(id, &RotateOptions::new(overlap).within(actor))
    }

    /// Revokes a key, which is final; its record stays. The revocation takes effect before the store writes anything,
    /// so no verification that begins after this call has returned succeeds, even if the disk fails.
    ///
    /// Returns whether this call revoked the key. If the key was revoked already, nothing changes, and the first reason
    /// stays ([`KeyInfo::revoked`]).
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
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
    /// [`StoreError::NotDurable`] if the store could not write the change: it refuses the key all the same, until a
    /// restart; [`StoreError::Io`], [`StoreError::Closed`].
    pub fn revoke(&self, id: KeyId, reason: impl Into<String>) -> Result<bool, StoreError> {
        self.revoke_as(id, reason.into(), None)
    }

    /// Revokes a key on behalf of `actor`: the key must have the actor's owner (unless the actor has `keys:any_owner`),
    /// and no grant that the actor lacks. An actor may always revoke itself.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), and [`StoreError::Exceeds`]. If the store cannot read its disk, it does not
    /// revoke the key, since it cannot check what the actor may do.
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

    /// Revokes every key of an owner, and returns the number of keys that were not revoked before.
    ///
    /// # Errors
    /// Those of [`revoke`](Self::revoke), but an owner without keys is `Ok(0)`. After an error, call it again: it may
    /// have revoked some keys already.
    pub fn revoke_owner(&self, owner: &str, reason: impl Into<String>) -> Result<usize, StoreError> {
        self.revoke_owner_as(owner, &reason.into(), None)
    }

    /// Revokes every key of an owner on behalf of `actor` (see [`revoke_within`](Self::revoke_within)), and returns the
    /// number of keys that were not revoked before. If the actor does not cover one of the keys, the call fails, so of
    /// up to a thousand keys it revokes all or none. If the actor is one of them, it is the last.
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
        bounds::stored_owner(owner)?;
        let mut after = None;
        let mut revoked = 0;
        let mut refused = None;
        let revoked_all = Restriction { revoke: true, ..Restriction::default() };
        let scope = self.scope(actor);
        let tenant = scope.seen.tenant().or_else(|| actor.and_then(VerifiedKey::tenant));
        let of = OwnerRef { tenant, name: owner };
        // Once the actor is revoked, it may revoke nothing more.
        let own = actor.map(|actor| actor.id().as_u128());
        let mut own_is_left = false;
        loop {
            let mut last = None;
            let outcomes = self.change(|_, records| {
                let ids = records.ids_of(Owners::One(of), after, CHUNK).map_err(|error| match actor {
                    Some(_) => error,
                    None => self.inner().engine.restrict_keys_unread(&Target::Owner(of), &revoked_all, error),
                })?;
                if let Some(reach) = self.inner().engine.reach(&scope, records)? {
                    reach.owner(of)?;
                }
                last = ids.last().copied();
                own_is_left |= ids.iter().any(|id| Some(*id) == own);
                let mut changes = Vec::with_capacity(ids.len());
                for id in ids.into_iter().filter(|id| Some(*id) != own) {
                    // A key that is revoked already needs no cover.
                    let is_over = |record: Record| record.revoked.is_some();
                    if actor.is_some() && records.record(id)?.is_some_and(|(record, _)| is_over(record)) {
                        continue;
                    }
                    let change = self.inner().engine.change_of(id, Action::Revoke { reason: reason.to_owned() });
                    changes.push(Change { scope: scope.clone(), ..change });
                }
                Ok(changes)
            });
            match outcomes {
                Ok(outcomes) => revoked += outcomes.iter().filter(|outcome| outcome.changed).count(),
                // The revocations are in force here, and those of the other keys shall be, too.
                Err(error @ (StoreError::NotDurable { .. } | StoreError::Cluster(ClusterError::OnlyHere { .. }))) => {
                    refused = Some(error);
                }
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
                // Another call has revoked the actor meanwhile.
                Err(StoreError::Exceeds(CapViolation::Actor(AuthError::Revoked))) => {}
                Err(error) => return Err(refused.unwrap_or(error)),
            }
        }
        refused.map_or(Ok(revoked), Err)
    }

    /// Deletes the records of keys that were revoked, or expired, before a time, and returns their number. Their events
    /// stay. It never deletes a key that is still valid, or merely idle, whatever the time.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]. After an error, call it again: it may have deleted some records
    /// already.
    pub fn purge(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        let over = |record: &Record| {
            let revoked = record.revoked.as_ref().map(|revoked| from_ms(revoked.at));
            is_purgeable(revoked, record.expires_at.map(from_ms), before, from_ms(self.inner().engine.time.now_ms()))
        };
        let mut after = None;
        let mut purged = 0;
        loop {
            // This finds candidates without blocking other changes, and reads each again before it deletes it.
            let mut found = Vec::new();
            let mut last = None;
            {
                let disk = self.inner().engine.log.open()?;
                for item in disk.records(after) {
                    let (id, frame) = item?;
                    last = Some(id);
                    if over(&Records::of(&disk).with_end_of_tenant(codec::decode(&frame)?)?) {
                        found.push(id);
                    }
                    if found.len() == CHUNK {
                        break;
                    }
                }
            }
            let outcomes = self.change(|_, records| {
                let mut changes = Vec::new();
                for id in &found {
                    let record =
                        records.record(*id)?.map(|(record, _)| records.with_end_of_tenant(record)).transpose()?;
                    if record.is_some_and(|record| over(&record)) {
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
            self.engine.change_on(Terms::HERE, |writer, records| {
                // The clock of another node may be behind this one's, and the secret good there.
                let grace = if self.engine.is_alone() { 0 } else { ERASE_GRACE_MS };
                let now = self.engine.time.now_ms().saturating_sub(grace);
                let mut changes = Vec::new();
                for id in writer.ended(now, CHUNK) {
                    looked += 1;
                    let Some((record, _)) = records.record(id)? else { continue };
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

    /// Returns the current state of a key.
    pub(crate) fn info(&self, disk: &Disk, record: Record) -> Result<KeyInfo, StoreError> {
        let (id, key) = (record.id, self.engine.effective(&record)?);
        let info = self.info_with(disk, record, &key)?;
        if !self.engine.index.lacks_any(&key) {
            return Ok(info);
        }
        // A change of this key is in progress, and has taken the time of use from the index: wait for its end.
        let _writer = self.engine.writer();
        disk.record(id)?.map_or(Ok(info), |(record, _)| self.info_of(record))
    }

    /// Returns the state in which a change has left a key.
    pub(crate) fn info_of(&self, record: Record) -> Result<KeyInfo, StoreError> {
        let key = self.engine.effective(&record)?;
        self.info_with(&*self.engine.log.open()?, record, &key)
    }

    fn info_with(&self, disk: &Disk, mut record: Record, key: &EffectiveKey) -> Result<KeyInfo, StoreError> {
        let last_used = self.engine.index.last_used(key);
        // The first use of a successor takes effect before it is on disk.
        let ended = self.engine.index.ended_by_use(key);
        record.secrets.retain(|secret| !ended.contains(&secret.digest));
        let record = Records::of(disk).with_end_of_tenant(record)?;
        let uses = self.uses_total(disk, record.id)?;
        Ok(KeyInfo::new(record, last_used, self.engine.time.now_ms(), self.engine.lifetime).used(uses))
    }
}

fn checked(update: &KeyUpdate) -> Result<Fields, StoreError> {
    if update.is_empty() && !update.from_json {
        return Err(StoreError::invalid("update", "no field", "updates of one field or more"));
    }
    if let Patch::Set(name) = &update.name {
        bounds::name(name)?;
    }
    bounds::metadata(&update.metadata.values())?;
    bounds::label_entries(&update.labels.values())?;
    Ok(Fields {
        name: update.name.clone(),
        permissions: update.permissions.as_deref().map(bounds::grants).transpose()?,
        add_permissions: bounds::grants(&update.add_permissions).map_err(|error| error.of_list("add_permissions"))?,
        remove_permissions: update.remove_permissions.clone(),
        roles: update.roles.as_deref().map(bounds::roles).transpose()?,
        add_roles: bounds::roles(&update.add_roles).map_err(|fault| InvalidField { field: "add_roles", ..fault })?,
        remove_roles: update.remove_roles.clone(),
        not_before: update.not_before.try_map(|start| checked_ms("not_before", start))?,
        expires_at: update.expires_at.try_map(|end| checked_ms("expires_at", end))?,
        disabled: update.disabled,
        metadata: update.metadata.clone(),
        labels: update.labels.clone(),
        limit: update.limit.try_map(|limit| limit.check().map(Limit::to_stored))?,
        quota: update.quota.try_map(|quota| quota.check().map(Quota::to_stored))?,
        networks: update.networks.as_ref().try_map(|networks| given_networks(networks, update.from_json))?,
        policy: update.rotation.try_map(RotationPolicy::stored)?,
        ..Fields::default()
    })
}

impl Inner {
    /// Checks that a key is as the caller has read it. The scope comes first: it is nobody else's to know.
    fn check_unchanged(
        &self,
        id: KeyId,
        update: &KeyUpdate,
        scope: &Scope,
        records: &Records<'_>,
    ) -> Result<(), StoreError> {
        let Some(last_event) = update.only_if else { return Ok(()) };
        let record = records.record(id.as_u128())?.map(|(record, _)| record);
        if let Some(reach) = self.engine.reach(scope, records)? {
            reach.target(id.as_u128(), record.as_ref())?;
        }
        match record.map(|record| record.last_event).filter(|held| *held != last_event) {
            Some(last_event) => Err(StoreError::Conflict(Conflict::Changed { last_event })),
            None => Ok(()),
        }
    }

    /// Checks the grants that an update gives and the key lacks against the catalogue: what an earlier catalogue allowed
    /// may stay. The scope comes first, so that a capped caller learns nothing of the catalogue beyond its cap.
    fn check_new_grants(
        &self,
        id: KeyId,
        update: &KeyUpdate,
        scope: &Scope,
        records: &Records<'_>,
    ) -> Result<(), StoreError> {
        let lists = [
            ("permissions", update.permissions.as_deref().unwrap_or_default()),
            ("add_permissions", &update.add_permissions),
        ];
        if lists.iter().all(|(_, grants)| self.check_catalog(grants, &[]).is_ok()) {
            return Ok(());
        }
        // Without a record there is nothing to give: the change has the error.
        let Ok(Some((record, _))) = records.record(id.as_u128()) else { return Ok(()) };
        let reach = self.engine.reach(scope, records)?;
        if let Some(reach) = &reach {
            reach.target(id.as_u128(), Some(&record))?;
            for (_, grants) in lists {
                reach.grants(record.owner(), grants, &record.permissions)?;
            }
        }
        for (list, grants) in lists {
            self.check_catalog(grants, &record.permissions).map_err(|unknown| unknown.in_list(list))?;
        }
        Ok(())
    }
}

/// Checks a list of networks. JSON has an empty one for a key that is valid anywhere, so the change compares that with the
/// key.
fn given_networks(given: &[String], from_json: bool) -> Result<Vec<String>, InvalidField> {
    if from_json && given.is_empty() { Ok(Vec::new()) } else { bounds::networks(given) }
}
