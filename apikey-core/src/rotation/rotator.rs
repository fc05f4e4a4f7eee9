//! The rotator, which a service calls or starts as a thread.

use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::access::owner::Tenants;
use crate::base::panics::catch_panic;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::new_key::NewKey;
use crate::rotation::sink::SecretSink;

use crate::commit::change_feed::Watch;
use crate::rotation::report::{DeliveredKey, ExpiryWarning, RunReport};
use crate::rotation::worker::Worker;
use crate::store::key_store::KeyStore;

/// The actor of a rotator whose handle names none.
const ROTATOR: &str = "rotator";
/// The default thresholds of warnings, in days before the end of a key.
const WARN_DAYS: [i64; 3] = [1, 3, 14];
/// The longest wait of the thread, since somebody may set the system's clock meanwhile.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// The same with a clock of the service's own, which a test moves.
const MAX_WAIT_OWN_CLOCK: Duration = Duration::from_millis(20);
/// The shortest wait: many changes in a row make one run.
const MIN_WAIT: Duration = Duration::from_millis(20);
/// The wait after a run that failed.
const RETRY: Duration = Duration::from_secs(1);

/// Gives keys with a [`RotationPolicy`](crate::RotationPolicy) new secrets when they are due, delivers those to a
/// [`SecretSink`], ends overlaps, and warns before keys expire or are idle. A store has one rotator at a time.
///
/// Call [`run_due`](Self::run_due) yourself, or [`start`](Self::start) a thread that does.
///
/// ```
/// use apikey::{KeyStore, ManualClock, NewKey, RotationPolicy, Rotator, sink::DirectorySink};
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
/// # fn clock_now(clock: &ManualClock) -> chrono::DateTime<Utc> { apikey::Clock::now(clock) }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Rotator {
    worker: Worker,
    store: KeyStore,
}

impl Rotator {
    /// Creates a rotator that delivers new secrets of this store to this sink. It does nothing yet. Its events name the
    /// handle's [actor](KeyStore::as_actor), or `rotator` if the handle names none.
    pub fn new(store: KeyStore, sink: impl SecretSink + 'static) -> Self {
        let worker = Worker {
            inner: store.shared(),
            origin: store.origin_or(ROTATOR),
            sink: Box::new(sink),
            thresholds: WARN_DAYS.iter().map(|days| days * 86_400_000).collect(),
            on_warning: None,
            watch: Arc::new(Watch::default()),
            plan: Mutex::new(None),
            planner: Mutex::new(None),
            ending: Arc::default(),
        };
        Self { worker, store }
    }

    /// Stops a run after the current delivery once this flag is set.
    pub(crate) fn ending(mut self, ending: Arc<AtomicBool>) -> Self {
        self.worker.ending = ending;
        self
    }

    /// Sets how long before the end of a key the rotator warns: 14, 3 and 1 days by default, and not at all for an
    /// empty list. If several thresholds have passed at once, it warns for the shortest alone. Spans that are not
    /// positive are ignored.
    ///
    /// The end of a key that nobody uses ([`NewKey::idle_after`](crate::NewKey::idle_after)) counts, too, with the spans
    /// that are shorter than its time: after a use it is as far away as that.
    #[must_use]
    pub fn warn_before(mut self, thresholds: impl IntoIterator<Item = TimeDelta>) -> Self {
        let ms = thresholds.into_iter().map(|before| before.num_milliseconds()).filter(|before| *before > 0);
        self.worker.thresholds = ms.collect();
        self.worker.thresholds.sort_unstable();
        self
    }

    /// Sets a closure that the rotator calls with each warning, once for each key and threshold, even across restarts;
    /// a crash may repeat one. A key whose end changes gets new warnings. The closure may call the rotator, and may
    /// close the store.
    #[must_use]
    pub fn on_warning(mut self, emit: impl Fn(&ExpiryWarning) + Send + Sync + 'static) -> Self {
        self.worker.on_warning = Some(Box::new(emit));
        self
    }

