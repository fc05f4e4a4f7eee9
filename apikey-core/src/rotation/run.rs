//! One run of a rotator: everything that is due.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::base::codec;
use crate::base::lock::lock;
use crate::base::store_time::Working;
use crate::base::time::from_ms;
use crate::key::error::{Conflict, StoreError};
use crate::key::record::Record;
use crate::token::key_id::KeyId;

use crate::commit::change_feed::is_of_rotator;
use crate::rotation::plan::Plan;
use crate::rotation::report::RunReport;
use crate::rotation::worker::Worker;

/// Keys whose ended secrets are erased in one transaction.
const CHUNK: usize = 1000;

impl Worker {
    pub(super) fn run(&self, now: i64) -> Result<RunReport, StoreError> {
        self.check_actor()?;
        let mut plan = lock(&self.plan);
        // This writes first uses that are not written yet, so that the same calls do the same. It also reports a closed
        // store when nothing is due.
        self.inner.engine.change(|_, _| Ok(Vec::new()))?;
        if !self.inner.engine.changes.watch(&self.watch) {
            return Err(StoreError::Conflict(Conflict::Rotator));
        }
        let at = self.inner.engine.time.working(now);
        let plan = match &mut *plan {
            Some((made_at, plan)) if self.inner.engine.time.holds(*made_at) => plan,
            // The watch is in place, so a change during the scan is not lost.
            other => {
                let mut plan = Plan::restarted(other.take().map(|(_, plan)| plan), now);
                self.scan(&mut plan, now)?;
                &mut other.insert((at, plan)).1
            }
        };
        self.read_changes(plan, now)?;
        let mut report = RunReport::default();
        self.end_overlaps(plan, at, &mut report)?;
        let due: Vec<(i64, u128)> = plan.times.range(..=(now, u128::MAX)).copied().collect();
        for entry in due {
            if self.watch.is_ended() || self.ending.load(Ordering::Relaxed) || !self.inner.engine.time.holds(at) {
                break;
            }
            self.process(plan, entry, at, &mut report)?;
        }
        // Promotions in this run have begun overlaps.
        self.read_changes(plan, now)?;
        report.next_due = plan.first().map(from_ms);
        Ok(report)
    }

    fn scan(&self, plan: &mut Plan, now: i64) -> Result<(), StoreError> {
        let disk = self.inner.engine.log.open()?;
        disk.forget_warned()?;
        for item in disk.records(None) {
            let record: Record = codec::decode(&item?.1)?;
            if is_of_rotator(&record) {
                plan.add(&record, self.thresholds.last().copied(), now);
            }
        }
        Ok(())
    }

    fn read_changes(&self, plan: &mut Plan, now: i64) -> Result<(), StoreError> {
        let changed = self.watch.take();
        for id in &changed {
            match self.record(*id) {
                Ok(Some(record)) => plan.add(&record, self.thresholds.last().copied(), now),
                Ok(None) => plan.forget(*id),
                Err(error) => {
                    self.watch.put_back(changed);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn end_overlaps(&self, plan: &mut Plan, at: Working, report: &mut RunReport) -> Result<(), StoreError> {
        let over: Vec<(i64, u128)> = plan.overlaps.range(..=(at.now, u128::MAX)).copied().collect();
        let ids: BTreeSet<u128> = over.iter().map(|(_, id)| *id).collect();
        let ids: Vec<u128> = ids.into_iter().collect();
        for chunk in ids.chunks(CHUNK) {
            self.inner.erase_ended_of(chunk, at, &self.origin)?;
        }
        for entry in &over {
            plan.overlaps.remove(entry);
        }
        report.overlaps_ended.extend(ids.into_iter().map(KeyId::from_u128));
        Ok(())
    }

    /// Warns of a key, rotates it, and lists its next times. After an error its entry stays for the next run.
    fn process(
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
            None => plan.forget(id),
        }
        plan.times.remove(&entry);
        plan.times.extend(next.into_iter().map(|at| (at, id)));
        Ok(())
    }
}
