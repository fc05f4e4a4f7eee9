//! Warnings before keys expire.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use crate::base::panics::catch_panic;
use crate::base::time::from_ms;
use crate::key::error::StoreError;
use crate::key::record::Record;
use crate::token::key_id::KeyId;

use crate::rotation::plan::Plan;
use crate::rotation::report::{ExpiryWarning, RunReport};
use crate::rotation::worker::Worker;

/// A warning that a run has found, and emits when it has unlocked the plan.
pub(super) struct DueWarning {
    id: u128,
    /// The end of the key, and the threshold before it, in milliseconds.
    end: i64,
    before: i64,
    warning: ExpiryWarning,
}

impl Worker {
    /// Adds a warning for the shortest threshold that was passed, unless the store has noted one; returns the time of
    /// the next threshold.
    pub(super) fn find_warning(
        &self,
        plan: &mut Plan,
        record: &Record,
        now: i64,
        found: &mut Vec<DueWarning>,
    ) -> Result<Option<i64>, StoreError> {
        let Some(end) = record.expires_at.filter(|end| now < *end && record.revoked.is_none()) else { return Ok(None) };
        let passed = self.thresholds.iter().copied().find(|before| end.saturating_sub(*before) <= now);
        let noted = self.inner.engine.log.open()?.warned(record.id)?;
        let noted = [noted, plan.warned.get(&record.id).copied()];
        let noted = noted.into_iter().flatten().filter(|(of_end, _)| *of_end == end).map(|(_, before)| before).min();
        if let Some(before) = passed.filter(|before| noted.is_none_or(|noted| *before < noted)) {
            let warning = ExpiryWarning {
                key: KeyId::from_u128(record.id),
                owner: record.owner.clone(),
                name: record.name.clone(),
                expires_at: from_ms(end),
                before: TimeDelta::try_milliseconds(before).unwrap_or(TimeDelta::MAX),
            };
            plan.warned.insert(record.id, (end, before));
            found.push(DueWarning { id: record.id, end, before, warning });
        }
        let nearest = passed.into_iter().chain(noted).min().unwrap_or(i64::MAX);
        let next = self.thresholds.iter().rev().find(|before| **before < nearest);
        Ok(next.map(|before| end.saturating_sub(*before)))
    }

    /// Emits the warnings of a run, after it has unlocked the plan: the closure may call the rotator, or close the
    /// store. After an error, or when the rotator ends, the rest is due again in the next run.
    pub(super) fn emit(&self, found: Vec<DueWarning>, now: i64, report: &mut RunReport) -> Result<(), StoreError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut outcome = Ok(());
        let mut emitted = 0;
        for due in &found {
            if self.watch.is_ended() || self.ending.load(Ordering::Relaxed) {
                break;
            }
            outcome = self.emit_one(due);
            if outcome.is_err() {
                break;
            }
            report.warned.push(due.warning.clone());
            emitted += 1;
        }
        if let Some((_, plan)) = &mut *self.lock_plan()? {
            for (index, due) in found.iter().enumerate() {
                if plan.warned.get(&due.id) == Some(&(due.end, due.before)) {
                    plan.warned.remove(&due.id);
                }
                if index >= emitted {
                    plan.times.insert((now, due.id));
                }
            }
            report.next_due = plan.first().map(from_ms);
        }
        outcome
    }

    fn emit_one(&self, due: &DueWarning) -> Result<(), StoreError> {
        // No handle of the database is held meanwhile: the closure may close the store.
        if let Some(emit) = &self.on_warning
            && let Err(panic) = catch_panic(|| emit(&due.warning))
        {
            tracing::error!(panic, "the closure for expiry warnings panicked");
        }
        // Noted afterwards: a crash in between repeats the warning and never loses it.
        self.inner.engine.log.open()?.set_warned(due.id, due.end, due.before)
    }
}
