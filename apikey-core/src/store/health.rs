//! How a store stands with its disk.

use chrono::{DateTime, Utc};

use crate::base::clock_lead::ClockLead;

/// What [`KeyStore::health`](crate::KeyStore::health) tells: for a health check, or a page of figures.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// Number of the last change that is on the disk; 0 before the first.
    pub last_durable: u64,
    /// How many changes the synced commit mark is behind it. More than half a second of work is a sign of trouble.
    pub mark_lag: u64,
    /// Since when the disk refuses. Verification goes on, rights can still be taken away in memory, and nothing else is
    /// acknowledged until the store is opened again.
    pub failed_since: Option<DateTime<Utc>>,
    /// The error with which the disk refused.
    pub failure: Option<String>,
    /// The last backup, if this process made one, or [`backup_every`](crate::KeyStoreBuilder::backup_every) found one
    /// that an earlier process made.
    pub last_backup: Option<LastBackup>,
    /// Why the last backup that [`backup_every`](crate::KeyStoreBuilder::backup_every) tried failed; `None` once one
    /// has succeeded.
    pub backup_error: Option<String>,
    /// How far the store's time is ahead of its clock, if that is more than five minutes: keys that end before the store's
    /// time are refused.
    pub ahead: Option<ClockLead>,
    /// The store was closed.
    pub closed: bool,
}

/// When the store was last backed up, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct LastBackup {
    /// When it was whole and checked.
    pub at: DateTime<Utc>,
    /// Number of the last change in it; those from there to [`last_durable`](Health::last_durable) are in no backup.
    pub number: u64,
}

/// What the store remembers of its backups.
#[derive(Debug, Default)]
pub(crate) struct BackupNotes {
    pub(crate) last: Option<LastBackup>,
    pub(crate) error: Option<String>,
}

impl Health {
    /// Whether changes can be made. Says nothing of backups, nor of the clock.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed_since.is_none() && !self.closed
    }
}
