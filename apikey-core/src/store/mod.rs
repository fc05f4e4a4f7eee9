//! The store: keys on disk and in memory, and everything that can be asked of them.

pub(crate) mod actor;
pub(crate) mod bootstrap;
pub(crate) mod clock;
pub(crate) mod create;
pub(crate) mod events;
pub(crate) mod examine;
#[cfg(test)]
pub(crate) mod failure_tests;
pub(crate) mod fixed_keys;
pub(crate) mod health;
pub(crate) mod import;
pub(crate) mod maintenance;
pub(crate) mod manage;
pub(crate) mod observe;
pub(crate) mod open;
pub(crate) mod owner;
pub(crate) mod rotate;
pub(crate) mod scan;
pub(crate) mod verify;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::access::auth_error::AuthError;
use crate::base::metrics::Meter;
use crate::base::panics::catch_panic;
use crate::base::store_time::StoreTime;
use crate::builder::KeyStoreBuilder;
use crate::http::refusal::{HeaderConfig, Refusal};
use crate::index::Index;
use crate::index::failed_attempts::FailedAttempts;
use crate::index::no_address::NoAddress;
use crate::index::refusals::RefusalCounts;
use crate::index::refused_attempt::RefusalHook;
use crate::key::error::{OpenError, StoreError};
use crate::key::event::stored::Head;
use crate::key::lifetime::Lifetime;
use crate::key::record::StoredPolicy;
use crate::store::health::{BackupNotes, Health};
use crate::token::api_key::Prefixes;

use crate::commit::change_feed::Touched;
use crate::commit::group_commit::Commit;
use crate::commit::writer::Writer;
use crate::copies::schedule::Schedule;
use crate::storage::commit_mark::MarkFile;
use crate::storage::disk::Disk;
use crate::store::maintenance::Bell;

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
pub struct KeyStore(pub(crate) Arc<Life>, pub(crate) crate::store::actor::Face);

pub(crate) struct Inner {
    pub(crate) index: Index,
    pub(crate) time: StoreTime,
    pub(crate) prefixes: Prefixes,
    pub(crate) failed_attempts: Option<FailedAttempts>,
    pub(crate) header_config: HeaderConfig,
    pub(crate) store: u64,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) commit: Commit,
    pub(crate) first_uses: Mutex<Vec<FirstUse>>,
    pub(crate) bell: Bell,
    /// `None` once the store is closed.
    pub(crate) disk: RwLock<Option<Disk>>,
    /// `None` for a temporary store.
    pub(crate) mark: Mutex<Option<MarkFile>>,
    /// Held while events are deleted, and while they must not be.
    pub(crate) history: Mutex<()>,
    pub(crate) schedule: Option<Schedule>,
    pub(crate) lifetime: Lifetime,
    /// Of new keys that name none.
    pub(crate) rotation: Option<StoredPolicy>,
    /// Tells a rotator which keys have changed.
    pub(crate) touched: Touched,
    /// Held while times of use are on their way from the index to the disk: who reads them there finds all.
    pub(crate) writing_uses: Mutex<()>,
    pub(crate) backups: Mutex<BackupNotes>,
    pub(crate) refusals: RefusalCounts,
    pub(crate) no_address: NoAddress,
    pub(crate) on_refusal: RefusalHook,
    pub(crate) meter: Meter,
    pub(crate) opened: Mutex<Option<Opened>>,
}

/// A secret that was used for the first time since it succeeded another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FirstUse {
    pub(crate) id: u128,
    pub(crate) version: u32,
}

/// What a store holds on to until it is closed.
pub(crate) struct Opened {
    pub(crate) temporary: Option<TempDir>,
    pub(crate) lock: Option<File>,
    pub(crate) mark: Option<MarkFile>,
    /// Sled's directory.
    pub(crate) database: PathBuf,
}

/// What the handles share; dropped with the last of them, which closes the store.
pub(crate) struct Life {
    pub(crate) inner: Arc<Inner>,
    pub(crate) keeper: Mutex<Option<JoinHandle<()>>>,
    #[cfg(unix)]
    pub(crate) door: Mutex<Option<crate::admin::server::Door>>,
    /// A handle of the store's own threads: its end is not that of the store.
    pub(crate) guest: bool,
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

    pub(crate) fn start(inner: Inner) -> Result<Self, std::io::Error> {
        let inner = Arc::new(inner);
        let life = Arc::new(Life::new(inner.clone(), false));
        let keeper = crate::store::maintenance::start(inner)?;
        *life.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(Self(life, crate::store::actor::Face::default()))
    }

    /// A handle for a thread of the store's own, which is joined before the store is closed.
    #[cfg(unix)]
    pub(crate) fn guest(inner: &Arc<Inner>) -> Self {
        Self(Arc::new(Life::new(inner.clone(), true)), crate::store::actor::Face::default())
    }

    #[cfg(unix)]
    pub(crate) fn can_listen(socket: &Path) -> Result<(), OpenError> {
        crate::admin::server::check(socket)
    }

