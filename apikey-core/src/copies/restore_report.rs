//! What to restore, and what came of it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::base::clock_lead::ClockLead;
use crate::base::time::{Clock, TimeSource};
use crate::copies::backup_report::BackupError;
use crate::key::error::StoreError;
use crate::storage::open_error::OpenError;
use crate::token::digest::Pepper;
use crate::token::key_id::KeyId;

/// What [`KeyStore::restore`](crate::KeyStore::restore) is to do.
///
/// ```no_run
/// use apikey_core::{KeyStore, Restore};
///
/// let restore = Restore::new("/backup/keys.backup", "/var/lib/acme/keys.new").over("/var/lib/acme/keys.db");
/// let report = KeyStore::restore(&restore)?;
/// println!("restored change {}, the old store had {:?}", report.number, report.old_number);
/// for warning in &report.warnings {
///     println!("{warning}");
/// }
/// # Ok::<(), apikey_core::RestoreError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "KeyStore::restore does it"]
pub struct Restore {
    pub(crate) backup: PathBuf,
    pub(crate) into: PathBuf,
    pub(crate) old: Option<PathBuf>,
    pub(crate) pepper: Option<Pepper>,
    pub(crate) time: TimeSource,
}

impl Restore {
    /// A backup, and the directory of the new store, which must be missing or empty.
    pub fn new(backup: impl AsRef<Path>, into: impl AsRef<Path>) -> Self {
        Self {
            backup: backup.as_ref().to_owned(),
            into: into.as_ref().to_owned(),
            old: None,
            pepper: None,
            time: TimeSource::System,
        }
    }

    /// The directory of the store that the new one takes the place of. Whatever can still be read in it of keys that
    /// were revoked or disabled, and of secrets that ended, after the backup, holds in the new store. It is not
    /// changed. Leave this out only if it is gone: then a key that was revoked after the backup is good again.
    pub fn over(mut self, old: impl AsRef<Path>) -> Self {
        self.old = Some(old.as_ref().to_owned());
        self
    }

    /// The pepper of the store, for the events that restoring writes; without it they are chained by a plain digest.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.pepper = Some(pepper);
        self
    }

    /// Another clock than the system's: for tests.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.time = TimeSource::Given(Arc::new(clock));
        self
    }
}

/// What a restored store holds, and how it differs from the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The number of the backup's last change.
    pub number: u64,
    /// The number of the old store's last change, as far as that can be told: what lies between the two is lost, but
    /// for what is in `reapplied`.
    pub old_number: Option<u64>,
    /// How many keys were restored.
    pub records: u64,
    /// How many events.
    pub events: u64,
    /// Keys that lost again what the old store shows they had lost after the backup.
    pub reapplied: Vec<Reapplied>,
    /// Keys of the old store that the backup does not know. They are not added: their owners need new ones, or
    /// [`KeyStore::salvage`](crate::KeyStore::salvage) may save them.
    pub unknown: Vec<UnknownKey>,
    /// What may be missing, and what to look at.
    pub warnings: Vec<RestoreWarning>,
}

impl RestoreReport {
    /// Whether nobody has to look at anything: no key of the old store is missing, and nothing of it was left unread. What
    /// is in `reapplied` is as it should be.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unknown.is_empty() && self.warnings.is_empty()
    }
}

/// What a key lost again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reapplied {
    /// Which key.
    pub key: KeyId,
    /// Whose.
    pub owner: String,
    /// It is revoked.
    pub revoked: bool,
    /// It is disabled.
    pub disabled: bool,
    /// The numbers of its secrets that ended.
    pub ended: Vec<u32>,
    /// Its permissions, its time, its limit or its networks are less.
    pub narrowed: bool,
}

/// A key that the backup does not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnknownKey {
    /// Which.
    pub key: KeyId,
    /// Whose.
    pub owner: String,
}

/// What may be missing from a restored store. `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestoreWarning {
    /// The old store is not whole: it may have revoked keys that it no longer shows.
    NotWhole {
        /// What is wrong with it.
        what: String,
    },
    /// The old store does not show how this key ended up.
    Unread {
        /// Which key.
        key: KeyId,
    },
    /// The newest event, of the backup or of the old store, is ahead of the clock.
    Ahead(ClockLead),
    /// The key was rotated after the backup, and its new secret is not in it.
    NewerSecret {
        /// Which key.
        key: KeyId,
        /// The number of its newest secret.
        version: u32,
    },
}

impl fmt::Display for RestoreWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWhole { what } => write!(
                f,
                "the old store is not whole ({what}): its files were searched, and what was revoked after the backup \
                 may still be missing; revoke it again"
            ),
            Self::Ahead(lead) => lead.fmt(f),
            Self::Unread { key } => write!(
                f,
                "what became of key {key} after the backup cannot be read in the old store: revoke it if in doubt"
            ),
            Self::NewerSecret { key, version } => write!(
                f,
                "key {key} was rotated after the backup: its secret {version} is lost and the older ones are as the old \
                 store had them; rotate it"
            ),
        }
    }
}

/// Why a store could not be restored or salvaged. The old directory is as it was, and there is no new store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// One of the directories is in use, or cannot be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The old directory is missing, or nothing in it is of a store: another one was meant.
    #[error("there is no key store in {}, nor anything of one: name the directory of the old store", path.display())]
    NoOldStore {
        /// The directory of the old store.
        path: PathBuf,
    },
    /// There is a store in the directory already.
    #[error("there is a key store in {}; give a directory that is missing or empty", path.display())]
    NotEmpty {
        /// The directory of the new store.
        path: PathBuf,
    },
    /// The new store cannot be written.
    #[error("the new key store cannot be written: {0}")]
    Store(#[from] StoreError),
    /// A directory cannot be read or written.
    #[error("{} cannot be read or written: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl RestoreError {
    pub(crate) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What was saved from a damaged store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// How many keys the new store has.
    pub records: u64,
    /// How many events, without the one that says it was salvaged.
    pub events: u64,
    /// The last change that the damaged store is known to have had, and the last one that was found.
    pub last_known: u64,
    /// The last event that was found.
    pub last_found: u64,
    /// Keys that were there, and whose records are lost.
    pub missing: Vec<KeyId>,
    /// How many keys the store is known to have had; `None` if that is lost.
    pub known_records: Option<u64>,
    /// Keys found outside of their place, maybe in an older state: they are disabled. Look at each, and enable it.
    pub doubtful: Vec<KeyId>,
    /// Numbers of events that are missing, first and last of each gap.
    pub gaps: Vec<(u64, u64)>,
    /// What is wrong with the damaged store.
    pub faults: Vec<String>,
}

impl SalvageReport {
    /// Whether every key and every event that the damaged store is known to have had was saved, each in its last state.
    /// `false` also where that cannot be told.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let all = self.known_records.is_some_and(|known| known <= self.records);
        all && self.missing.is_empty() && self.doubtful.is_empty() && self.gaps.is_empty()
    }
}
