//! The maintenance thread of a store: it brings the database up to the write-ahead log, records first uses, erases
//! ended secrets, and writes times of use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::base::lock::lock;
use crate::base::pace::Pace;
use crate::base::panics::catch_panic;
use crate::base::runtime::Task;
use crate::base::signal::Wake;
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::store::inner::Inner;
use crate::store::service::Service;

/// The interval of work that is not urgent.
const TICK: Duration = Duration::from_secs(30);
/// The interval at which the counts of all threads are collected.
const COLLECTING: Duration = Duration::from_secs(1);
/// The interval at which the store writes what keys use of their quotas, and the shortest one, if they use much.
const SPENDING: Duration = Duration::from_secs(1);
const SPENDING_MUCH: Duration = Duration::from_millis(100);
/// How long a written mark waits for its sync, and the database waits for what the write-ahead log holds. With the sync
/// itself this stays below half a second.
const MARK_LAG: Duration = Duration::from_millis(400);

/// The running thread.
pub(crate) struct Maintenance {
    inner: Arc<Inner>,
    thread: Task,
}

impl Maintenance {
    pub(super) fn start(inner: Arc<Inner>) -> std::io::Result<Self> {
        let shared = inner.clone();
        let runtime = inner.runtime.clone();
        let mut pace = Pace::new(inner.engine.time.raw_ms(), runtime.now());
        let mut has_warned = false;
        inner.warn_of_lead(&mut has_warned);
        let thread = inner.runtime.spawn("apikey", move || {
            // The first tick runs at once: secrets may have ended while the store was closed.
            let mut tick = runtime.now();
            let mut mark: Option<Instant> = None;
            let mut collecting = shared.engine.counts.is_some().then_some(tick);
            let mut spent = runtime.now();
            let log = &shared.engine.log;
            let next =
                |tick: Instant, others: [Option<Instant>; 3]| others.into_iter().flatten().fold(tick, Instant::min);
            let spending = |spent: Instant| {
                let index = &shared.engine.index;
                let pause = if index.is_spent_fast() { SPENDING_MUCH } else { SPENDING };
                index.has_quotas().then(|| spent + pause)
            };
            while runtime.wait(&log.maintenance, Some(next(tick, [mark, collecting, spending(spent)]))) != Wake::Closed
            {
                let now = runtime.now();
                let is_spent = spending(spent).is_some_and(|due| due <= now);
                // A panic in the database must not end the thread.
                let worked = catch_panic(|| {
                    shared.engine.keep_first_uses();
                    let is_due = mark.is_some_and(|due| due <= now);
                    if is_due || shared.needs_checkpoint() {
                        shared.checkpoint();
                    }
                    if is_due {
                        shared.keep_mark();
                    }
                    if is_spent {
                        shared.write_quotas();
                    }
                    if tick <= now || collecting.is_some_and(|due| due <= now) {
                        shared.keep_usage(tick <= now);
                    }
                    if tick <= now {
                        shared.erase_ended();
                        shared.write_back_uses();
                        shared.forget_outcomes();
                        #[cfg(feature = "cluster")]
                        shared.purge_as_the_cluster();
                        shared.engine.refusals.log_rest();
                        shared.follow_clock(&mut pace, || runtime.now());
                        shared.warn_of_lead(&mut has_warned);
                    }
                    shared.notice_failure();
                });
                if let Err(panic) = worked {
                    tracing::error!(panic, "the database panicked behind the key store");
                }
                spent = if is_spent { runtime.now() } else { spent };
                collecting = collecting.map(|due| if due <= now { now + COLLECTING } else { due });
                if tick <= now {
                    tick = now + TICK;
                }
                mark = match (mark, log.mark_is_dirty()) {
                    (_, false) => None,
                    (Some(due), true) if due > now => Some(due),
                    (_, true) => Some(now + MARK_LAG),
                };
            }
        })?;
        Ok(Self { inner, thread })
    }
}

impl Service for Maintenance {
    fn stop(self: Box<Self>) {
        self.inner.engine.log.maintenance.close();
        self.thread.join();
    }
}

impl Inner {
    /// Brings the database up to the write-ahead log.
    pub(super) fn checkpoint(&self) {
        let Ok(log) = self.engine.log.open() else { return };
        if let Err(error) = log.checkpoint() {
            tracing::error!(%error, "the changes in the write-ahead log could not be written to the database");
            self.engine.group.fail(&error);
        }
    }

    fn needs_checkpoint(&self) -> bool {
        self.engine.log.open().is_ok_and(|log| log.needs_checkpoint())
    }

    /// After a failure of the database the store acknowledges nothing more, whichever thread noticed it.
    pub(super) fn notice_failure(&self) {
        let Ok(log) = self.engine.log.open() else { return };
        if let Err(error) = log.flusher.check() {
            self.engine.group.fail(&error);
        }
    }

    fn keep_mark(&self) {
        if let Err(error) = self.engine.log.sync_mark() {
            tracing::warn!(%error, "the commit mark is not on disk");
        }
    }

    /// Erases the digests of secrets whose overlap is over.
    pub(super) fn erase_ended(&self) {
        if !self.engine.keeps_house() {
            return;
        }
        if let Err(error) = self.try_erase_ended() {
            tracing::warn!(%error, "ended secrets of rotated keys are not erased");
        }
    }

    pub(crate) fn write_back_uses(&self) {
        let written = self.engine.log.open().and_then(|log| self.write_uses_to(&log));
        if let Err(error) = written {
            tracing::warn!(%error, "times of use are not written");
        }
    }

    /// Moves times of use from the index to the database.
    pub(crate) fn write_uses_to(&self, disk: &Disk) -> Result<(), StoreError> {
        let _one = lock(&self.writing_uses);
        let mut uses = Vec::new();
        self.engine.index.take_uses(|secret, second| uses.push((secret, second)));
        disk.set_uses(&uses)
    }
}
