//! Warnings before keys expire.

use chrono::TimeDelta;

use crate::base::panics::catch_panic;
use crate::base::time::from_ms;
use crate::key::error::StoreError;
use crate::key::record::Record;
use crate::token::key_id::KeyId;

use crate::rotation::report::{ExpiryWarning, RunReport};
use crate::rotation::worker::Worker;

impl Worker {
    /// Emits a warning for the shortest threshold that was passed, unless the store has noted one; returns the time of the
    /// next threshold.
    pub(super) fn warn(&self, record: &Record, now: i64, report: &mut RunReport) -> Result<Option<i64>, StoreError> {
        let Some(end) = record.expires_at.filter(|end| now < *end && record.revoked.is_none()) else { return Ok(None) };
        let passed = self.thresholds.iter().copied().find(|before| end.saturating_sub(*before) <= now);
        let noted = self.inner.engine.log.open()?.warned(record.id)?;
        let noted = noted.filter(|(of_end, _)| *of_end == end).map(|(_, before)| before);
        if let Some(before) = passed.filter(|before| noted.is_none_or(|noted| *before < noted)) {
            let warning = ExpiryWarning {
                key: KeyId::from_u128(record.id),
                owner: record.owner.clone(),
                name: record.name.clone(),
                expires_at: from_ms(end),
                before: TimeDelta::try_milliseconds(before).unwrap_or(TimeDelta::MAX),
            };
            // No handle of the database is held meanwhile: the closure may close the store.
            if let Some(emit) = &self.on_warning
                && let Err(panic) = catch_panic(|| emit(&warning))
            {
                tracing::error!(panic, "the closure for expiry warnings panicked");
            }
            // Noted afterwards: a crash in between repeats the warning and never loses it.
            self.inner.engine.log.open()?.set_warned(record.id, end, before)?;
            report.warned.push(warning);
        }
        let nearest = passed.into_iter().chain(noted).min().unwrap_or(i64::MAX);
        let next = self.thresholds.iter().rev().find(|before| **before < nearest);
        Ok(next.map(|before| end.saturating_sub(*before)))
    }
}
