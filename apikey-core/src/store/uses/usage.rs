//! How often keys are used: what the store counts, writes, and answers.

use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use crate::base::files::free_bytes;
use crate::base::lock::lock;
use crate::index::counts::pending::MinuteCounts;
use crate::index::counts::{UseCounter, minute};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::token::key_id::KeyId;
use crate::usage::expire::{expire, forget};
use crate::usage::query::Usage;
use crate::usage::read;
use crate::usage::report::{Covers, KeyUse, UsageReport};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;
use crate::usage::write::UsageWriter;

/// The room that the disk must have left for counts of uses: 64 MiB, so that they take nothing that a change needs.
pub(super) const MIN_FREE: u64 = 64 << 20;
/// The keys whose counts are written while nobody reads the sum of a key.
const PART: usize = 256;
/// How long the store writes counts in one go. The same thread has more to do.
const MAX_TIME: Duration = Duration::from_millis(250);

impl KeyStore {
    /// Returns how often keys were used and refused: those of a key, an owner, a tenant or the whole store, in steps. It has
    /// everything that was counted before the call. A store that does not
    /// [count uses](crate::KeyStoreBuilder::count_use) has what it counted when it did.
    ///
    /// In a cluster, the counts of owners, of tenants and of the store by the hour and by the day, and their
    /// [`uses_total`](UsageReport::uses_total), are those of all nodes: everything that this node has counted, and what the others
    /// had made known before the call. The call asks the engine, for up to two seconds. If it does not answer, and always for a key
    /// and by the minute, the report has what this node has counted: [`UsageReport::covers`] says so.
    ///
    /// The counts are exact, but for the last half minute before a crash, and for what a full disk had no room for
    /// ([`Health::usage_dropped`](crate::Health::usage_dropped)). Events, backups and exports have none of them.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that no owner or tenant has, or a time before all that the store keeps in the step;
    /// [`StoreError::NotFound`] for a key that is not there; [`StoreError::Io`], [`StoreError::Closed`].
    pub fn usage(&self, usage: &Usage) -> Result<UsageReport, StoreError> {
        let inner = self.inner();
        let subject = usage.subject()?;
        let minutes = usage.minutes(inner.engine.time.now_ms())?;
        let disk = inner.engine.log.open()?;
        if let Some(key) = usage.key()
            && disk.record(key.as_u128())?.is_none()
        {
            return Err(StoreError::NotFound(key));
        }
        // It may wait for the engine, so nothing is locked yet.
        #[cfg(feature = "cluster")]
        let all = inner.counted_by_all(subject, minutes);
        let _writing = inner.hold_usage();
        #[cfg(feature = "cluster")]
        let (covers, others) = inner.counted_by_others(all);
        #[cfg(not(feature = "cluster"))]
        let (covers, others) = (Covers::Store, Vec::new());
        // Refusals wait for what waits, so the disk is read after that.
        let waiting = inner.engine.counts.as_ref().map(|counts| read::waiting(&counts.pending(), subject));
        let (.., step) = minutes;
        let (points, total) = read::series(&disk, waiting.unwrap_or_default(), others, subject, minutes)?;
        Ok(UsageReport::new(step, covers, total, points))
    }

    /// Returns the keys that were used most since a time, the busiest first, and at most `limit`: by the hour for times within
    /// the last 14 days, and by the day for earlier ones, within 400 days. In a cluster it knows the uses on this node alone.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a time that is later than now, or earlier than that; [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn most_used(&self, since: DateTime<Utc>, limit: usize) -> Result<Vec<KeyUse>, StoreError> {
        let inner = self.inner();
        let now = inner.engine.time.now_ms();
        let age = TimeDelta::milliseconds(now.saturating_sub(since.timestamp_millis()));
        let step = if age <= Step::Hour.kept() { Step::Hour } else { Step::Day };
        let minutes = Usage::of_store().since(since).step(step).minutes(now)?;
        let disk = inner.engine.log.open()?;
        let counts = {
            let _writing = inner.hold_usage();
            let waiting = inner.engine.counts.as_ref().map(|counts| read::waiting_by_key(&counts.pending(), minutes));
            read::by_key(&disk, waiting.unwrap_or_default(), minutes)?
        };
        let mut keys: Vec<_> = counts.into_iter().collect();
        keys.sort_unstable_by(|(one, a), (other, b)| (b.uses, b.total(), one).cmp(&(a.uses, a.total(), other)));
        let mut busiest = Vec::new();
        for (id, counts) in keys {
            if busiest.len() == limit {
                break;
            }
            // A deleted key has no rows soon.
            let Some((record, _)) = disk.record(id)? else { continue };
            let refusals = read::by_code(&counts.refusals);
            let (tenant, owner, name) = (record.tenant, record.owner, record.name);
            busiest.push(KeyUse { key: KeyId::from_u128(id), tenant, owner, name, uses: counts.uses, refusals });
        }
        Ok(busiest)
    }

    /// What counts cover that a node has for itself.
    pub(crate) fn covers_of_one(&self) -> Covers {
        if self.inner().engine.is_alone() { Covers::Store } else { Covers::ThisNode }
    }

    /// Whether this store [counts uses](crate::KeyStoreBuilder::count_use).
    pub(crate) fn is_counting(&self) -> bool {
        self.inner().engine.counts.is_some()
    }
}

