//! The times at which a rotator must act on each key, in memory.
//!
//! The first run scans all records and lists the times; from then on the change feed names the keys that have changed.
//! An entry that is out of date costs one read of its record.

use std::collections::{BTreeSet, HashMap};

use crate::base::time::from_ms;
use crate::key::lifetime::WarnedOf;
use crate::key::record::{Record, SecretEnd, StoredSecret};
use crate::key::rotation::policy::due;
use crate::rotation::report::{FailedDelivery, RunReport};
use crate::token::api_key::ApiKey;
use crate::token::key_id::KeyId;

/// The wait after the first failed attempt; it doubles with each further one, up to the maximum.
const FIRST_RETRY_MS: i64 = 1000;
const MAX_RETRY_MS: i64 = 15 * 60 * 1000;

#[derive(Default)]
pub(super) struct Plan {
    /// The times at which a key needs a rotation, a delivery or a warning.
    pub(super) times: BTreeSet<(i64, u128)>,
    /// Ends of superseded secrets.
    pub(super) overlaps: BTreeSet<(i64, u128)>,
    /// Keys with a pending secret whose token this process holds, or for which an attempt has failed.
    attempts: HashMap<u128, Attempts>,
    /// Warnings that are being emitted: the end of the key and the threshold in milliseconds before it.
    pub(super) warned: HashMap<WarnedOf, (i64, i64)>,
}

#[derive(Default)]
struct Attempts {
    /// The version and token of the pending secret; `None` after a restart.
    secret: Option<(u32, ApiKey)>,
    failures: u32,
    next: i64,
}

impl Plan {
    /// Creates an empty plan after the store's time was set back: each attempt is due at once.
    pub(super) fn restarted(other: Option<Self>, now: i64) -> Self {
        let (mut attempts, warned) = other.map(|plan| (plan.attempts, plan.warned)).unwrap_or_default();
        attempts.values_mut().for_each(|attempts| attempts.next = now);
        Self { attempts, warned, ..Self::default() }
    }

    /// Lists the times of a record. `warning` is when its first warning is due.
    pub(super) fn add(&mut self, record: &Record, warning: Option<i64>, now: i64) {
        for secret in &record.secrets {
            if let SecretEnd::At(end) = secret.end {
                self.overlaps.insert((end, record.id));
            }
        }
        let pending = record.live(now).rfind(|secret| secret.is_pending());
        let is_current = |attempts: &Attempts| match (&attempts.secret, pending) {
            (_, None) => false,
            (Some((version, _)), Some(pending)) => *version == pending.version,
            (None, Some(_)) => true,
        };
        // The pending secret was used, or somebody has rotated the key.
        if self.attempts.get(&record.id).is_some_and(|attempts| !is_current(attempts)) {
            self.forget(record.id);
        }
        if record.revoked.is_some() {
            return;
        }
        let rotation = match pending {
            Some(_) => Some(self.attempts.get(&record.id).map_or(now, |attempts| attempts.next)),
            None => due(record),
        };
        self.times.extend(rotation.into_iter().chain(warning).map(|at| (at, record.id)));
    }

    /// The first time that is listed.
    pub(super) fn first(&self) -> Option<i64> {
        [&self.times, &self.overlaps].into_iter().filter_map(|list| list.first()).map(|(at, _)| *at).min()
    }

    /// When the next attempt for a key may be made, if it has to wait.
    pub(super) fn paused_until(&self, id: u128, now: i64) -> Option<i64> {
        self.attempts.get(&id).map(|attempts| attempts.next).filter(|next| now < *next)
    }

    /// The version and token of a key's pending secret.
    pub(super) fn secret(&self, id: u128) -> Option<(u32, &ApiKey)> {
        self.attempts.get(&id)?.secret.as_ref().map(|(version, token)| (*version, token))
    }

    /// Keeps the token of a pending secret until it is delivered.
    pub(super) fn keep_secret(&mut self, id: u128, version: u32, token: ApiKey) {
        self.attempts.entry(id).or_default().secret = Some((version, token));
    }

    /// The sink took the pending secret: failures before do not count any more.
    pub(super) fn succeeded(&mut self, id: u128) {
        if let Some(attempts) = self.attempts.get_mut(&id) {
            (attempts.failures, attempts.next) = (0, 0);
        }
    }

    /// Counts and reports a failed attempt; returns the time of the next one.
    pub(super) fn failed(&mut self, key: KeyId, reason: String, now: i64, report: &mut RunReport) -> i64 {
        let attempts = self.attempts.entry(key.as_u128()).or_default();
        let wait = FIRST_RETRY_MS.saturating_mul(1 << attempts.failures.min(20)).min(MAX_RETRY_MS);
        attempts.failures = attempts.failures.saturating_add(1);
        attempts.next = now.saturating_add(wait);
        report.failed.push(FailedDelivery { key, reason, retry_at: from_ms(attempts.next) });
        attempts.next
    }

    /// Forgets the pending secret of a key, and its failed attempts.
    pub(super) fn forget(&mut self, id: u128) {
        self.attempts.remove(&id);
    }
}

/// Whether a record has a pending secret.
pub(super) fn is_pending(record: &Record, now: i64) -> bool {
    record.live(now).any(StoredSecret::is_pending)
}
