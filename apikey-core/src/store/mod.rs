//! The store: keys on disk and in memory, and everything that can be asked of them.

mod actor;
mod backup;
mod batch;
mod beginning;
mod block;
mod builder;
mod clock;
mod commit;
mod create;
mod directory;
mod disk;
#[cfg(unix)]
mod door;
mod draft;
mod durable;
mod events;
mod evidence;
mod examine;
#[cfg(test)]
mod failure_tests;
mod files;
mod flush;
#[cfg(fuzzing)]
pub mod fuzzing;
mod history;
mod in_use;
mod journal;
mod keeper;
mod manage;
mod mark;
mod observe;
mod old;
mod once;
mod open;
mod open_error;
mod owner;
mod parts;
mod readable;
mod restore;
mod rotation;
mod rotator;
mod run;
mod run_report;
mod salvage;
mod scan;
mod schedule;
mod scope;
mod stuck;
mod tail;
mod take_over;
mod touched;
mod transfer;
mod verify;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::auth_error::AuthError;
use crate::error::{OpenError, StoreError};
use crate::event::Head;
use crate::failed_attempts::FailedAttempts;
use crate::health::{BackupNotes, Health};
use crate::index::Index;
use crate::lifetime::Lifetime;
use crate::metering::Meter;
use crate::no_address::NoAddress;
use crate::quiet::quietly;
use crate::record::StoredPolicy;
use crate::refusal::{HeaderConfig, Refusal};
use crate::refusals::RefusalCounts;
use crate::refused_attempt::RefusalHook;
use crate::store_time::StoreTime;
use crate::token::Prefixes;

use commit::Commit;
use disk::Disk;
use keeper::Bell;
use mark::MarkFile;
use schedule::Schedule;
use touched::Touched;
use writer::Writer;

pub use builder::KeyStoreBuilder;
pub(crate) use directory::LOCK;
pub(crate) use files::own_file;
pub use owner::OwnerStore;
pub use rotator::{Rotator, RotatorHandle};
pub use run_report::{ExpiryWarning, FailedDelivery, RunReport, SkippedRotation};

/// The store of a process: keys on disk in a directory of their own, and in memory for verification.
///
/// It is a handle: clones are cheap and mean the same store, from any thread. A verification takes a fraction of a
/// microsecond and waits for no disk; a change returns when it is on disk and holds for the next verification.
///
/// ```
/// use apikey_core::{KeyStore, NewKey, Requirement};
///
/// let directory = tempfile::tempdir()?;
/// let store = KeyStore::open(directory.path().join("keys.db"))?;
/// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let token = created.key.expose_secret(); // shown once, stored nowhere
///
/// let verified = store.verify(token)?;
/// assert_eq!(verified.owner(), "alice");
/// assert!(verified.allows("orders:read"));
/// assert!(store.authorize(token, &Requirement::permission("orders:write")?).is_err());
///
/// store.revoke(created.info.id(), "leaked")?;
/// assert_eq!(store.verify(token).unwrap_err().to_string(), "API key revoked");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KeyStore(Arc<Life>, actor::Face);

struct Inner {
    index: Index,
    time: StoreTime,
    prefixes: Prefixes,
    failed_attempts: Option<FailedAttempts>,
    header_config: HeaderConfig,
    store: u64,
    writer: Mutex<Writer>,
    commit: Commit,
    first_uses: Mutex<Vec<FirstUse>>,
    bell: Bell,
    /// `None` once the store is closed.
    disk: RwLock<Option<Disk>>,
    /// `None` for a temporary store.
    mark: Mutex<Option<MarkFile>>,
    /// Held while events are deleted, and while they must not be.
    history: Mutex<()>,
    schedule: Option<Schedule>,
    lifetime: Lifetime,
    /// Of new keys that name none.
    rotation: Option<StoredPolicy>,
    /// Tells a rotator which keys have changed.
    touched: Touched,
    /// Held while times of use are on their way from the index to the disk: who reads them there finds all.
    writing_uses: Mutex<()>,
    backups: Mutex<BackupNotes>,
    refusals: RefusalCounts,
    no_address: NoAddress,
    on_refusal: RefusalHook,
    meter: Meter,
    opened: Mutex<Option<Opened>>,
}

