//! One run of a rotator: what is due is done.
//!
//! What is due is found without looking at every key. A list in memory, ordered by time, names the keys; it is made by one
//! scan in the first run, and the writer says which keys have changed since. An entry that is out of date costs a look at
//! its key, and no more.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use chrono::TimeDelta;

use crate::base::codec;
use crate::base::lock::lock;
use crate::base::panics::catch_panic;
use crate::base::store_time::Working;
use crate::base::time::from_ms;
use crate::key::error::{Conflict, StoreError};
use crate::key::pending::hindrance;
use crate::key::record::{Record, SecretEnd, StoredSecret};
use crate::key::rotation_policy::due;
use crate::rotation::sink::{Delivery, SecretSink, SinkError, SinkState};
use crate::token::api_key::ApiKey;
use crate::token::key_id::KeyId;

use crate::commit::change_feed::{Watch, is_of_rotator};
use crate::rotation::report::{ExpiryWarning, FailedDelivery, RunReport, SkippedRotation};
use crate::store::inner::Inner;

/// Keys erased in one transaction.
const CHUNK: usize = 1000;
/// The wait after the first failed delivery; it doubles with each, up to the longest.
const FIRST_RETRY_MS: i64 = 1000;
const LONGEST_RETRY_MS: i64 = 15 * 60 * 1000;

pub(crate) type OnWarning = Box<dyn Fn(&ExpiryWarning) + Send + Sync>;

pub(crate) struct Worker {
    pub(crate) inner: Arc<Inner>,
    pub(crate) sink: Box<dyn SecretSink>,
    /// Milliseconds before the end, shortest first.
    pub(crate) thresholds: Vec<i64>,
    pub(crate) on_warning: Option<OnWarning>,
    pub(crate) watch: Arc<Watch>,
    /// With the time when it was made.
    pub(crate) plan: Mutex<Option<(Working, Plan)>>,
    /// Set when the store is being closed, which waits for one delivery and not for all that are due.
    pub(crate) ending: Arc<AtomicBool>,
}

/// What is to be done when.
#[derive(Default)]
pub(crate) struct Plan {
    /// A time at which to look at a key.
    times: BTreeSet<(i64, u128)>,
    /// Ends of superseded secrets.
    overlaps: BTreeSet<(i64, u128)>,
    /// Secrets that are to be delivered, of which this process knows the token, and failed attempts to ask or deliver.
    deliveries: HashMap<u128, Attempts>,
}

#[derive(Default)]
struct Attempts {
    /// The secret and its version; `None` after a restart.
    secret: Option<(u32, ApiKey)>,
    failures: u32,
    next: i64,
}

impl Worker {
    pub(crate) fn run(&self, now: i64) -> Result<RunReport, StoreError> {
        let mut plan = lock(&self.plan);
        // First uses that wait to be written come first, so that the same calls do the same. And a store that was closed
        // says so, also when nothing is due.
        self.inner.engine.change(|_, _| Ok(Vec::new()))?;
        if !self.inner.engine.changes.watch(&self.watch) {
            return Err(StoreError::Conflict(Conflict::Rotator));
        }
        let at = self.inner.engine.time.working(now);
        let plan = match &mut *plan {
            Some((made, plan)) if self.inner.engine.time.holds(*made) => plan,
            // What changes while it is scanned is noted already. What was planned by a time that was given up is to be
            // done at another.
            other => {
                let mut deliveries = other.take().map(|(_, plan)| plan.deliveries).unwrap_or_default();
                deliveries.values_mut().for_each(|attempts| attempts.next = now);
                &mut other.insert((at, self.scan(deliveries, now)?)).1
            }
        };
        self.look_at_changes(plan, now)?;
        let mut report = RunReport::default();
        self.end_overlaps(plan, at, &mut report)?;
        let due: Vec<(i64, u128)> = plan.times.range(..=(now, u128::MAX)).copied().collect();
        for entry in due {
            if self.watch.is_ended() || self.ending.load(Ordering::Relaxed) || !self.inner.engine.time.holds(at) {
                break;
            }
            // It stays in the list until it is done: after an error the next run has it again.
            self.attend(plan, entry, at, &mut report)?;
        }
        // The overlaps that began just now.
        self.look_at_changes(plan, now)?;
        let next = [&plan.times, &plan.overlaps].into_iter().filter_map(|list| list.first()).map(|(at, _)| *at).min();
        report.next_due = next.map(from_ms);
        Ok(report)
    }

