//! The state of a rotator, in whichever thread it runs.

use std::ops::{Deref, DerefMut};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::ThreadId;

use crate::base::lock::lock;
use crate::base::store_time::Working;
use crate::commit::records::Records;
use crate::key::error::{Conflict, StoreError};
use crate::key::event::actor::{Actor, Origin};
use crate::key::record::Record;

use crate::commit::change_feed::Watch;
use crate::rotation::plan::Plan;
use crate::rotation::report::ExpiryWarning;
use crate::rotation::sink::SecretSink;
use crate::store::inner::Inner;

pub(super) type OnWarning = Box<dyn Fn(&ExpiryWarning) + Send + Sync>;

pub(super) struct Worker {
    pub(super) inner: Arc<Inner>,
    /// The actor of the events that its changes append.
    pub(super) origin: Origin,
    pub(super) sink: Box<dyn SecretSink>,
    /// Milliseconds before the end of a key, shortest first.
    pub(super) thresholds: Vec<i64>,
    pub(super) on_warning: Option<OnWarning>,
    pub(super) watch: Arc<Watch>,
    /// The plan, with the time by which it was made.
    pub(super) plan: Mutex<Option<(Working, Plan)>>,
    /// The thread that has locked the plan: a sink that it calls must not wait for the plan.
    pub(super) planner: Mutex<Option<ThreadId>>,
    /// Set while the store is being closed, which waits for one delivery and not for all that are due.
    pub(super) ending: Arc<AtomicBool>,
}

impl Worker {
    /// # Errors
    /// The actor's name is out of bounds.
    pub(super) fn check_actor(&self) -> Result<(), StoreError> {
        Ok(self.origin.actor.as_ref().map_or(Ok(()), Actor::check)?)
    }

    /// Locks the plan, and waits for another thread that has it.
    ///
    /// # Errors
    /// This thread has locked it: a sink calls the rotator that waits for it.
    pub(super) fn lock_plan(&self) -> Result<LockedPlan<'_>, StoreError> {
        let this = std::thread::current().id();
        if *lock(&self.planner) == Some(this) {
            return Err(StoreError::Conflict(Conflict::RotatorWaits));
        }
        let plan = lock(&self.plan);
        *lock(&self.planner) = Some(this);
        Ok(LockedPlan { plan, planner: &self.planner })
    }

    pub(super) fn record(&self, id: u128) -> Result<Option<Record>, StoreError> {
        let disk = self.inner.engine.log.open()?;
        let records = Records::of(&disk);
        records.record(id)?.map(|(record, _)| records.with_end_of_tenant(record)).transpose()
    }
}

/// The plan, which one thread has.
pub(super) struct LockedPlan<'a> {
    plan: MutexGuard<'a, Option<(Working, Plan)>>,
    planner: &'a Mutex<Option<ThreadId>>,
}

impl Deref for LockedPlan<'_> {
    type Target = Option<(Working, Plan)>;

    fn deref(&self) -> &Self::Target {
        &self.plan
    }
}

impl DerefMut for LockedPlan<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.plan
    }
}

impl Drop for LockedPlan<'_> {
    fn drop(&mut self) {
        // Before the plan is unlocked, which follows: the next thread writes its own name.
        *lock(self.planner) = None;
    }
}
