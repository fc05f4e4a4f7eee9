//! What a rotator works with, in whichever thread it runs.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::base::store_time::Working;
use crate::key::error::StoreError;
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
    /// Set while the store is being closed, which waits for one delivery and not for all that are due.
    pub(super) ending: Arc<AtomicBool>,
}

impl Worker {
    /// # Errors
    /// The actor's name is out of bounds.
    pub(super) fn check_actor(&self) -> Result<(), StoreError> {
        Ok(self.origin.actor.as_ref().map_or(Ok(()), Actor::check)?)
    }

    pub(super) fn record(&self, id: u128) -> Result<Option<Record>, StoreError> {
        let disk = self.inner.engine.log.open()?;
        Ok(disk.record(id)?.map(|(record, _)| record))
    }
}