/// A secret that was used for the first time since it succeeded another.
#[derive(Debug, Clone, Copy)]
struct FirstUse {
    id: u128,
    version: u32,
}

/// What a store holds on to until it is closed.
struct Opened {
    temporary: Option<TempDir>,
    lock: Option<File>,
    mark: Option<MarkFile>,
    /// Sled's directory.
    database: PathBuf,
}

/// What the handles share; dropped with the last of them, which closes the store.
struct Life {
    inner: Arc<Inner>,
    keeper: Mutex<Option<JoinHandle<()>>>,
    #[cfg(unix)]
    door: Mutex<Option<door::Door>>,
    /// A handle of the store's own threads: its end is not that of the store.
    guest: bool,
}

static INSTALLED: OnceLock<KeyStore> = OnceLock::new();

impl KeyStore {
    /// Opens the store in a directory of its own, which is made if it is missing; an empty one will do.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// A store that is gone when it is dropped, and is not synced to the disk: for tests and demos.
    ///
    /// # Errors
    /// See [`KeyStoreBuilder::temporary`].
    pub fn temporary() -> Result<Self, OpenError> {
        Self::builder().temporary()
    }

    /// Options: prefix, peppers, clock, header, and more.
    pub fn builder() -> KeyStoreBuilder {
        KeyStoreBuilder::default()
    }

    fn start(inner: Inner) -> Result<Self, std::io::Error> {
        let inner = Arc::new(inner);
        let life = Arc::new(Life::new(inner.clone(), false));
        let keeper = keeper::start(inner)?;
        *life.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(Self(life, actor::Face::default()))
    }

    /// A handle for a thread of the store's own, which is joined before the store is closed.
    #[cfg(unix)]
    fn guest(inner: &Arc<Inner>) -> Self {
        Self(Arc::new(Life::new(inner.clone(), true)), actor::Face::default())
    }

    #[cfg(unix)]
    fn can_listen(socket: &Path) -> Result<(), OpenError> {
        door::check(socket)
    }

    /// Lets operators in at this socket until the store is closed.
    #[cfg(unix)]
    fn listen(&self, socket: &Path) -> Result<(), OpenError> {
        let door = door::Door::open(socket, &self.0.inner)?;
        if let Some(Opened { lock: Some(lock), .. }) = self.0.inner.opened().as_ref()
            && let Err(error) = crate::admin::Holder::write(lock, Some(door.path()), None)
        {
            tracing::warn!(%error, "the lock file does not say where the admin socket is");
        }
        *self.0.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
        Ok(())
    }

    #[cfg(not(unix))]
    fn can_listen(_: &Path) -> Result<(), OpenError> {
        Err(OpenError::Config("admin_socket: this system has no Unix sockets that tell who connects".into()))
    }

    #[cfg(not(unix))]
    fn listen(&self, socket: &Path) -> Result<(), OpenError> {
        Self::can_listen(socket)
    }

    /// Where requests carry their key, and what refusals say.
    #[must_use]
    pub fn header_config(&self) -> &HeaderConfig {
        &self.inner().header_config
    }

    /// The response to a refused request, as this store's options make it.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        self.inner().header_config.refuse(error)
    }

    /// How the store stands with its disk.
    ///
    /// ```
    /// # let store = apikey_core::KeyStore::temporary()?;
    /// store.create(apikey_core::NewKey::for_owner("alice"))?;
    /// let health = store.health();
    /// assert!(health.is_good());
    /// assert_eq!(health.last_durable, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn health(&self) -> Health {
        self.inner().health()
    }

    /// Makes this the default store of the process, for handlers that are given none by their framework. For small
    /// programs; a test should pass its own store.
    ///
    /// # Errors
    /// The store itself, if there is a default already.
    pub fn install(self) -> Result<(), Self> {
        INSTALLED.set(self)
    }

    /// The default store of the process.
    #[must_use]
    pub fn installed() -> Option<&'static Self> {
        INSTALLED.get()
    }

    /// Closes the store for every handle: waits for changes under way, writes times of use, and frees the directory.
    /// From now on every verification is [`AuthError::Unavailable`] and every change [`StoreError::Closed`]. Dropping
    /// the last handle does the same. Closing twice is fine.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the last times of use could not be written; the store is closed all the same.
    pub fn close(&self) -> Result<(), StoreError> {
        self.0.end()
    }
}

