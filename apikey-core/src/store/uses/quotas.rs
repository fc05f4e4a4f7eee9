//! Quotas: what keys have used of them is written here, and read when the store is opened.

use std::sync::atomic::Ordering;

use crate::access::attempt::{Charge, Taken};
use crate::access::auth_error::AuthError;
use crate::access::limit::joined;
use crate::access::quota::spent::Row;
use crate::access::quota::status::QuotaStatus;
use crate::access::quota::{MAX_COST, Quota, QuotaPeriod};
use crate::access::verified_key::VerifiedKey;
use crate::base::codec;
use crate::base::lock::lock;
use crate::base::patch::Patch;
use crate::base::time::from_ms;
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
        if uses == 0 {
            return Err(StoreError::invalid("uses", "0", "1 to 1,000,000,000,000 uses"));
        }
        let scope = self.scope(None);
        let outcomes = self.change(|_, records| {
            let (record, _) = records
                .record(id.as_u128())?
                .filter(|(record, _)| scope.seen.has(record.owner()))
                .ok_or(StoreError::NotFound(id))?;
            let held = record.quota.as_ref().map(Quota::stored);
            let Some(held) = held.filter(|quota| quota.period() == QuotaPeriod::Total) else {
                let held = held.map_or_else(|| "none".to_owned(), |quota| quota.to_string());
                return Err(StoreError::invalid(FIELD, &held, "keys that have a quota in all"));
            };
            let quota = held.with_count(held.count().saturating_add(uses)).check()?;
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

    /// Makes a request of a verified key cost more: takes from the key's quota what this cost has above that which a guard
    /// has taken already, and notes it in the charge. A request without a note was verified for 1 use. A key without a quota
    /// pays nothing.
    ///
    /// The guards of this crate call it for a handler with a cost; call it in a handler whose cost depends on the request.
    ///
    /// ```
    /// use apikey::{Attempt, Charge, KeyStore, NewKey, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").quota(Quota::per_day(10)))?;
    /// let charge = Charge::default();
    /// let key = store.check(&Attempt::new(created.key.expose_secret()).charge(&charge))?;
    /// store.charge_more(&key, &charge, 8)?;
    /// assert_eq!(store.quota_status(&key).map(|status| status.used()), Some(8));
    /// assert!(store.charge_more(&key, &charge, 11).is_err());
    /// assert_eq!(store.quota_status(&key).map(|status| status.used()), Some(0)); // a refused request uses nothing
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`AuthError::QuotaExceeded`] or [`AuthError::NoUsesLeft`] if this is more than is left; the store gives back what the
    /// charge says, unless its period is over. The caller reports the refusal by [`note_refusal`](Self::note_refusal).
    pub fn charge_more(&self, key: &VerifiedKey, charge: &Charge, cost: u32) -> Result<(), AuthError> {
        let quota = if self.has_verified(key) { self.inner().engine.index.quota_of(key) } else { None };
        quota.map_or(Ok(()), |quota| self.inner().charge(quota, cost.clamp(1, MAX_COST), Some(charge), 1))
    }

    /// Gives back what a request of a verified key took from its quota, since the service refuses it, unless the period of the
    /// quota is over.
    pub fn give_back(&self, key: &VerifiedKey, charge: &Charge) {
        let Some(taken) = charge.taken().filter(|taken| taken.back != 0 && self.has_verified(key)) else { return };
        let index = &self.inner().engine.index;
        if index.quota_of(key) == Some(taken.quota) {
            charge.set(taken.given_back());
            index.give_back(taken);
        }
    }

    /// Returns the header fields `RateLimit-Policy` and `RateLimit` for a verified key: those of its
    /// [rate limit](Self::limit_status), then those of its [quota](Self::quota_status), as one list each. `None` if it has
    /// neither.
    #[must_use]
    pub fn limit_fields(&self, key: &VerifiedKey) -> Option<[(&'static str, String); 2]> {
        let quota = self.quota_status(key).map(|quota| quota.fields(from_ms(self.inner().engine.time.now_ms())));
        joined(self.limit_status(key).map(|limit| limit.fields()), quota)
    }
}

impl Inner {
    /// Takes from a quota, by its number, what the cost of a request has above that which the request has paid. A request
    /// without a note has paid `unnoted`.
    ///
    /// # Errors
    /// It is used up, or more of it must be reserved first. What the request took before is given back, unless its period is
    /// over.
    #[cold]
    #[inline(never)]
    pub(in crate::store) fn charge(
        &self,
        quota: u32,
        cost: u32,
        charge: Option<&Charge>,
        unnoted: u32,
    ) -> Result<(), AuthError> {
        let before = charge.and_then(Charge::taken).filter(|taken| taken.quota == quota);
        let more = cost.saturating_sub(before.map_or(unnoted, |taken| taken.uses));
        if more == 0 {
            return Ok(());
        }
        let index = &self.engine.index;
        let was_urgent = index.is_spent_fast();
        let charged = index.charge(quota, more, before, self.engine.time.now_ms());
        if let Some(charge) = charge {
            match (&charged, before) {
                (Ok(0), _) | (Err(_), None) => {}
                (Ok(period), _) => charge.set(Taken::and(before, quota, cost, more, *period)),
                (Err(_), Some(before)) => charge.set(before.given_back()),
            }
        }
        if !was_urgent && index.is_spent_fast() {
            self.engine.wake_quotas();
        }
        charged.map(drop)
    }

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
        let row = |need: &Need| (need.key, Row { spent: need.here, ahead: need.ahead });
        write(disk, needed.iter().map(row))?;
        for need in needed {
            index.grant_quota(need, Grant { here: need.here, elsewhere: 0, ahead: need.ahead });
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