    /// Creates a key and delivers its first secret to the sink, so that nobody handles it by hand. As in a rotation,
    /// the secret is valid at once and *pending* until the sink has it. If the sink rejects it, the key exists, the
    /// result has the error, and a later run delivers the same secret. If the process dies in between, the next rotator
    /// asks the sink what it holds, and delivers another secret if it lacks this one.
    ///
    /// The first call reads every key, like that of [`run_due`](Self::run_due), and a call waits for the delivery that
    /// is under way. A sink that calls it during a delivery gets
    /// [`Conflict::RotatorWaits`](crate::Conflict::RotatorWaits). It takes no [imported](NewKey::imported) key and no
    /// [idempotency key](NewKey::idempotency_key).
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, RotationPolicy, Rotator, sink::DirectorySink};
    /// use chrono::TimeDelta;
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let secrets = directory.path().join("secrets");
    /// let store = KeyStore::temporary()?;
    /// let rotator = Rotator::new(store.clone(), DirectorySink::new(&secrets));
    /// let created = rotator.create(NewKey::for_owner("web").rotation(RotationPolicy::every(TimeDelta::days(30))))?;
    /// assert_eq!(created.failed, None);
    /// let token = std::fs::read_to_string(secrets.join(created.info.id().to_string()))?;
    /// assert_eq!(store.verify(token.trim_end())?.owner(), "web");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`KeyStore::create`], and [`StoreError::Conflict`] if the store has another rotator, or if the
    /// sink calls. After [`StoreError::Io`] the key may exist; the next run then delivers its secret.
    pub fn create(&self, key: NewKey) -> Result<DeliveredKey, StoreError> {
        self.worker.create(key, Tenants::default())
    }

    /// Creates a key of a tenant and delivers its first secret to the sink: [`create`](Self::create), through
    /// [`KeyStore::tenant`].
    ///
    /// # Errors
    /// Those of [`create`](Self::create), [`StoreError::Invalid`] for a name that is none, and
    /// [`Conflict::TenantEnded`](crate::Conflict::TenantEnded).
    pub fn create_in_tenant(&self, tenant: impl AsRef<str>, key: NewKey) -> Result<DeliveredKey, StoreError> {
        self.worker.create(key, checked(tenant.as_ref())?)
    }

    /// Does everything that is due at `now`: rotations, deliveries, ends of overlaps, warnings. The same calls on the
    /// same store give the same results, whatever the clock says. The first call reads every key; later ones read those
    /// that are due.
    ///
    /// A delivery that fails is not an error: the report names it.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the store has another rotator, or if the sink calls; [`StoreError::Invalid`] for a
    /// handle whose actor's name is out of bounds; [`StoreError::Io`], [`StoreError::NotDurable`],
    /// [`StoreError::Closed`]. The next call completes what this one left undone.
    pub fn run_due(&self, now: DateTime<Utc>) -> Result<RunReport, StoreError> {
        self.worker.run(now.timestamp_millis())
    }

    /// Starts a thread that calls [`run_due`](Self::run_due) when something is due by the store's clock. It runs until
    /// you stop or drop its handle, or the store closes. It does not keep the store open.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a handle whose actor's name is out of bounds; [`StoreError::Io`] if the operating
    /// system cannot start a thread.
    pub fn start(self) -> Result<RotatorHandle, StoreError> {
        self.worker.check_actor()?;
        let Self { worker, store } = self;
        let (watch, worker) = (worker.watch.clone(), Arc::new(worker));
        let of_handle = Arc::downgrade(&worker);
        let thread = std::thread::Builder::new().name("apikey-rotator".into()).spawn(move || run_loop(&worker))?;
        drop(store);
        Ok(RotatorHandle { watch, worker: of_handle, thread: Some(thread) })
    }
}

fn run_loop(worker: &Worker) {
    let max_wait = if worker.inner.engine.time.is_given() { MAX_WAIT_OWN_CLOCK } else { MAX_WAIT };
    while !worker.watch.is_ended() {
        let now = worker.inner.engine.time.now_ms();
        // A panic must not end the thread.
        let wait = match catch_panic(|| worker.run(now)) {
            Ok(Ok(report)) => {
                for failed in &report.failed {
                    tracing::warn!(key = %failed.key, reason = failed.reason, retry_at = %failed.retry_at, "a new secret could not be delivered");
                }
                let left = report.next_due.map(|due| due.timestamp_millis().saturating_sub(now).max(0));
                let left = left.and_then(|left| u64::try_from(left).ok()).map_or(max_wait, Duration::from_millis);
                left.min(max_wait)
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
        worker.watch.wait(MIN_WAIT, false);
        worker.watch.wait(wait.saturating_sub(MIN_WAIT), true);
    }
}

/// The keys of this tenant.
fn checked(tenant: &str) -> Result<Tenants, StoreError> {
    bounds::tenant(tenant)?;
    Ok(Tenants::One(tenant.into()))
}

/// The thread of a [`Rotator`]. Dropping the handle stops the thread, and waits for the current delivery, unless the
/// thread itself drops it.
#[must_use = "the rotator stops when this is dropped"]
pub struct RotatorHandle {
    watch: Arc<Watch>,
    /// The thread's worker, which is dropped when the thread ends.
    worker: Weak<Worker>,
    thread: Option<JoinHandle<()>>,
}

impl RotatorHandle {
    /// Creates a key and delivers its first secret to the sink: [`Rotator::create`].
    ///
    /// # Errors
    /// Those of [`Rotator::create`]; [`StoreError::Closed`] if the thread has ended.
    pub fn create(&self, key: NewKey) -> Result<DeliveredKey, StoreError> {
        self.worker.upgrade().ok_or(StoreError::Closed)?.create(key, Tenants::default())
    }

    /// Creates a key of a tenant and delivers its first secret to the sink: [`Rotator::create_in_tenant`].
    ///
    /// # Errors
    /// Those of [`Rotator::create_in_tenant`]; [`StoreError::Closed`] if the thread has ended.
    pub fn create_in_tenant(&self, tenant: impl AsRef<str>, key: NewKey) -> Result<DeliveredKey, StoreError> {
        let tenants = checked(tenant.as_ref())?;
        self.worker.upgrade().ok_or(StoreError::Closed)?.create(key, tenants)
    }

    /// Stops the thread, and waits until it has ended. It finishes the current delivery.
    pub fn stop(self) {
        drop(self);
    }

    /// Returns whether the thread runs. It ends when the store closes.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }
}

impl Drop for RotatorHandle {
    fn drop(&mut self) {
        self.watch.end();
        // The closure for warnings and the sink run in this thread, which cannot wait for itself.
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = self.thread.take().filter(is_other) {
            // The thread catches panics; if it panicked nevertheless, there is nothing left to stop.
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
