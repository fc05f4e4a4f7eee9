//! What all handles of a store share: the engine of changes, and what the store adds to it.

use std::sync::{Mutex, MutexGuard};

use crate::base::lock::lock;
use crate::commit::engine::Engine;
use crate::http::header_config::HeaderConfig;
use crate::index::refused::failed_attempts::FailedAttempts;
use crate::index::refused::no_address::NoAddress;
use crate::index::refused::refused_attempt::RefusalHook;
use crate::key::record::StoredPolicy;
use crate::storage::local::LocalFiles;
use crate::store::health::{BackupNotes, Health};
use crate::store::open::options::Options;
use crate::token::api_key::Prefixes;

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) prefixes: Prefixes,
    pub(crate) failed_attempts: Option<FailedAttempts>,
    pub(crate) header_config: HeaderConfig,
    /// Tells stores of one process apart.
    pub(crate) store: u64,
    /// The rotation policy of new keys that name none.
    pub(crate) rotation: Option<StoredPolicy>,
    pub(crate) no_address: NoAddress,
    pub(crate) on_refusal: RefusalHook,
    /// Held while events are deleted, and while they must not be.
    history: Mutex<()>,
    /// Held while times of use move from the index to the disk: who reads them there finds all.
    pub(super) writing_uses: Mutex<()>,
    backups: Mutex<BackupNotes>,
    files: Mutex<Option<LocalFiles>>,
}

impl Inner {
    pub(super) fn new(options: Options, store: u64, engine: Engine, files: LocalFiles) -> Self {
        let budget = options.failed_attempts.map(|(count, per)| {
            let per = u64::try_from(per.num_milliseconds()).unwrap_or(1);
            FailedAttempts::new(count, per)
        });
        Self {
            engine,
            prefixes: Prefixes::new(options.prefix, options.accepted),
            failed_attempts: budget,
            header_config: options.header_config,
            store,
            // Checked when the store was opened.
            rotation: options.rotation.and_then(|policy| policy.stored().ok()),
            no_address: NoAddress::default(),
            on_refusal: options.on_refusal,
            history: Mutex::default(),
            writing_uses: Mutex::default(),
            backups: Mutex::default(),
            files: Mutex::new(Some(files)),
        }
    }

    pub(super) fn health(&self) -> Health {
        let last_durable = self.engine.group.durable_head().number;
        let marked = self.engine.log.marked().unwrap_or(last_durable);
        let (failed_since, failure) = self.engine.group.failure().map(|failure| (failure.since, failure.text)).unzip();
        let closed = self.engine.index.is_closed();
        let backups = self.backup_notes();
        Health {
            last_durable,
            mark_lag: last_durable.saturating_sub(marked),
            failed_since,
            failure,
            last_backup: backups.last,
            backup_error: backups.error.clone(),
            ahead: self.engine.time.lead(),
            closed,
        }
    }

    /// Locks history, for whoever reads all of it or deletes from it. Open the log first: all take the two in this order.
    pub(crate) fn keep_history(&self) -> MutexGuard<'_, ()> {
        lock(&self.history)
    }

    pub(crate) fn backup_notes(&self) -> MutexGuard<'_, BackupNotes> {
        lock(&self.backups)
    }

    /// `None` once the store is closed.
    pub(crate) fn files(&self) -> MutexGuard<'_, Option<LocalFiles>> {
        lock(&self.files)
    }
}
