//! Rotates keys by themselves, when somebody asks or in a thread.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::base::panics::catch_panic;
use crate::key::error::StoreError;
use crate::rotation::sink::SecretSink;

use crate::commit::change_feed::Watch;
use crate::rotation::report::{ExpiryWarning, RunReport};
use crate::rotation::run::Worker;
use crate::store::key_store::KeyStore;

/// Days before the end of a key at which to warn, if nothing else is said.
const WARN_DAYS: [i64; 3] = [1, 3, 14];
/// The thread looks at the clock this often: the system's can be set.
const STEP: Duration = Duration::from_secs(10);
/// The same with a clock that was given: a test may turn it.
const GIVEN_STEP: Duration = Duration::from_millis(20);
/// Many changes in a row are one run.
const PAUSE: Duration = Duration::from_millis(20);
/// After a run that the disk refused.
const RETRY: Duration = Duration::from_secs(1);

/// Gives keys with a [`RotationPolicy`](crate::RotationPolicy) their new secrets when they are due, hands those to a
/// [`SecretSink`], ends overlaps, and warns before keys expire. One works on a store at a time.
///
/// Either call [`run_due`](Self::run_due) when it suits, or [`start`](Self::start) a thread that does it.
///
/// ```
/// use apikey_core::{KeyStore, ManualClock, NewKey, RotationPolicy, Rotator, sink::DirectorySink};
/// use chrono::{TimeDelta, Utc};
///
/// # let directory = tempfile::tempdir()?;
/// # let secrets = directory.path().join("secrets");
/// let clock = ManualClock::new(Utc::now());
/// let store = KeyStore::builder().clock(clock.clone()).temporary()?;
/// let policy = RotationPolicy::every(TimeDelta::days(30));
/// let created = store.create(NewKey::for_owner("alice").rotation(policy))?;
///
/// let rotator = Rotator::new(store.clone(), DirectorySink::new(&secrets));
/// clock.advance(TimeDelta::days(30));
/// let report = rotator.run_due(clock_now(&clock))?;
/// assert_eq!(report.delivered, [created.info.id()]);
/// let new = std::fs::read_to_string(secrets.join(created.info.id().to_string()))?;
/// assert_eq!(store.verify(new.trim_end())?.secret_version(), 2);
/// assert!(store.verify(created.key.expose_secret())?.superseded()); // for another day
/// # fn clock_now(clock: &ManualClock) -> chrono::DateTime<Utc> { apikey_core::Clock::now(clock) }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rotator {
    worker: Worker,
    store: KeyStore,
}

impl Rotator {
    /// One that hands new secrets of this store to this sink. Nothing happens yet.
    pub fn new(store: KeyStore, sink: impl SecretSink + 'static) -> Self {
        let worker = Worker {
            inner: store.shared(),
            sink: Box::new(sink),
            thresholds: WARN_DAYS.iter().map(|days| days * 86_400_000).collect(),
            on_warning: None,
            watch: Arc::new(Watch::default()),
            plan: Mutex::new(None),
            ending: Arc::default(),
        };
        Self { worker, store }
    }

    /// A run stops after the delivery under way when this is set.
    pub(crate) fn ending(mut self, ending: Arc<AtomicBool>) -> Self {
        self.worker.ending = ending;
        self
    }

    /// How long before the end of a key to warn; 14, 3 and 1 days if it is not set, nothing warns before the end if none
    /// is given. Where several are passed at once, only the shortest is told. What is not positive is left out.
    #[must_use]
    pub fn warn_before(mut self, thresholds: impl IntoIterator<Item = TimeDelta>) -> Self {
        let ms = thresholds.into_iter().map(|before| before.num_milliseconds()).filter(|before| *before > 0);
        self.worker.thresholds = ms.collect();
        self.worker.thresholds.sort_unstable();
        self
    }

    /// What is called for each warning, once for each key and threshold, also over restarts; after a crash one may come a
    /// second time. A key that is given another end is warned of anew.
    #[must_use]
    pub fn on_warning(mut self, told: impl Fn(&ExpiryWarning) + Send + Sync + 'static) -> Self {
        self.worker.on_warning = Some(Box::new(told));
        self
    }

    /// Does all that is due at `now`: rotations, deliveries, ends of overlaps, warnings. The same calls on the same store
    /// do the same, whatever time it is. The first call looks at every key, later ones only at those that are due.
    ///
    /// A delivery that fails is no error: the report names it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if another rotator works on the store; [`StoreError::Io`], [`StoreError::NotDurable`],
    /// [`StoreError::Closed`]. What was not done is done by the next call.
    pub fn run_due(&self, now: DateTime<Utc>) -> Result<RunReport, StoreError> {
        self.worker.run(now.timestamp_millis())
    }

    /// Starts a thread that calls [`run_due`](Self::run_due) when something is due, by the store's clock. It goes on until
    /// its handle is stopped or dropped, or the store is closed. It does not keep the store open: the handles of the
    /// service do.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the operating system refuses a thread.
    pub fn start(self) -> Result<RotatorHandle, StoreError> {
        let Self { worker, store } = self;
        let watch = worker.watch.clone();
        let thread = std::thread::Builder::new().name("apikey-rotator".into()).spawn(move || turn(&worker))?;
        drop(store);
        Ok(RotatorHandle { watch, thread: Some(thread) })
    }
}

fn turn(worker: &Worker) {
    let step = if worker.inner.engine.time.is_given() { GIVEN_STEP } else { STEP };
    while !worker.watch.is_ended() {
        let now = worker.inner.engine.time.now_ms();
        // A panic must not end the rounds.
        let wait = match catch_panic(|| worker.run(now)) {
            Ok(Ok(report)) => {
                for failed in &report.failed {
                    tracing::warn!(key = %failed.key, reason = failed.reason, retry_at = %failed.retry_at, "a new secret could not be delivered");
                }
                let left = report.next_due.map(|due| due.timestamp_millis().saturating_sub(now).max(0));
                let left = left.and_then(|left| u64::try_from(left).ok()).map_or(step, Duration::from_millis);
                left.min(step)
            }
            Ok(Err(StoreError::Closed)) => return,
            Ok(Err(error)) => {
                tracing::warn!(%error, "keys are not rotated");
                RETRY
            }
            Err(panic) => {
                tracing::error!(panic, "the rotation of keys panicked");
                RETRY
            }
        };
        worker.watch.wait(PAUSE, false);
        worker.watch.wait(wait.saturating_sub(PAUSE), true);
    }
}

/// The thread of a [`Rotator`]. Dropping it stops the thread, and waits for a delivery under way.
#[must_use = "the rotator stops when this is dropped"]
pub struct RotatorHandle {
    watch: Arc<Watch>,
    thread: Option<JoinHandle<()>>,
}

impl RotatorHandle {
    /// Ends the thread, and waits until it has ended. A delivery that is under way is finished.
    pub fn stop(self) {
        drop(self);
    }

    /// Whether the thread goes on; not any more after the store was closed.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for RotatorHandle {
    fn drop(&mut self) {
        self.watch.end();
        if let Some(thread) = self.thread.take() {
            // It caught its panics; if it fails all the same, there is nothing left to stop.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Rotator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rotator").field("store", &self.store).finish_non_exhaustive()
    }
}

impl fmt::Debug for RotatorHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RotatorHandle").field("running", &self.is_running()).finish_non_exhaustive()
    }
}
