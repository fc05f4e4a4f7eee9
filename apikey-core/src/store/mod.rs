//! The store: keys on disk and in memory, and everything that can be asked of them.

mod actor;
mod backup;
mod beginning;
mod builder;
mod commit;
mod create;
mod directory;
mod disk;
mod draft;
mod events;
mod evidence;
#[cfg(test)]
mod failure_tests;
mod flush;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keeper;
mod manage;
mod mark;
mod observe;
mod old;
mod once;
mod open;
mod parts;
mod restore;
mod salvage;
mod schedule;
mod stuck;
mod tail;
mod transfer;
mod writer;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard};
use std::thread::JoinHandle;

use tempfile::TempDir;

use crate::attempt::Attempt;
use crate::auth_error::AuthError;
use crate::error::{OpenError, StoreError};
use crate::health::{BackupNotes, Health};
use crate::index::{Index, Match};
use crate::key_id::KeyId;
use crate::metering::Meter;
use crate::quiet::quietly;
use crate::refusal::{HeaderRule, Refusal};
use crate::refusals::RefusalCounts;
use crate::requirement::Requirement;
use crate::time::TimeSource;
use crate::token::{self, Prefixes};
use crate::verified::{IdForm, VerifiedKey};

use commit::Commit;
use disk::Disk;
use keeper::Bell;
use mark::MarkFile;
use schedule::Schedule;
use writer::Writer;

pub use builder::KeyStoreBuilder;

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
pub struct KeyStore(Arc<Life>, actor::Actor);

struct Inner {
    index: Index,
    time: TimeSource,
    prefixes: Prefixes,
    rule: HeaderRule,
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
    backups: Mutex<BackupNotes>,
    refusals: RefusalCounts,
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
        let life = Arc::new(Life { inner: inner.clone(), keeper: Mutex::default() });
        let keeper = keeper::start(inner)?;
        *life.keeper.lock().unwrap_or_else(PoisonError::into_inner) = Some(keeper);
        Ok(Self(life, None))
    }

    /// Who presents this token. Nothing is trimmed, nothing is written but the second of use, and nobody is waited for.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] for a token that is malformed, unknown or ended; the key's state (revoked, disabled,
    /// expired, not yet valid) only to who holds its secret; [`AuthError::Unavailable`] after [`close`](Self::close).
    pub fn verify(&self, token: &str) -> Result<VerifiedKey, AuthError> {
        self.inner().verify(token, None)
    }

    /// Verifies a token, and holds the key against a requirement.
    ///
    /// # Errors
    /// Those of [`verify`](Self::verify), and [`AuthError::InsufficientPermission`].
    pub fn authorize(&self, token: &str, requirement: &Requirement) -> Result<VerifiedKey, AuthError> {
        self.inner().verify(token, Some(requirement))
    }

    /// The whole question: token, address and requirement.
    ///
    /// # Errors
    /// Those of [`authorize`](Self::authorize).
    pub fn check(&self, attempt: &Attempt<'_>) -> Result<VerifiedKey, AuthError> {
        self.inner().verify(attempt.token, attempt.requirement)
    }

    /// Whether a key that was verified earlier is still good, with the same secret: for work that goes on long after
    /// the request began, such as a WebSocket, a stream or a job.
    ///
    /// # Errors
    /// As [`verify`](Self::verify). A key that another store has verified is [`AuthError::Invalid`].
    pub fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        self.inner().recheck(key)
    }

    /// Whose secret this is, whatever the key's state: `None` for a token that is malformed, unknown, or a wrong or ended
    /// secret. It lets nobody in: it is for who has found a token, and wants the key [revoked](Self::revoke).
    #[must_use]
    pub fn identify(&self, token: &str) -> Option<KeyId> {
        self.inner().identify(token.as_bytes())
    }

    /// Whether this very store, through any of its handles, has verified the key.
    #[must_use]
    pub fn has_verified(&self, key: &VerifiedKey) -> bool {
        self.inner().store == key.store
    }

    /// Where requests carry their key, and what refusals say.
    #[must_use]
    pub fn rule(&self) -> &HeaderRule {
        &self.inner().rule
    }

    /// The response to a refused request, as this store's options make it.
    #[must_use]
    pub fn refuse(&self, error: &AuthError) -> Refusal {
        self.inner().rule.refuse(error)
    }

    /// How the store stands with its disk.
    ///
    /// ```
    /// # let store = apikey_core::KeyStore::temporary()?;
    /// store.create(apikey_core::NewKey::for_owner("alice"))?;
    /// let health = store.health();
    /// assert!(health.is_good());
    /// assert_eq!(health.durable, 1);
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
}

impl Inner {
    fn new(options: KeyStoreBuilder, store: u64, index: Index, disk: Disk, writer: Writer, mut opened: Opened) -> Self {
        Self {
            index,
            time: options.time,
            prefixes: Prefixes::new(options.prefix, options.accepted),
            rule: options.rule,
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
            refusals: RefusalCounts::default(),
            meter: Meter::new(),
            opened: Mutex::new(Some(opened)),
        }
    }

    #[inline]
    fn verify(&self, token: &str, requirement: Option<&Requirement>) -> Result<VerifiedKey, AuthError> {
        let Some(tail) = self.prefixes.parse(token.as_bytes()) else {
            return self.verify_imported(token, requirement);
        };
        let Some(matched) = self.index.find_own(tail) else { return Err(self.refused(token, AuthError::Invalid)) };
        self.conclude(token, &matched, requirement, || IdForm::Written(*token::id_chars(token::body(tail))))
    }

