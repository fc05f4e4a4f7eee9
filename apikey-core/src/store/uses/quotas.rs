//! Quotas: what keys have used of them is written here, and read when the store is opened.

use std::sync::atomic::Ordering;

use crate::access::quota::spent::Row;
use crate::access::quota::status::QuotaStatus;
use crate::access::quota::{Quota, QuotaPeriod};
use crate::base::codec;
use crate::base::lock::lock;
use crate::base::patch::Patch;
use crate::index::Index;
use crate::index::quotas::slot::Grant;
use crate::index::quotas::{KeySpent, Need};
use crate::key::change::{Action, Change, Fields};
use crate::key::error::StoreError;
use crate::key::key_info::KeyInfo;
use crate::storage::database::disk::Disk;
use crate::storage::database::spent::StoredSpent;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::uses::usage::has_room;
use crate::token::key_id::KeyId;

/// The room that the disk must have left for what keys use of their quotas: 4 MiB, so that a write of it cannot fail the store.
/// Counts of uses stop long before.
const MIN_FREE: u64 = 4 << 20;
/// The quotas for which a write reserves at once.
const PART: usize = 10_000;
/// The field of a key that these errors name.
const FIELD: &str = "quota";

impl KeyStore {
    /// Returns what the key with this id has left of its quota; `None` if it has no quota. The call uses nothing. For a key
    /// that was just verified, [`quota_status`](Self::quota_status) reads memory only.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::per_day(10_000)))?;
    /// store.verify(created.key.expose_secret())?;
    /// let status = store.quota_status_of(created.info.id())?.expect("the key has a quota");
    /// assert_eq!((status.used(), status.remaining()), (1, 9_999));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn quota_status_of(&self, id: KeyId) -> Result<Option<QuotaStatus>, StoreError> {
        self.get(id)?.ok_or(StoreError::NotFound(id))?;
        Ok(self.inner().engine.index.quota_status_of(id.as_u128(), self.inner().engine.time.now_ms()))
    }

    /// Adds uses to a key that has a quota [in all](Quota::total), as when a customer buys more. Two calls at once add both.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::total(500)))?;
    /// let key = store.add_uses(created.info.id(), 100)?;
    /// assert_eq!(key.quota(), Some(Quota::total(600)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key without such a quota, or if it would have more than 1,000,000,000,000 uses;
    /// [`StoreError::NotFound`], [`StoreError::Conflict`] for a revoked key; [`StoreError::NotDurable`],
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn add_uses(&self, id: KeyId, uses: u64) -> Result<KeyInfo, StoreError> {
        let scope = self.scope(None);
        let outcomes = self.change(|_, records| {
            let (record, _) = records
                .record(id.as_u128())?
                .filter(|(record, _)| scope.seen.has(record.owner()))
                .ok_or(StoreError::NotFound(id))?;
            let held = record.quota.as_ref().map(Quota::stored);
            let quota = with_more_uses(held, uses, "keys that have a quota in all")?;
            let fields = Fields {
                lifetime: self.inner().engine.lifetime,
                quota: Patch::Set(quota.to_stored()),
                ..Fields::default()
            };
            let change = self.inner().engine.change_of(id.as_u128(), Action::Update(Box::new(fields)));
            Ok(vec![Change { scope: scope.clone(), ..change }])
        })?;
        let after = outcomes.into_iter().find_map(|outcome| outcome.after).ok_or(StoreError::NotFound(id))?;
        self.inner().info_of(after)
    }
}

impl Inner {
    /// Writes what was used of quotas since the last time, and reserves what strict ones need next.
    pub(in crate::store) fn write_quotas(&self) {
        if !self.engine.index.has_quotas() || !self.engine.is_alone() {
            return;
        }
        let Ok(disk) = self.engine.log.open() else { return };
        // In this order what is on the disk is never behind what requests may have.
        let _writing = lock(&self.writing_quotas);
        self.write_quotas_to(&disk, |index| index.needed_quotas(self.engine.time.now_ms()));
    }

    /// Reserves blocks of the strict quotas that a change has just set, so that the first request after it finds one. If the
    /// disk fails, or has no room, that request is refused, and the next write reserves some.
    pub(in crate::store) fn reserve_first_blocks(&self) {
        let index = &self.engine.index;
        if !index.lacks_block() {
            return;
        }
        #[cfg(feature = "cluster")]
        if let Some(order) = self.engine.order() {
            order.reserve_first_blocks(&self.engine);
            return;
        }
        let Ok(disk) = self.engine.log.open() else { return };
        let _writing = lock(&self.writing_quotas);
        let needed = index.needed_of_new_quotas(self.engine.time.now_ms());
        if !has_room(&disk, MIN_FREE) || reserve(&disk, index, &needed).is_err() {
            self.engine.log.maintenance.notify();
        }
        index.reserved_new_quotas();
    }

