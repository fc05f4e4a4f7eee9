//! The report and the errors of backups.

use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::codec::CodecError;
use crate::key::error::StoreError;

/// A backup that was written and checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BackupReport {
    /// The path of the file.
    pub path: PathBuf,
    /// The number of the last change in the backup, which contains every change up to it.
    pub number: u64,
    /// The time at which the backup was written.
    pub written_at: DateTime<Utc>,
    /// The number of records: keys, roles, tenants and owners.
    pub records: u64,
    /// The number of events.
    pub events: u64,
    /// The bytes of the file.
    pub bytes: u64,
    /// SHA-256 of the file without its last 32 bytes, which are the same digest: `head -c -32 FILE | sha256sum`.
    pub digest: String,
}

/// An error of writing or reading a backup.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The store cannot be read, or its changes are not on disk.
    #[error("the key store cannot be backed up: {0}")]
    Store(#[from] StoreError),
    /// The file cannot be written or read.
    #[error("the backup {} cannot be written or read: {source}", path.display())]
    Io {
        /// The file, or its directory.
        path: PathBuf,
        /// The operating system's error.
        source: io::Error,
    },
    /// The path is not one for a backup: something else is there, or it is in a store's directory.
    #[error("the backup is not written to {}, which stays as it is: {what}; name another file", path.display())]
    Destination {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// The file is not a whole backup.
    #[error("the backup {} is damaged: {what}; use another one", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A newer version of this library wrote the backup, which contains something that this version does not
    /// understand.
    #[error("the backup {} was made by a newer version: it has {what}; use that version or a later one", path.display())]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// What this version does not understand.
        what: String,
    },
    /// A version before 0.1.0 wrote the backup, in a format that no release reads. The backup is not damaged.
    #[error(
        "the backup {} was made before 0.1.0, in a format that this version does not read: restore it with the version \
         that made it, export the keys of that store (`apikey export --digests --out FILE`), and import them into a new \
         store with this one (`apikey import-lines --make < FILE`)",
        path.display()
    )]
    OldFormat {
        /// The file.
        path: PathBuf,
    },
    /// The store closed before the backup was complete.
    #[error("the store was closed before the backup was done")]
    Stopped,
}

impl BackupError {
    pub(super) fn io(path: &Path) -> impl Fn(io::Error) -> Self + '_ {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// An error for bytes that do not decode: newer, older, or damaged.
    pub(super) fn codec(path: &Path, what: &str, error: &CodecError) -> Self {
        let path = path.to_owned();
        match error {
            CodecError::Newer(newer) => Self::NewerFormat { path, what: newer.to_string() },
            CodecError::Old => Self::OldFormat { path },
            error => Self::Damaged { path, what: format!("{what}: {error}") },
        }
    }

    pub(super) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_owned(), what: what.into() }
    }
}
