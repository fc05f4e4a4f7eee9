//! Warnings before keys expire, and before they are idle.

use std::sync::atomic::Ordering;

use chrono::TimeDelta;

use crate::base::panics::catch_panic;
use crate::base::time::{earlier, from_ms};
use crate::key::error::StoreError;
use crate::key::lifetime::WarnedOf;
use crate::key::record::Record;
use crate::token::key_id::KeyId;

use crate::rotation::plan::Plan;
use crate::rotation::report::{ExpiryWarning, RunReport};
use crate::rotation::worker::Worker;

/// An end of a key that is to come.
#[derive(Clone, Copy)]
struct End {
    of: WarnedOf,
    at: i64,
    /// The thresholds that count are shorter than this: every use would pass the others again.
    within: i64,
}

/// A warning that a run has found, and emits when it has unlocked the plan.
pub(super) struct DueWarning {
    of: WarnedOf,
    /// The end of the key, and the threshold before it, in milliseconds.
    end: i64,
    before: i64,
    warning: ExpiryWarning,
}

impl Worker {
    /// The ends of a key that are to come. Uses move the second, so it is read again whenever a warning is due.
    fn ends(&self, record: &Record, now: i64) -> impl Iterator<Item = End> {
        let expires = record.expires_at.map(|at| End { of: WarnedOf::Expiry(record.id), at, within: i64::MAX });
        let idle_end = self.inner.engine.idle_end(record).zip(record.idle);
        let idle = idle_end.map(|(at, idle)| End { of: WarnedOf::IdleEnd(record.id), at, within: idle.after_ms });
        let is_revoked = record.revoked.is_some();
        [expires, idle].into_iter().flatten().filter(move |end| now < end.at && !is_revoked)
    }

    /// The thresholds before an end, shortest first.
    fn thresholds_of(&self, end: End) -> impl DoubleEndedIterator<Item = i64> {
        self.thresholds.iter().copied().filter(move |before| *before < end.within)
    }

    /// When a warning about a key may be due; which warnings were emitted is only read then.
    pub(super) fn first_warning(&self, record: &Record, now: i64) -> Option<i64> {
        let first = |end: End| Some(end.at.saturating_sub(self.thresholds_of(end).next_back()?));
        self.ends(record, now).filter_map(first).min()
    }

    /// Adds a warning about each end for the shortest threshold that was passed, unless the store has noted one; returns
    /// the time of the next threshold.
    pub(super) fn find_warnings(
        &self,
        plan: &mut Plan,
        record: &Record,
        now: i64,
        found: &mut Vec<DueWarning>,
    ) -> Result<Option<i64>, StoreError> {
        let mut next = None;
        for end in self.ends(record, now) {
            next = earlier(next, self.find_warning(plan, record, end, now, found)?);
        }
        Ok(next)
    }

    fn find_warning(
        &self,
        plan: &mut Plan,
        record: &Record,
        of_end: End,
        now: i64,
        found: &mut Vec<DueWarning>,
    ) -> Result<Option<i64>, StoreError> {
        let End { of, at: end, .. } = of_end;
        let passed = self.thresholds_of(of_end).find(|before| end.saturating_sub(*before) <= now);
        let noted = self.inner.engine.log.open()?.warned(of)?;
        let noted = [noted, plan.warned.get(&of).copied()];
        let noted = noted.into_iter().flatten().filter(|(of_end, _)| *of_end == end).map(|(_, before)| before).min();
        if let Some(before) = passed.filter(|before| noted.is_none_or(|noted| *before < noted)) {
            let warning = ExpiryWarning {
                key: KeyId::from_u128(record.id),
                tenant: record.tenant.clone(),
                owner: record.owner.clone(),
                name: record.name.clone(),
                expires_at: from_ms(end),
                idle: matches!(of, WarnedOf::IdleEnd(_)),
                before: TimeDelta::try_milliseconds(before).unwrap_or(TimeDelta::MAX),
            };
            plan.warned.insert(of, (end, before));
            found.push(DueWarning { of, end, before, warning });
        }
        let nearest = passed.into_iter().chain(noted).min().unwrap_or(i64::MAX);
        let next = self.thresholds_of(of_end).rfind(|before| *before < nearest);
        Ok(next.map(|before| end.saturating_sub(before)))
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
                if plan.warned.get(&due.of) == Some(&(due.end, due.before)) {
                    plan.warned.remove(&due.of);
                }
                if index >= emitted {
                    plan.times.insert((now, due.of.id()));
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
        self.inner.engine.log.open()?.set_warned(due.of, due.end, due.before)
    }
}