    fn scan(&self, deliveries: HashMap<u128, Attempts>, now: i64) -> Result<Plan, StoreError> {
        let mut plan = Plan { deliveries, ..Plan::default() };
        let disk = self.inner.engine.log.open()?;
        disk.forget_warned()?;
        for item in disk.records(None) {
            let record: Record = codec::decode(&item?.1)?;
            if is_of_rotator(&record) {
                self.plan_for(&mut plan, &record, now);
            }
        }
        Ok(plan)
    }

    fn record(&self, id: u128) -> Result<Option<Record>, StoreError> {
        let disk = self.inner.engine.log.open()?;
        Ok(disk.record(id)?.map(|(record, _)| record))
    }

    fn look_at_changes(&self, plan: &mut Plan, now: i64) -> Result<(), StoreError> {
        let changed = self.watch.take();
        for id in &changed {
            match self.record(*id) {
                Ok(Some(record)) => self.plan_for(plan, &record, now),
                Ok(None) => drop(plan.deliveries.remove(id)),
                Err(error) => {
                    self.watch.put_back(changed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Notes when to look at a key.
    fn plan_for(&self, plan: &mut Plan, record: &Record, now: i64) {
        for secret in &record.secrets {
            if let SecretEnd::At(end) = secret.end {
                plan.overlaps.insert((end, record.id));
            }
        }
        let pending = record.live(now).rfind(|secret| secret.is_pending());
        let is_of = |attempts: &Attempts| match (&attempts.secret, pending) {
            (_, None) => false,
            (Some((version, _)), Some(pending)) => *version == pending.version,
            (None, Some(_)) => true,
        };
        // It was used, or replaced by hand.
        if plan.deliveries.get(&record.id).is_some_and(|attempts| !is_of(attempts)) {
            plan.deliveries.remove(&record.id);
        }
        if record.revoked.is_some() {
            return;
        }
        let rotation = match pending {
            Some(_) => Some(plan.deliveries.get(&record.id).map_or(now, |attempts| attempts.next)),
            None => due(record),
        };
        // Which warnings were told shows when it is looked at.
        let warning = record.expires_at.filter(|end| now < *end).zip(self.thresholds.last());
        let warning = warning.map(|(end, before)| end.saturating_sub(*before));
        plan.times.extend(rotation.into_iter().chain(warning).map(|at| (at, record.id)));
    }

    fn end_overlaps(&self, plan: &mut Plan, at: Working, report: &mut RunReport) -> Result<(), StoreError> {
        let over: Vec<(i64, u128)> = plan.overlaps.range(..=(at.now, u128::MAX)).copied().collect();
        let ids: BTreeSet<u128> = over.iter().map(|(_, id)| *id).collect();
        let ids: Vec<u128> = ids.into_iter().collect();
        for chunk in ids.chunks(CHUNK) {
            self.inner.erase_ended_of(chunk, at)?;
        }
        for entry in &over {
            plan.overlaps.remove(entry);
        }
        report.overlaps_ended.extend(ids.into_iter().map(KeyId::from_u128));
        Ok(())
    }

    fn attend(
        &self,
        plan: &mut Plan,
        entry: (i64, u128),
        at: Working,
        report: &mut RunReport,
    ) -> Result<(), StoreError> {
        let id = entry.1;
        let mut next = Vec::new();
        match self.record(id)? {
            Some(record) => {
                next.extend(self.warn(&record, at.now, report)?);
                next.extend(self.rotate(plan, record, at, report)?);
            }
            None => drop(plan.deliveries.remove(&id)),
        }
        plan.times.remove(&entry);
        plan.times.extend(next.into_iter().map(|at| (at, id)));
        Ok(())
    }

    /// Tells the nearest threshold that was passed, once; when the next one is.
    fn warn(&self, record: &Record, now: i64, report: &mut RunReport) -> Result<Option<i64>, StoreError> {
        let Some(end) = record.expires_at.filter(|end| now < *end && record.revoked.is_none()) else { return Ok(None) };
        let passed = self.thresholds.iter().copied().find(|before| end.saturating_sub(*before) <= now);
        // Not held while somebody else's code runs, which may close the store.
        let told =
            self.inner.engine.log.open()?.warned(record.id)?.filter(|(of, _)| *of == end).map(|(_, before)| before);
        if let Some(before) = passed.filter(|before| told.is_none_or(|told| *before < told)) {
            let warning = ExpiryWarning {
                key: KeyId::from_u128(record.id),
                owner: record.owner.clone(),
                name: record.name.clone(),
                expires_at: from_ms(end),
                before: TimeDelta::try_milliseconds(before).unwrap_or(TimeDelta::MAX),
            };
            if let Some(told) = &self.on_warning
                && let Err(panic) = catch_panic(|| told(&warning))
            {
                tracing::error!(panic, "what was to be told of a key that will expire panicked");
            }
            // After it was told: a crash in between tells it twice, and not never.
            self.inner.engine.log.open()?.set_warned(record.id, end, before)?;
            report.warned.push(warning);
        }
        let nearer = passed.or(told).map_or(i64::MAX, |passed| passed.min(told.unwrap_or(i64::MAX)));
        let next = self.thresholds.iter().rev().find(|before| **before < nearer);
        Ok(next.map(|before| end.saturating_sub(*before)))
    }

    /// Rotates a key that is due, and delivers what waits; when to look again.
    fn rotate(
        &self,
        plan: &mut Plan,
        record: Record,
        at: Working,
        report: &mut RunReport,
    ) -> Result<Option<i64>, StoreError> {
        let now = at.now;
        let key = KeyId::from_u128(record.id);
        let pending = record.live(now).any(StoredSecret::is_pending);
        if !pending {
            plan.deliveries.remove(&record.id);
            match due(&record) {
                Some(due) if due <= now => {}
                later => return Ok(later),
            }
        }
        if let Some(next) = plan.deliveries.get(&record.id).map(|attempts| attempts.next).filter(|next| now < *next) {
            return Ok(Some(next));
        }
        if let Some(conflict) = hindrance(&record, now) {
            // When it is enabled, or its secret used, the writer says so.
            return Ok(skip(key, &conflict, report));
        }
        let made = match (pending, plan.deliveries.get_mut(&record.id).and_then(|attempts| attempts.secret.take())) {
            // The same again: the attempt that failed may have come through.
            (true, Some((version, token))) => Ok(Some((version, token, record))),
            (true, None) => match self.asked(&record, now) {
                Ok(Answer::Delivered(version)) => {
                    self.arrived(key, version, at, report)?;
                    plan.deliveries.remove(&record.id);
                    return Ok(None);
                }
                Ok(Answer::NotDelivered) => self.made(key, false, at, report),
                Ok(Answer::Unknown) => self.made(key, true, at, report),
                Err(error) => {
                    return Ok(Some(plan.failed(key, None, &error.to_string(), now, report)));
                }
            },
            (false, _) => self.made(key, false, at, report),
        };
        let (version, token, record) = match made {
            Ok(Some(made)) => made,
            // Changed in this very moment.
            Ok(None) | Err(StoreError::NotFound(_)) => return Ok(None),
            Err(StoreError::Conflict(conflict)) => return Ok(skip(key, &conflict, report)),
            Err(error) => return Err(error),
        };
        let info = self.inner.info_of(record)?;
        let delivery = Delivery::new(&info, &token);
        let delivered =
            catch_panic(|| self.sink.deliver(&delivery)).unwrap_or_else(|panic| Err(SinkError::panicked(panic)));
        if let Err(error) = delivered {
            let reason = error.to_string().replace(token.expose_secret(), "[REDACTED]");
            return Ok(Some(plan.failed(key, Some((version, token)), &reason, now, report)));
        }
        if let Err(error) = self.arrived(key, version, at, report) {
            // It is with the sink, which need not get it again; but a disk that refuses comes first.
            plan.deliveries.insert(key.as_u128(), Attempts { secret: Some((version, token)), ..Attempts::default() });
            return Err(error);
        }
        plan.deliveries.remove(&key.as_u128());
        // The next time comes with the change that was just made.
        Ok(None)
    }

    /// The sink has a secret. It may have ended while it was on its way, and then what the sink holds lets nobody in.
    fn arrived(&self, key: KeyId, version: u32, at: Working, report: &mut RunReport) -> Result<(), StoreError> {
        let now = at.now;
        let promoted = match self.inner.promote_secret(key, version, at) {
            Err(StoreError::NotFound(_)) => false,
            promoted => promoted?,
        };
        // Where it no longer waited, it may have been used already.
        let record = if promoted { None } else { self.record(key.as_u128())? };
        let is_live = |record: &Record| record.live(now).any(|secret| secret.version == version);
        if promoted || record.as_ref().is_some_and(is_live) {
            report.delivered.push(key);
            return Ok(());
        }
        const REASON: &str = "it was replaced while it was delivered: hand the current secret to the sink";
        let reason = REASON.to_owned();
        match record.as_ref().and_then(due) {
            Some(due) => report.failed.push(FailedDelivery { key, reason, retry_at: from_ms(due.max(now)) }),
            None => report.skipped.push(SkippedRotation { key, reason }),
        }
        Ok(())
    }

    fn made(
        &self,
        key: KeyId,
        doubtful: bool,
        at: Working,
        report: &mut RunReport,
    ) -> Result<Option<(u32, ApiKey, Record)>, StoreError> {
        let Some((token, record)) = self.inner.stage_secret(key, doubtful, at)? else { return Ok(None) };
        report.rotated.push(key);
        Ok(Some((record.version, token, record)))
    }

    /// What the sink holds, where this process does not know what became of a delivery.
    fn asked(&self, record: &Record, now: i64) -> Result<Answer, SinkError> {
        let info = self.inner.info_of(record.clone()).map_err(SinkError::other)?;
        let held = catch_panic(|| self.sink.current(&info)).unwrap_or_else(|panic| Err(SinkError::panicked(panic)))?;
        Ok(match held {
            SinkState::Unknown => Answer::Unknown,
            SinkState::Nothing => Answer::NotDelivered,
            SinkState::Token(token) => {
                let version = self.inner.version_of(record, token.expose_secret(), now);
                let waits = record.secrets.iter().find(|secret| Some(secret.version) == version && secret.is_pending());
                waits.map_or(Answer::NotDelivered, |secret| Answer::Delivered(secret.version))
            }
        })
    }
}

enum Answer {
    Delivered(u32),
    NotDelivered,
    Unknown,
}

impl Plan {
    /// Notes a failed attempt; when the next one is.
    fn failed(
        &mut self,
        key: KeyId,
        secret: Option<(u32, ApiKey)>,
        reason: &str,
        now: i64,
        report: &mut RunReport,
    ) -> i64 {
        let attempts = self.deliveries.entry(key.as_u128()).or_default();
        let wait = FIRST_RETRY_MS.saturating_mul(1 << attempts.failures.min(20)).min(LONGEST_RETRY_MS);
        attempts.failures = attempts.failures.saturating_add(1);
        attempts.next = now.saturating_add(wait);
        attempts.secret = secret;
        let retry_at = from_ms(attempts.next);
        report.failed.push(FailedDelivery { key, reason: reason.to_owned(), retry_at });
        attempts.next
    }
}

/// Reports it; when to look again, if that is known.
fn skip(key: KeyId, conflict: &Conflict, report: &mut RunReport) -> Option<i64> {
    report.skipped.push(SkippedRotation { key, reason: conflict.to_string() });
    match conflict {
        Conflict::Overlapping { until: Some(until) } => Some(until.timestamp_millis()),
        _ => None,
    }
}