    /// Lets operators in at this socket until the store is closed.
    #[cfg(unix)]
    pub(crate) fn listen(&self, socket: &Path) -> Result<(), OpenError> {
        let door = crate::admin::server::Door::open(socket, &self.0.inner)?;
        if let Some(Opened { lock: Some(lock), .. }) = self.0.inner.opened().as_ref()
            && let Err(error) = crate::storage::holder::Holder::write(lock, Some(door.path()), None)
        {
            tracing::warn!(%error, "the lock file does not say where the admin socket is");
        }
        *self.0.door.lock().unwrap_or_else(PoisonError::into_inner) = Some(door);
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn can_listen(_: &Path) -> Result<(), OpenError> {
        Err(OpenError::Config("admin_socket: this system has no Unix sockets that tell who connects".into()))
    }

    #[cfg(not(unix))]
    pub(crate) fn listen(&self, socket: &Path) -> Result<(), OpenError> {
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
    pub(crate) fn inner(&self) -> &Inner {
        &self.0.inner
    }

    /// Store time: it never goes behind the newest event.
    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        crate::base::time::from_ms(self.inner().time.now_ms())
    }
}

impl Inner {
    pub(crate) fn new(
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
    pub(crate) fn log(&self, disk: &Disk, head: Head) -> std::io::Result<()> {
        disk.log()?;
        self.note_mark(head, disk.presses());
        Ok(())
    }

    /// Writes the mark; it may lag, so an error is no reason to refuse the change. Wakes the thread where that makes it
    /// dirty, or the journal presses.
    pub(crate) fn note_mark(&self, head: Head, presses: bool) {
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

    pub(crate) fn mark_is_dirty(&self) -> bool {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(MarkFile::is_dirty)
    }

    pub(crate) fn sync_mark(&self) -> std::io::Result<()> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner).as_mut().map_or(Ok(()), MarkFile::sync)
    }

    pub(crate) fn disk(&self) -> Result<RwLockReadGuard<'_, Option<Disk>>, StoreError> {
        let disk = self.disk.read().unwrap_or_else(PoisonError::into_inner);
        if disk.is_some() { Ok(disk) } else { Err(StoreError::Closed) }
    }

    /// Writes down the first uses that wait; a refusal of the disk leaves them in force in memory.
    pub(crate) fn keep_first_uses(&self) {
        if let Err(error) = self.change(|_, _| Ok(Vec::new())) {
            tracing::warn!(%error, "first use of a rotated key is in force, and not on disk");
        }
    }

    pub(crate) fn health(&self) -> Health {
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

    pub(crate) fn backup_notes(&self) -> MutexGuard<'_, BackupNotes> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn opened(&self) -> MutexGuard<'_, Option<Opened>> {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the database up to the journal.
    pub(crate) fn settle(&self) {
        let Ok(disk) = self.disk() else { return };
        let Some(disk) = disk.as_ref() else { return };
        if let Err(error) = disk.sync() {
            tracing::error!(%error, "the database does not take in what the journal holds");
            self.commit.fail(&error);
        }
    }

    /// After a failure of the database nothing more is acknowledged, whoever met it.
    pub(crate) fn notice_failure(&self) {
        let Ok(disk) = self.disk() else { return };
        if let Some(Err(error)) = disk.as_ref().map(|disk| disk.flusher.check()) {
            self.commit.fail(&error);
        }
    }

    pub(crate) fn journal_presses(&self) -> bool {
        self.disk().is_ok_and(|disk| disk.as_ref().is_some_and(Disk::presses))
    }

    pub(crate) fn keep_mark(&self) {
        if let Err(error) = self.sync_mark() {
            tracing::warn!(%error, "the commit mark is not on disk");
        }
    }

    /// Erases the digests of secrets whose overlap is over.
    pub(crate) fn erase_ended(&self) {
        if let Err(error) = self.try_erase_ended() {
            tracing::warn!(%error, "ended secrets of rotated keys are not erased");
        }
    }

    pub(crate) fn write_back_uses(&self) {
        if let Err(error) = self.try_write_back_uses() {
            tracing::warn!(%error, "times of use are not written");
        }
    }

    pub(crate) fn try_write_back_uses(&self) -> Result<(), StoreError> {
        let disk = self.disk()?;
        self.write_uses_to(disk.as_ref().ok_or(StoreError::Closed)?)
    }

    pub(crate) fn write_uses_to(&self, disk: &Disk) -> Result<(), StoreError> {
        let _one = self.writing_uses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut uses = Vec::new();
        self.index.take_uses(|secret, second| uses.push((secret, second)));
        disk.set_uses(&uses)
    }
}

impl Life {
    pub(crate) fn new(inner: Arc<Inner>, guest: bool) -> Self {
        Self {
            inner,
            keeper: Mutex::default(),
            #[cfg(unix)]
            door: Mutex::default(),
            guest,
        }
    }

    pub(crate) fn end(&self) -> Result<(), StoreError> {
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
        inner.refusal_counts().log_rest();
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
        let dropped = catch_panic(|| drop(disk))
            .map_err(|panic| std::io::Error::other(format!("the database panicked: {panic}")));
        let opened = inner.opened().take();
        if let Some(Opened { lock: Some(lock), database, .. }) = opened {
            let is_whole = synced.is_ok() && written.is_ok() && dropped.is_ok();
            let ended = if is_whole { crate::storage::shutdown_marker::end(&database) } else { Ok(()) };
            let private = crate::base::files::make_all_private(&database);
            if let Err(error) = crate::storage::holder::Holder::clear(&lock) {
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