impl Inner {
    /// Waits until no counts are on their way to the disk, and collects those of all threads.
    fn hold_usage(&self) -> MutexGuard<'_, ()> {
        let writing = lock(&self.writing_usage);
        self.collect_uses();
        writing
    }

    /// Collects the counts of all threads. Returns whether they are so many that they belong on the disk.
    pub(super) fn collect_uses(&self) -> bool {
        let counts = self.engine.counts.as_ref();
        counts.is_some_and(|counts| counts.collect(self.engine.refusals.unknown(), self.engine.time.now_ms()))
    }

    /// How often a key was used; at most two seconds of that are missing.
    pub(in crate::store) fn uses_total(&self, disk: &Disk, key: u128) -> Result<u64, StoreError> {
        let Some(counts) = &self.engine.counts else { return Ok(0) };
        let _moving = lock(&self.moving_usage);
        let waiting = counts.pending().uses_of(key);
        Ok(read::stored_total(disk, UsageSubject::key(key))?.saturating_add(waiting))
    }

    /// Collects the counts of all threads, and writes them if it is time, if they are many, or if the last time was not enough
    /// for all of them.
    pub(crate) fn keep_usage(&self, is_time: bool) {
        let is_behind = self.usage_behind.load(Ordering::Relaxed);
        if (self.collect_uses() || is_time || is_behind)
            && let Ok(disk) = self.engine.log.open()
            // Somebody reads; the next second will do.
            && let Ok(_writing) = self.writing_usage.try_lock()
        {
            self.write_some_usage(&disk, Some(MAX_TIME));
        }
    }

    /// Writes everything that was counted, for the last time.
    pub(in crate::store) fn write_usage_to(&self, disk: &Disk) {
        let _writing = lock(&self.writing_usage);
        self.write_some_usage(disk, None);
    }

    /// Writes what was counted to the disk, for so long; `None` for the last time, at which all is written. If the disk has no
    /// room the counts wait, and are dropped once they are many, or at the last time.
    fn write_some_usage(&self, disk: &Disk, time: Option<Duration>) {
        let has_room = has_room(disk, MIN_FREE);
        if let Some(counts) = &self.engine.counts {
            let is_many = self.collect_uses();
            if has_room {
                if let Err(error) = self.try_write_usage(counts, disk, time) {
                    tracing::warn!(%error, "counts of uses are not written");
                }
            } else if is_many || time.is_none() {
                let dropped = counts.pending().take().into_values().map(|minute| total(&minute)).sum();
                counts.drop_counts(dropped);
                if dropped > 0 {
                    tracing::warn!(dropped, "the disk is full: these uses are in no count");
                }
            }
        }
        // What waits of a deleted key is part of the sums of its owner, and is written before.
        if has_room && !self.usage_behind.load(Ordering::Relaxed) {
            self.forget_usage(disk, time);
        }
    }

    /// Deletes the rows of keys that were deleted, also if the store does not count any more.
    fn forget_usage(&self, disk: &Disk, time: Option<Duration>) {
        let (now, begun) = (minute(self.engine.time.now_ms()), Instant::now());
        let mut forgotten = self.engine.take_forgotten();
        while let Some(key) = forgotten.pop() {
            if let Err(error) = forget(disk, now, key) {
                tracing::warn!(%error, "counts of uses of deleted keys are not deleted");
                forgotten.push(key);
                break;
            }
            if time.is_some_and(|time| begun.elapsed() > time) {
                break;
            }
        }
        self.engine.forget_later(forgotten);
    }

    fn try_write_usage(&self, counts: &UseCounter, disk: &Disk, time: Option<Duration>) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut writer = UsageWriter::new(disk, &counts.pending());
        let is_over = || time.is_some_and(|time| begun.elapsed() > time);
        let mut is_behind = false;
        let written = loop {
            let moved = {
                // A reader of the sum of a key waits for this part, and for no sync.
                let _moving = lock(&self.moving_usage);
                let Some((minute, part)) = counts.pending().take_some(PART) else { break Ok(()) };
                let count = total(&part);
                writer.add(minute, part).inspect_err(|_| counts.drop_counts(count))
            };
            if let Err(error) = moved.and_then(|()| writer.throttle()) {
                break Err(error);
            }
            if is_over() {
                is_behind = true;
                break Ok(());
            }
        };
        self.usage_behind.store(is_behind, Ordering::Relaxed);
        // The sums of what was written belong on the disk, whatever happened to the rest.
        #[cfg(feature = "cluster")]
        let note = |minute, subject| self.note_counted(minute, subject);
        #[cfg(not(feature = "cluster"))]
        let note = |_, _| {};
        written.and(writer.finish(note))?;
        if is_behind {
            return Ok(());
        }
        let [floor, now] = [self.engine.time.floor_ms(), self.engine.time.now_ms()].map(minute);
        expire(disk, [floor, now], self.usage_disk)
    }
}

/// Everything that was counted in a minute.
fn total(minute: &MinuteCounts) -> u64 {
    let keys = minute.uses.values().chain(minute.refusals.values()).map(|count| count.count);
    keys.chain(minute.other_refusals.values().copied()).sum::<u64>() + minute.other_uses
}

/// Whether the disk has so many bytes left for what is no change.
pub(in crate::store) fn has_room(disk: &Disk, min_free: u64) -> bool {
    #[cfg(test)]
    if disk.faults.write.load(std::sync::atomic::Ordering::SeqCst) {
        return false;
    }
    disk.is_temporary() || free_bytes(&disk.directory).is_none_or(|free| free >= min_free)
}
