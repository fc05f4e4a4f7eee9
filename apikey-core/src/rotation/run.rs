//! One run of a rotator: everything that is due.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use crate::base::codec;
use crate::base::store_time::Working;
use crate::base::time::from_ms;
use crate::commit::records::Records;
use crate::key::error::{Conflict, StoreError};
use crate::key::record::Record;
use crate::token::key_id::KeyId;

use crate::commit::change_feed::is_of_rotator;
use crate::commit::cluster::propagation::Terms;
use crate::rotation::plan::Plan;
use crate::rotation::report::RunReport;
use crate::rotation::warn::DueWarning;
use crate::rotation::worker::Worker;

/// Keys whose ended secrets are erased in one transaction.
const CHUNK: usize = 1000;

impl Worker {
    pub(super) fn run(&self, now: i64) -> Result<RunReport, StoreError> {
        self.check_actor()?;
        let mut report = RunReport::default();
        let mut warnings = Vec::new();
        let outcome = self.run_plan(now, &mut report, &mut warnings);
        // An error of the disk takes no warning away that was found before.
        let emitted = self.emit(warnings, now, &mut report);
        outcome.and(emitted)?;
        Ok(report)
    }

    /// Does what is due but for the warnings, which it finds.
    fn run_plan(&self, now: i64, report: &mut RunReport, warnings: &mut Vec<DueWarning>) -> Result<(), StoreError> {
        let mut plan = self.lock_plan()?;
        if !self.inner.engine.may_rotate() {
            // The rotator of another node works. This one works once that node is gone.
            return self.inner.engine.log.open().map(drop);
        }
        // This writes first uses that are not written yet, so that the same calls do the same. It also reports a closed
        // store when nothing is due.
        self.inner.engine.change_on(Terms::HERE, |_, _| Ok(Vec::new()))?;
        self.watch_keys()?;
        let at = self.inner.engine.time.working(now);
        let plan = self.plan_at(&mut plan, at)?;
        self.read_changes(plan, now)?;
        self.end_overlaps(plan, at, report)?;
        let due: Vec<(i64, u128)> = plan.times.range(..=(now, u128::MAX)).copied().collect();
        for entry in due {
            if self.watch.is_ended() || self.ending.load(Ordering::Relaxed) || !self.inner.engine.time.holds(at) {
                break;
            }
            self.process(plan, entry, at, report, warnings)?;
        }
        // Promotions in this run have begun overlaps.
        self.read_changes(plan, now)?;
        report.next_due = plan.first().map(from_ms);
        Ok(())
    }

    /// Registers as the store's one rotator.
    pub(super) fn watch_keys(&self) -> Result<(), StoreError> {
        let is_the_rotator = self.inner.engine.changes.watch(&self.watch);
        if is_the_rotator { Ok(()) } else { Err(StoreError::Conflict(Conflict::Rotator)) }
    }

    /// Returns the plan for this time. The watch is registered already, so the plan loses no change during a scan.
    pub(super) fn plan_at<'a>(
        &self,
        held: &'a mut Option<(Working, Plan)>,
        at: Working,
    ) -> Result<&'a mut Plan, StoreError> {
        let is_current = held.as_ref().is_some_and(|(made_at, _)| self.inner.engine.time.holds(*made_at));
        if !is_current {
            let mut plan = Plan::restarted(held.take().map(|(_, plan)| plan), at.now);
            self.scan(&mut plan, at.now)?;
            *held = Some((at, plan));
        }
        Ok(&mut held.get_or_insert_with(|| (at, Plan::default())).1)
    }

    fn scan(&self, plan: &mut Plan, now: i64) -> Result<(), StoreError> {
        let disk = self.inner.engine.log.open()?;
        disk.forget_warned()?;
        for item in disk.records(None) {
            let record: Record = Records::of(&disk).with_end_of_tenant(codec::decode(&item?.1)?)?;
            if is_of_rotator(&record) {
                plan.add(&record, self.first_warning(&record, now), now);
            }
        }
        Ok(())
    }

    fn read_changes(&self, plan: &mut Plan, now: i64) -> Result<(), StoreError> {
        let changed = self.watch.take();
        for id in &changed {
            match self.record(*id) {
                Ok(Some(record)) => plan.add(&record, self.first_warning(&record, now), now),
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

    /// Finds a key's warning, rotates it, and lists its next times. After an error its entry stays for the next run.
    fn process(
        &self,
        plan: &mut Plan,
        entry: (i64, u128),
        at: Working,
        report: &mut RunReport,
        warnings: &mut Vec<DueWarning>,
    ) -> Result<(), StoreError> {
        let id = entry.1;
        let mut next = Vec::new();
        match self.record(id)? {
            Some(record) => {
                next.extend(self.find_warnings(plan, &record, at.now, warnings)?);
                next.extend(self.rotate(plan, record, at, report)?);
            }
            None => plan.forget(id),
        }
        plan.times.remove(&entry);
        plan.times.extend(next.into_iter().map(|at| (at, id)));
        Ok(())
    }
}
