//! The engine of changes: each is decided on the records as they stand, put into the log, made durable, and made visible.
//!
//! ```text
//! decide -> stage -> enqueue -> restrict -> append to the log -> sync -> publish
//!           (writer's lock) ...............................     (group commit)
//! ```
//!
//! What a change takes away is gone from the index before the log has it; what a change gives is there only when the log
//! has it on the disk. So no verification succeeds with rights that a restart would not find.

use std::io;
use std::sync::{Mutex, MutexGuard};

use crate::access::auth_error::AuthError;
use crate::access::verified_key::VerifiedKey;
use crate::base::metrics::Meter;
use crate::base::store_time::StoreTime;
use crate::commit::change_feed::ChangeFeed;
use crate::commit::first_use::FirstUses;
use crate::commit::group_commit::GroupCommit;
use crate::commit::local_log::{LocalLog, OpenLog};
use crate::commit::writer::Writer;
use crate::index::Index;
use crate::index::refused::refusals::RefusalCounts;
use crate::key::change::{Action, Change};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;
use crate::key::lifetime::Lifetime;
use crate::key::record::Record;
use crate::key::scope::Scope;
use crate::storage::database::disk::Disk;

/// What changes keys, and what a verification reads of them.
pub(crate) struct Engine {
    pub(crate) index: Index,
    pub(crate) time: StoreTime,
    pub(crate) lifetime: Lifetime,
    pub(crate) log: LocalLog,
    pub(crate) group: GroupCommit,
    pub(crate) first_uses: FirstUses,
    /// Which keys have changed, for a rotator.
    pub(crate) changes: ChangeFeed,
    /// Counted by key: a key that is deleted takes its counts with it.
    pub(crate) refusals: RefusalCounts,
    pub(crate) meter: Meter,
    writer: Mutex<Writer>,
}

impl Engine {
    pub(crate) fn new(index: Index, time: StoreTime, lifetime: Lifetime, log: LocalLog, writer: Writer) -> Self {
        Self {
            index,
            time,
            lifetime,
            log,
            group: GroupCommit::new(writer.head()),
            first_uses: FirstUses::default(),
            changes: ChangeFeed::default(),
            refusals: RefusalCounts::default(),
            meter: Meter::new(),
            writer: Mutex::new(writer),
        }
    }

    /// The one writer. Who holds it decides alone.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // Nobody knows how far it came, in memory and on disk.
            self.group.fail(&io::Error::other("a change panicked"));
            poisoned.into_inner()
        })
    }

    /// A change of one key, at the time that it is now.
    pub(crate) fn change_of(&self, id: u128, action: Action) -> Change {
        Change {
            id,
            at: self.time.now_ms(),
            origin: Origin::default(),
            scope: Scope::default(),
            action,
            idempotency: None,
        }
    }

    /// Waits until all that is appended is durable and visible.
    pub(crate) fn wait(&self, ticket: u64, log: &OpenLog<'_>) -> io::Result<()> {
        self.group.wait(ticket, &self.index, log)
    }

    /// Writes what was used for the first time until this moment, and makes everything durable. The caller has taken the
    /// database out, and closed the index.
    pub(crate) fn close(&self, disk: &Disk) -> io::Result<()> {
        let log = self.log.closing(disk);
        self.write_first_uses(&mut self.writer(), &log);
        self.wait(self.group.appended(), &log)?;
        disk.checkpoint()
    }

    /// What a record gives.
    pub(crate) fn effective(&self, record: &Record) -> Result<EffectiveKey, StoreError> {
        Ok(EffectiveKey::of(record, self.lifetime).map_err(io::Error::from)?)
    }

    /// Whether a key that was verified earlier is still good, with the same secret.
    pub(crate) fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        if key.store != self.index.store() {
            return Err(AuthError::Invalid);
        }
        self.index.recheck(key, self.time.now_ms()).map_err(|error| self.unavailable_if_closed(error))
    }

    /// A closed store knows no key; that is not the caller's fault.
    pub(crate) fn unavailable_if_closed(&self, error: AuthError) -> AuthError {
        if error == AuthError::Invalid && self.index.is_closed() { AuthError::Unavailable } else { error }
    }

    /// After a failed write nobody knows what is on disk: nothing more is acknowledged until the store is reopened.
    pub(super) fn fail(&self, restricted: bool, source: io::Error) -> StoreError {
        self.group.fail(&source);
        io_or_not_durable(restricted, source)
    }
}

/// A change that the disk refused, and that took rights away, is in force all the same.
pub(crate) fn io_or_not_durable(restricted: bool, source: io::Error) -> StoreError {
    if restricted { StoreError::NotDurable { source } } else { StoreError::Io { source } }
}
