//! The health of a store.

use chrono::{DateTime, Utc};

use crate::base::clock_lead::ClockLead;
use crate::commit::cluster::health::ClusterHealth;

/// The health of a store, for a health check or a page of figures. [`KeyStore::health`](crate::KeyStore::health)
/// returns it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Health {
    /// The number of the last change that is on the disk; 0 before the first.
    pub last_durable: u64,
    /// The number of changes by which the synced commit mark is behind it. A lag of more than half a second of work is
    /// a sign of trouble.
    pub mark_lag: u64,
    /// The time from which on the store acknowledges no changes because its disk failed; `None` if it has not.
    /// Verification continues, and the store still restricts keys in memory, but it acknowledges nothing else until it
    /// is reopened.
    pub failed_since: Option<DateTime<Utc>>,
    /// The error of the disk at that time.
    pub failure: Option<String>,
    /// The last backup, if this process wrote one, or [`backup_every`](crate::KeyStoreBuilder::backup_every) found one
    /// of an earlier process.
    pub last_backup: Option<LastBackup>,
    /// The error of the last backup by [`backup_every`](crate::KeyStoreBuilder::backup_every); `None` if it succeeded.
    pub backup_error: Option<String>,
    /// How far the store's time is ahead of its clock, if that is more than five minutes. The store refuses keys that
    /// end before its own time.
    pub ahead: Option<ClockLead>,
    /// How many uses and refusals of keys are in no count, because the disk was full when they belonged there: see
    /// [`count_use`](crate::KeyStoreBuilder::count_use).
    #[serde(default)]
    pub usage_dropped: u64,
    /// The health of the store as a node of a cluster; `None` outside one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterHealth>,
    /// Whether the store is closed.
    pub closed: bool,
}

/// The last backup of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct LastBackup {
    /// When the backup was complete and checked.
    pub at: DateTime<Utc>,
    /// The number of the last change in it; no backup has the changes from there to
    /// [`last_durable`](Health::last_durable).
    pub number: u64,
}

/// What a store takes on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskSize {
    /// The bytes of all of its files.
    pub bytes: u64,
    /// Those of the write-ahead log, which is as long as it gets from the beginning.
    pub log_bytes: u64,
}

/// What the store remembers of its backups.
#[derive(Debug, Default)]
pub(crate) struct BackupNotes {
    pub(crate) last: Option<LastBackup>,
    pub(crate) error: Option<String>,
}

impl Health {
    /// Returns whether the store accepts changes. It does not consider backups or the clock.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.failed_since.is_none() && !self.closed
    }
}
