//! The options and the reports of restoring and salvaging.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::base::clock_lead::ClockLead;
use crate::base::time::{Clock, TimeSource};
use crate::copies::backup_report::BackupError;
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::owner::owner_info::OwnerInfo;
use crate::key::record::Record;
use crate::storage::open_error::OpenError;
use crate::token::digest::Pepper;
use crate::token::key_id::KeyId;

/// The options of [`KeyStore::restore`](crate::KeyStore::restore).
///
/// ```no_run
/// use apikey::{KeyStore, Restore};
///
/// let restore = Restore::new("/backup/keys.backup", "/var/lib/acme/keys.new").over("/var/lib/acme/keys.db");
/// let report = KeyStore::restore(&restore)?;
/// println!("restored change {}, the old store had {:?}", report.number, report.old_number);
/// for warning in &report.warnings {
///     println!("{warning}");
/// }
/// # Ok::<(), apikey::RestoreError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "KeyStore::restore does it"]
pub struct Restore {
    pub(super) backup: PathBuf,
    pub(super) into: PathBuf,
    pub(super) old: Option<PathBuf>,
    pub(super) pepper: Option<Pepper>,
    pub(super) actor: Option<Actor>,
    pub(super) time: TimeSource,
}

impl Restore {
    /// Restores this backup into this directory, which must be missing or empty.
    pub fn new(backup: impl AsRef<Path>, into: impl AsRef<Path>) -> Self {
        Self {
            backup: backup.as_ref().to_owned(),
            into: into.as_ref().to_owned(),
            old: None,
            pepper: None,
            actor: None,
            time: TimeSource::System,
        }
    }

    /// Names the directory of the store that the new one replaces. Keys that were revoked or disabled there after the
    /// backup, and secrets that ended, stay so in the new store, as far as the directory can be read. The restore does
    /// not change it. Leave this out only if the directory is lost: then a key that was revoked after the backup is
    /// valid again.
    pub fn over(mut self, old: impl AsRef<Path>) -> Self {
        self.old = Some(old.as_ref().to_owned());
        self
    }

    /// Sets the pepper of the store, for the events that restoring appends. Without it, a plain digest chains them.
    pub fn pepper(mut self, pepper: Pepper) -> Self {
        self.pepper = Some(pepper);
        self
    }

    /// Sets the actor of the events that restoring appends.
    pub fn actor(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Replaces the system clock, for tests.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.time = TimeSource::Given(Arc::new(clock));
        self
    }
}

/// What a restored store contains, and how it differs from the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The number of the backup's last change.
    pub number: u64,
    /// The number of the old store's last change, if it is known. The changes between the two are lost, except those in
    /// `reapplied`.
    pub old_number: Option<u64>,
    /// The number of records that were restored: keys, roles, tenants and owners.
    pub records: u64,
    /// The number of events that were restored.
    pub events: u64,
    /// The keys whose restrictions of the old store, after the backup, the restore reapplied.
    pub reapplied: Vec<Reapplied>,
    /// The roles that grant less than in the backup, since the old store shows that they lost it after the backup.
    pub roles: Vec<String>,
    /// The tenants whose keys have less than in the backup, or that have ended, since the old store shows it.
    pub tenants: Vec<String>,
    /// The owners whose quotas give less than in the backup, since the old store shows it; as they are now.
    pub owners: Vec<OwnerInfo>,
    /// Keys of the old store that the backup does not contain. The new store does not have them: create new keys for
    /// their owners, or try [`KeyStore::salvage`](crate::KeyStore::salvage).
    pub unknown: Vec<UnknownKey>,
    /// Warnings of what may be missing, or needs a check.
    pub warnings: Vec<RestoreWarning>,
}

impl RestoreReport {
    /// Returns whether there is nothing to check: no key of the old store is missing, and all of it was readable. The
    /// keys in `reapplied` need no check.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unknown.is_empty() && self.warnings.is_empty()
    }
}

/// A key whose restrictions of the old store the restore reapplied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Reapplied {
    /// The key's id.
    pub key: KeyId,
    /// The tenant of its owner; `None` for a key of no tenant.
    pub tenant: Option<String>,
    /// The key's owner.
    pub owner: String,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Whether it was disabled.
    pub disabled: bool,
    /// The versions of its secrets that ended.
    pub ended: Vec<u32>,
    /// Whether it lost permissions, time, networks, or some of its rate limit.
    pub narrowed: bool,
}

/// A key that the backup does not contain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnknownKey {
    /// The key's id.
    pub key: KeyId,
    /// The tenant of its owner; `None` for a key of no tenant.
    pub tenant: Option<String>,
    /// The key's owner.
    pub owner: String,
}

impl UnknownKey {
    pub(super) fn of(record: &Record) -> Self {
        Self { key: KeyId::from_u128(record.id), tenant: record.tenant.clone(), owner: record.owner.clone() }
    }
}

/// Something that may be missing from a restored store. `Display` says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RestoreWarning {
    /// The old store is damaged: it may have revoked keys without leaving a readable trace.
    NotWhole {
        /// What is wrong with it.
        what: String,
    },
    /// The last state of this key in the old store is not readable.
    Unread {
        /// The key's id.
        key: KeyId,
    },
    /// The newest event, of the backup or of the old store, is ahead of the clock.
    Ahead(ClockLead),
    /// The key was rotated after the backup, and its new secret is not in it.
    NewerSecret {
        /// The key's id.
        key: KeyId,
        /// The version of its newest secret.
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
                "the changes of key {key} after the backup cannot be read in the old store: revoke it if in doubt"
            ),
            Self::NewerSecret { key, version } => write!(
                f,
                "key {key} was rotated after the backup: its secret {version} is lost and the older ones are as the old \
                 store had them; rotate it"
            ),
        }
    }
}

/// An error of restoring or salvaging. The old directory is unchanged, and there is no new store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The backup cannot be used.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// One of the directories is in use, or cannot be used.
    #[error(transparent)]
    Directory(#[from] OpenError),
    /// The old directory is missing or contains nothing of a store, so its name is probably wrong.
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
        /// The directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
}

impl RestoreError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }
}

/// What a salvage saved from a damaged store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The number of records in the new store: keys, roles, tenants and owners.
    pub records: u64,
    /// The number of events, without the one that records the salvage.
    pub events: u64,
    /// The number of the last change that the damaged store is known to have had.
    pub last_known: u64,
    /// The number of the last event that the salvage found.
    pub last_found: u64,
    /// The keys whose records are lost.
    pub missing: Vec<KeyId>,
    /// The number of records that the damaged store is known to have had; `None` if that is lost.
    pub known_records: Option<u64>,
    /// The keys that the salvage found outside of their place, possibly in an older state. They are disabled: check and
    /// enable each.
    pub doubtful: Vec<KeyId>,
    /// The first and last number of each gap in the events.
    pub gaps: Vec<(u64, u64)>,
    /// What is wrong with the damaged store.
    pub faults: Vec<String>,
}

impl SalvageReport {
    /// Returns whether the salvage saved every key and every event that the damaged store is known to have had, each in
    /// its last state; `false` if that is not known.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let all = self.known_records.is_some_and(|known| known <= self.records);
        all && self.missing.is_empty() && self.doubtful.is_empty() && self.gaps.is_empty()
    }
}