    fn verify_imported(&self, token: &str, requirement: Option<&Requirement>) -> Result<VerifiedKey, AuthError> {
        if !self.index.may_be_imported(token.as_bytes()) {
            return Err(self.refused(token, AuthError::Invalid));
        }
        let Some((matched, id)) = self.index.find_imported(token.as_bytes()) else {
            return Err(self.refused(token, AuthError::Invalid));
        };
        self.conclude(token, &matched, requirement, || IdForm::known(id))
    }

    /// What follows when a secret has matched. The proof is made last, in the place where the caller wants it: to copy it
    /// about costs more than to find the key.
    #[inline]
    fn conclude(
        &self,
        token: &str,
        matched: &Match<'_>,
        requirement: Option<&Requirement>,
        id: impl Fn() -> IdForm,
    ) -> Result<VerifiedKey, AuthError> {
        if let Err(error) = self.index.judge(matched, self.time.now_ms()) {
            return Err(self.refused(token, error));
        }
        if matched.is_first_use() && !self.first_use(&self.index.proof(matched, id())) {
            return Err(self.refused(token, AuthError::Invalid));
        }
        if let Some(requirement) = requirement
            && !requirement.met_by(matched.grants())
        {
            return Err(self.refused(token, requirement.not_met()));
        }
        self.meter.verified();
        Ok(self.index.proof(matched, id()))
    }

    fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        if key.store != self.store {
            return Err(AuthError::Invalid);
        }
        self.index.recheck(key, self.time.now_ms()).map_err(|error| self.told(error))
    }

    fn identify(&self, token: &[u8]) -> Option<KeyId> {
        let (matched, id) = self.find(token)?;
        let ended = self.index.state_of(&matched, self.time.now_ms()) == Err(AuthError::Invalid);
        (!ended).then_some(id)
    }

    /// The key that has this secret, also one that has ended and is not erased yet.
    #[cold]
    #[inline(never)]
    fn find(&self, token: &[u8]) -> Option<(Match<'_>, KeyId)> {
        match self.prefixes.parse(token) {
            Some(tail) => {
                let id = IdForm::Written(*token::id_chars(token::body(tail)));
                self.index.find_own(tail).map(|matched| (matched, id.key_id()))
            }
            None if self.index.may_be_imported(token) => self.index.find_imported(token),
            None => None,
        }
    }

    /// A closed store knows no key; that is not the caller's fault.
    fn told(&self, error: AuthError) -> AuthError {
        if error == AuthError::Invalid && self.index.is_closed() { AuthError::Unavailable } else { error }
    }

    /// A successor is used for the first time: in force at once, written down within a second. `false` if it has ended
    /// meanwhile.
    #[cold]
    fn first_use(&self, key: &VerifiedKey) -> bool {
        if self.index.promote(key) {
            let first = FirstUse { id: key.id().as_u128(), version: key.version };
            self.first_uses.lock().unwrap_or_else(PoisonError::into_inner).push(first);
            self.bell.ring();
            return true;
        }
        // Somebody else was first; or it was replaced in this very moment, since nobody had used it.
        self.recheck(key).is_ok()
    }

    fn take_first_uses(&self) -> Vec<FirstUse> {
        std::mem::take(&mut *self.first_uses.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn put_back_first_use(&self, first: FirstUse) {
        self.first_uses.lock().unwrap_or_else(PoisonError::into_inner).push(first);
    }

    /// Writes the mark up to what is on disk; it may lag, so an error is no reason to refuse the change.
    fn note_mark(&self) {
        let mut mark = self.mark.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = mark.as_mut() else { return };
        let was_dirty = file.is_dirty();
        if let Err(error) = file.write(self.commit.durable_head().into()) {
            tracing::warn!(%error, "the commit mark is not written");
        }
        let is_dirty = file.is_dirty();
        drop(mark);
        if is_dirty && !was_dirty {
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
        let (refused_since, refused_by) = self.commit.failure().map(|failure| (failure.since, failure.text)).unzip();
        let closed = self.index.is_closed();
        let backups = self.backup_notes();
        Health {
            durable,
            mark_lag: durable.saturating_sub(marked),
            refused_since,
            refused_by,
            last_backup: backups.last,
            backup_error: backups.error.clone(),
            closed,
        }
    }

    fn backup_notes(&self) -> MutexGuard<'_, BackupNotes> {
        self.backups.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut uses = Vec::new();
        self.index.take_uses(|secret, second| uses.push((secret, second)));
        disk.set_uses(&uses)
    }
}

impl Life {
    fn end(&self) -> Result<(), StoreError> {
        let inner = &self.inner;
        // Held to the end: a second close returns when the first is done.
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
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
        let synced = inner.commit.wait(inner.commit.written(), &inner.index, || disk.sync());
        let synced = synced.and_then(|()| disk.sync());
        inner.note_mark();
        let marked = inner.sync_mark();
        // sled can panic when it is dropped on a disk that refuses.
        let dropped =
            quietly(|| drop(disk)).map_err(|panic| std::io::Error::other(format!("the database panicked: {panic}")));
        let opened = inner.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Opened { lock: Some(lock), database, .. }) = opened {
            let private = directory::make_all_private(&database);
            // A process forked a moment ago may hold the file, too; unlocking ends the lock for all.
            lock.unlock()?;
            private?;
        }
        written?;
        Ok(synced.and(marked).and(dropped)?)
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "the key store closed, and its last times of use are not written");
        }
    }
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore")
            .field("store", &self.inner().store)
            .field("rule", &self.inner().rule)
            .finish_non_exhaustive()
    }
}
