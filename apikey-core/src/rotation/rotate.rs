//! Takes a key through the steps of its rotation.

use crate::base::panics::catch_panic;
use crate::base::store_time::Working;
use crate::base::time::from_ms;
use crate::key::error::{Conflict, StoreError};
use crate::key::record::Record;
use crate::key::rotation::pending::hindrance;
use crate::key::rotation::policy::due;
use crate::token::key_id::KeyId;

use crate::rotation::plan::{Plan, is_pending};
use crate::rotation::report::{FailedDelivery, RunReport, SkippedRotation};
use crate::rotation::sink::{Delivery, SinkError, SinkState};
use crate::rotation::step::{Current, Delivered, Due, Pending, Step, step};
use crate::rotation::worker::Worker;

/// The reason for which the sink holds a secret that is no longer valid.
const REPLACED: &str = "it was replaced while it was delivered: hand the current secret to the sink";

impl Worker {
    /// Rotates a key that is due, and delivers its pending secret. Returns the time of the next step; `None` if nothing
    /// is due before the key changes.
    pub(super) fn rotate(
        &self,
        plan: &mut Plan,
        mut record: Record,
        at: Working,
        report: &mut RunReport,
    ) -> Result<Option<i64>, StoreError> {
        let (id, now, key) = (record.id, at.now, KeyId::from_u128(record.id));
        let mut pending = match (is_pending(&record, now), plan.secret(id)) {
            (false, _) => Pending::None,
            (true, Some(_)) => Pending::Known(None),
            (true, None) => Pending::Lost(None),
        };
        if pending == Pending::None {
            plan.forget(id);
        }
        if let Some(next) = plan.paused_until(id, now) {
            return Ok(Some(next));
        }
        let due = match due(&record) {
            None => Due::Never,
            Some(time) if now < time => Due::At(time),
            Some(_) => Due::Now,
        };
        let is_idle = || self.inner.engine.is_idle(&record, now).then_some(Conflict::Idle);
        let conflict = hindrance(&record, now).or_else(is_idle);
        let mut reason = String::new();
        loop {
            match step(pending, due, conflict.is_some()) {
                Step::Idle => return Ok(None),
                Step::Wait(time) => return Ok(Some(time)),
                Step::Skip => return Ok(conflict.and_then(|conflict| skip(key, &conflict, report))),
                Step::Ask => {
                    let answer = self.ask(&record, now).unwrap_or_else(|error| {
                        reason = error.to_string();
                        Current::Failed
                    });
                    pending = Pending::Lost(Some(answer));
                }
                Step::Stage { keep_newest } => match self.inner.stage_secret(key, keep_newest, at, &self.origin) {
                    Ok(Some((token, after))) => {
                        report.rotated.push(key);
                        plan.keep_secret(id, after.version, token);
                        (record, pending) = (after, Pending::Known(None));
                    }
                    // Somebody has changed or deleted the key since its record was read.
                    Ok(None) | Err(StoreError::NotFound(_)) => return Ok(None),
                    Err(StoreError::Conflict(conflict)) => return Ok(skip(key, &conflict, report)),
                    Err(error) => return Err(error),
                },
                Step::Deliver => {
                    let delivered = match self.deliver(plan, &record)? {
                        Ok(()) => Delivered::Accepted,
                        Err(text) => {
                            reason = text;
                            Delivered::Failed
                        }
                    };
                    pending = Pending::Known(Some(delivered));
                }
                Step::Promote => {
                    let version = match pending {
                        Pending::Lost(Some(Current::Has(version))) => Some(version),
                        _ => plan.secret(id).map(|(version, _)| version),
                    };
                    // After an error of the disk the token is still known, and the sink gets it once more.
                    plan.succeeded(id);
                    version.map_or(Ok(()), |version| self.promote(key, version, at, report))?;
                    plan.forget(id);
                    return Ok(None);
                }
                Step::Retry => return Ok(Some(plan.failed(key, reason, now, report))),
            }
        }
    }

    /// Hands the pending secret to the sink. The inner error is the sink's, without the token.
    fn deliver(&self, plan: &Plan, record: &Record) -> Result<Result<(), String>, StoreError> {
        let info = self.inner.info_of(record.clone())?;
        let Some((_, token)) = plan.secret(record.id) else { return Ok(Err("its token is not in memory".into())) };
        let delivery = Delivery::new(&info, token);
        let delivered =
            catch_panic(|| self.sink.deliver(&delivery)).unwrap_or_else(|panic| Err(SinkError::panicked(panic)));
        Ok(delivered.map_err(|error| error.to_string().replace(token.expose_secret(), "[REDACTED]")))
    }

    /// Asks the sink which secret it holds.
    fn ask(&self, record: &Record, now: i64) -> Result<Current, SinkError> {
        let info = self.inner.info_of(record.clone()).map_err(SinkError::other)?;
        let state = catch_panic(|| self.sink.current(&info)).unwrap_or_else(|panic| Err(SinkError::panicked(panic)))?;
        Ok(match state {
            SinkState::Unknown => Current::CannotSay,
            SinkState::Nothing => Current::Lacks,
            SinkState::Token(token) => {
                let version = self.inner.version_of(record, token.expose_secret(), now);
                let waits = record.secrets.iter().any(|secret| Some(secret.version) == version && secret.is_pending());
                version.filter(|_| waits).map_or(Current::Lacks, Current::Has)
            }
        })
    }

    /// Makes a delivered secret the current one. If it has ended on its way, the sink holds a secret that is no longer
    /// valid, and the report says so.
    fn promote(&self, key: KeyId, version: u32, at: Working, report: &mut RunReport) -> Result<(), StoreError> {
        let now = at.now;
        let promoted = match self.inner.promote_secret(key, version, at, &self.origin) {
            Err(StoreError::NotFound(_)) => false,
            promoted => promoted?,
        };
        // One that is not pending any more may have been used already.
        let record = if promoted { None } else { self.record(key.as_u128())? };
        let is_live = |record: &Record| record.live(now).any(|secret| secret.version == version);
        if promoted || record.as_ref().is_some_and(is_live) {
            report.delivered.push(key);
            return Ok(());
        }
        let reason = REPLACED.to_owned();
        match record.as_ref().and_then(due) {
            Some(due) => report.failed.push(FailedDelivery { key, reason, retry_at: from_ms(due.max(now)) }),
            None => report.skipped.push(SkippedRotation { key, reason }),
        }
        Ok(())
    }
}

/// Reports what blocks a rotation; returns when that ends, if it is known.
fn skip(key: KeyId, conflict: &Conflict, report: &mut RunReport) -> Option<i64> {
    report.skipped.push(SkippedRotation { key, reason: conflict.to_string() });
    match conflict {
        Conflict::Overlapping { until: Some(until) } => Some(until.timestamp_millis()),
        _ => None,
    }
}