impl KeyStore {
    fn inner(&self) -> &Inner {
        &self.0.inner
    }

    /// Store time: it never goes behind the newest event.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        crate::time::from_ms(self.inner().time.now_ms())
    }
}

impl Inner {
    fn new(
        options: KeyStoreBuilder,
        time: StoreTime,
        store: u64,
        index: Index,
        disk: Disk,
        writer: Writer,
        mut opened: Opened,
    ) -> Self {
        let lifetime = options.lifetime();
        let budget = options.failed_attempts.map(|(count, per)| {
            let per = u64::try_from(per.num_milliseconds()).unwrap_or(1);
            FailedAttempts::new(count, per)
        });
        Self {
            failed_attempts: budget,
            index,
            time,
            prefixes: Prefixes::new(options.prefix, options.accepted),
            header_config: options.header_config,
            store,
            commit: Commit::new(writer.head()),
            writer: Mutex::new(writer),
            first_uses: Mutex::default(),
            bell: Bell::default(),
            disk: RwLock::new(Some(disk)),
            mark: Mutex::new(opened.mark.take()),
            history: Mutex::default(),
            backups: Mutex::new(BackupNotes {
                last: options.schedule.as_ref().and_then(Schedule::last),
                ..BackupNotes::default()
            }),
            schedule: options.schedule,
            lifetime,
            // Checked when the store was opened.
            rotation: options.rotation.and_then(|policy| policy.stored().ok()),
            touched: Touched::default(),
            writing_uses: Mutex::default(),
            refusals: RefusalCounts::default(),
            no_address: NoAddress::default(),
            on_refusal: options.on_refusal,
            meter: Meter::new(),
            opened: Mutex::new(Some(opened)),
        }
    }

    /// Makes all that was accepted durable; `head` is where history stands then.
    fn log(&self, disk: &Disk, head: Head) -> std::io::Result<()> {
        disk.log()?;
        self.note_mark(head, disk.presses());
        Ok(())
    }

    /// Writes the mark; it may lag, so an error is no reason to refuse the change. Wakes the thread where that makes it
    /// dirty, or the journal presses.
    fn note_mark(&self, head: Head, presses: bool) {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = mark.as_mut() else { return };
        let was_dirty = file.is_dirty();
        if let Err(error) = file.write(head.into()) {
            tracing::warn!(%error, "the commit mark is not written");
        }
        let is_dirty = file.is_dirty();
        drop(mark);
        if presses || (is_dirty && !was_dirty) {
            self.bell.ring();
        }
    }

    fn mark_is_dirty(&self) -> bool {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(MarkFile::is_dirty)
    }