    /// Writes what was used of quotas for the last time. Requests that are under way have none of a strict quota any more.
    pub(in crate::store) fn end_quotas(&self, disk: &Disk) {
        if !self.engine.index.has_quotas() || !self.engine.is_alone() {
            return;
        }
        let _writing = lock(&self.writing_quotas);
        self.write_quotas_to(disk, |_| Vec::new());
        let ended = self.engine.index.end_strict_quotas();
        if let Err(error) = write(disk, ended.iter().map(KeySpent::row)) {
            tracing::warn!(%error, "what was reserved of strict quotas counts as used");
        }
    }

    /// Writes what was used, and reserves what is needed. If the disk has no room, or fails, it does so later; meanwhile quotas
    /// hold in memory, and strict ones have what is reserved.
    fn write_quotas_to(&self, disk: &Disk, needed: impl Fn(&Index) -> Vec<Need>) {
        let index = &self.engine.index;
        let has_room = has_room(disk, MIN_FREE);
        // Before what follows is read: a key that gets a quota meanwhile has a new row then.
        let without = if has_room { index.take_without_quota() } else { Vec::new() };
        let forgotten = disk.forget_spent(&without);
        let (unwritten, needed) = (index.unwritten_quotas(), needed(index));
        if without.is_empty() && unwritten.is_empty() && needed.is_empty() {
            return;
        }
        let written = if has_room {
            let written = forgotten.and_then(|()| write(disk, unwritten.iter().map(KeySpent::row)));
            if written.is_ok() {
                index.note_quotas_written(&unwritten);
            }
            written.and_then(|()| reserve(disk, index, &needed)).map(|()| true)
        } else {
            Ok(false)
        };
        if let Ok(true) = written {
            self.quotas_unwritten.store(false, Ordering::Relaxed);
        } else if !self.quotas_unwritten.swap(true, Ordering::Relaxed) {
            let (keys, error) = (unwritten.len() + needed.len(), written.err().map(tracing::field::display));
            let text = "what keys used of their quotas is not written, and a restart would give it back; strict quotas have \
                        no more than is reserved";
            match error {
                Some(error) => tracing::warn!(%error, keys, "{text}"),
                None => tracing::warn!(keys, free_less_than = MIN_FREE, "the disk is nearly full: {text}"),
            }
        }
    }
}

/// A quota in all with so many uses more. `allowed` says of what there must be one.
pub(super) fn with_more_uses(held: Option<Quota>, uses: u64, allowed: &'static str) -> Result<Quota, StoreError> {
    if uses == 0 {
        return Err(StoreError::invalid("uses", "0", "1 to 1,000,000,000,000 uses"));
    }
    match held.filter(|quota| quota.period() == QuotaPeriod::Total) {
        Some(total) => Ok(total.with_count(total.count().saturating_add(uses)).check()?),
        None => Err(without_total(held, allowed)),
    }
}

/// The error for what has no quota in all.
pub(super) fn without_total(held: Option<Quota>, allowed: &'static str) -> StoreError {
    let held = held.map_or_else(|| "none".to_owned(), |quota| quota.to_string());
    StoreError::invalid(FIELD, &held, allowed)
}

/// Writes rows, and waits until they are on the disk.
fn write(disk: &Disk, rows: impl ExactSizeIterator<Item = (u128, Row)>) -> Result<(), StoreError> {
    if rows.len() == 0 {
        return Ok(());
    }
    let frames = rows.map(|(key, row)| Ok((key, codec::encode(&StoredSpent::from(row))?)));
    disk.set_spent(frames.collect::<Result<Vec<_>, StoreError>>()?)
}

/// Reserves what strict quotas need, and lets requests have it once it is on the disk.
fn reserve(disk: &Disk, index: &Index, needed: &[Need]) -> Result<(), StoreError> {
    for needed in needed.chunks(PART) {
        write(disk, needed.iter().map(Need::row))?;
        for need in needed {
            index.grant_quota(need, Grant { here: need.here, elsewhere: None, ahead: need.ahead });
        }
    }
    Ok(())
}

/// Reads what keys have used into the index, and deletes that of keys without a quota. What is damaged counts as used up: it must
/// not be forgotten.
///
/// # Errors
/// The disk fails.
pub(in crate::store) fn restore(disk: &Disk, index: &Index, now: i64) -> Result<(), StoreError> {
    let mut others = Vec::new();
    for item in disk.spent() {
        let (key, frame) = item?;
        let row = codec::decode::<StoredSpent>(&frame).map(Row::from);
        if let Err(error) = &row {
            let key = KeyId::from_u128(key);
            tracing::error!(%error, %key, "what a key used of its quota is damaged: nothing is left of it in this period");
        }
        if !index.restore_quota(key, row.ok(), now) {
            others.push(key);
        }
    }
    disk.forget_spent(&others)
}