    fn sync_mark(&self) -> std::io::Result<()> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map_or(Ok(()), MarkFile::sync)
    }

    fn disk(&self) -> Result<RwLockReadGuard<'_, Option<Disk>>, StoreError> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner);
        if disk.is_some() { Ok(disk) } else { Err(StoreError::Closed) }
    }

    /// Writes down the first uses that wait; a refusal of the disk leaves them in force in memory.
    fn keep_first_uses(&self) {
        if let Err(error) = self.change(|_, _| Ok(Vec::new())) {
            tracing::warn!(%error, "first use of a rotated key is in force, and not on disk");
        }
    }

    fn health(&self) -> Health {
        let durable = self.commit.durable_head().number;
        let mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let marked = mark.as_ref().map_or(durable, MarkFile::synced);
        drop(mark);
        let (failed_since, failure) = self.commit.failure().map(|failure| (failure.since, failure.text)).unzip();
        let closed = self.index.is_closed();
        let backups = self.backup_notes();
        Health {
            last_durable: durable,
            mark_lag: durable.saturating_sub(marked),
            failed_since,
            failure,
            last_backup: backups.last,
            backup_error: backups.error.clone(),
            ahead: self.time.lead(),
            closed,
        }
    }

    fn backup_notes(&self) -> MutexGuard<'_, BackupNotes> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the database up to the journal.
    fn settle(&self) {
        let Ok(disk) = self.disk() else { return };
        let Some(disk) = disk.as_ref() else { return };
        if let Err(error) = disk.sync() {
            tracing::error!(%error, "the database does not take in what the journal holds");
            self.commit.fail(&error);
        }
    }

    /// After a failure of the database nothing more is acknowledged, whoever met it.
    fn notice_failure(&self) {
        let Ok(disk) = self.disk() else { return };
        if let Some(Err(error)) = disk.as_ref().map(|disk| disk.flusher.check()) {
            self.commit.fail(&error);
        }
    }

    fn journal_presses(&self) -> bool {
        self.disk().is_ok_and(|disk| disk.as_ref().is_some_and(Disk::presses))
    }

    fn keep_mark(&self) {
        if let Err(error) = self.sync_mark() {
            tracing::warn!(%error, "the commit mark is not on disk");
        }
    }

    /// Erases the digests of secrets whose overlap is over.
    fn erase_ended(&self) {
        if let Err(error) = self.try_erase_ended() {
            tracing::warn!(%error, "ended secrets of rotated keys are not erased");
        }
    }

    fn write_back_uses(&self) {
        if let Err(error) = self.try_write_back_uses() {
            tracing::warn!(%error, "times of use are not written");
        }
    }

    fn try_write_back_uses(&self) -> Result<(), StoreError> {
        let disk = self.disk()?;
        self.write_uses_to(disk.as_ref().ok_or(StoreError::Closed)?)
    }

    fn write_uses_to(&self, disk: &Disk) -> Result<(), StoreError> {
        let _one = self.writing_uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uses = Vec::new();
        self.index.take_uses(|secret, second| uses.push((secret, second)));
        disk.set_uses(&uses)
    }
}

impl Life {
    fn new(inner: Arc<Inner>, guest: bool) -> Self {
        Self {
            inner,
            keeper: Mutex::default(),
            #[cfg(unix)]
            door: Mutex::default(),
            guest,
        }
    }

    fn end(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        // Held to the end: a second close returns when the first is done.
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        #[cfg(unix)]
        if let Some(door) = self.door.lock().unwrap_or_else(PoisonError::into_inner).take() {
            door.close();
        }
        inner.bell.end();
        if let Some(keeper) = keeper.take() {
            // It panicked if this fails; then there is nothing left to stop.
            let _ = keeper.join();
        }
        if inner.disk().is_err() {
            return Ok(());
        }
        inner.erase_ended();
        inner.forget_made();
        inner.refusal_counts().tell_rest();
        // Waits for whoever is in the middle of a change: none may put a key into a closed index.
        let mut disk = inner.disk.write().unwrap_or_else(PoisonError::into_inner);
        let Some(disk) = disk.take() else { return Ok(()) };
        let written = inner.write_uses_to(&disk);
        inner.index.close();
        // What was used for the first time until this moment.
        inner.write_first_uses(&mut inner.writer(), &disk);
        let synced = inner.commit.wait(inner.commit.written(), &inner.index, |head| inner.log(&disk, head));
        let synced = synced.and_then(|()| disk.sync());
        let marked = inner.sync_mark();
        // sled can panic when it is dropped on a disk that refuses.
        let dropped =
            quietly(|| drop(disk)).map_err(|panic| std::io::Error::other(format!("the database panicked: {panic}")));
        let opened = inner.opened().take();
        if let Some(Opened { lock: Some(lock), database, .. }) = opened {
            let is_whole = synced.is_ok() && written.is_ok() && dropped.is_ok();
            let ended = if is_whole { in_use::end(&database) } else { Ok(()) };
            let private = files::make_all_private(&database);
            if let Err(error) = crate::admin::Holder::clear(&lock) {
                tracing::debug!(%error, "the lock file still says who held it");
            }
            // A process forked a moment ago may hold the file, too; unlocking ends the lock for all.
            lock.unlock()?;
            private.and(ended)?;
        }
        written?;
        Ok(synced.and(marked).and(dropped)?)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if self.guest {
            return;
        }
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the key store closed, and its last times of use are not written");
        }
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("store", &self.inner().store)
            .field("header_config", &self.inner().header_config)
            .finish_non_exhaustive()
    }
}
