//! What all handles of a store share: the engine of changes, and what the store adds to it.

use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, Weak};

use crate::access::catalog::{Catalog, UnknownGrant};
use crate::base::lock::lock;
use crate::base::runtime::Runtime;
use crate::commit::engine::Engine;
use crate::http::header_config::HeaderConfig;
use crate::index::counts::UseCounter;
use crate::index::refused::failed_attempts::FailedAttempts;
use crate::index::refused::no_address::NoAddress;
use crate::index::refused::refused_attempt::RefusalHook;
use crate::key::record::StoredPolicy;
use crate::storage::local::LocalFiles;
use crate::store::console::hook::ConsoleHook;
use crate::store::health::{BackupNotes, Health};
use crate::store::open::options::Options;
#[cfg(feature = "cluster")]
use crate::store::uses::mirror::Mirror;
use crate::token::api_key::Prefixes;

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) runtime: Runtime,
    pub(crate) prefixes: Prefixes,
    pub(crate) failed_attempts: Option<FailedAttempts>,
    pub(crate) header_config: HeaderConfig,
    /// Distinguishes the stores of one process.
    pub(crate) store: u64,
    /// The rotation policy of new keys that name none.
    pub(crate) rotation: Option<StoredPolicy>,
    /// The idle time of new keys that name none, in milliseconds.
    pub(crate) idle_after: Option<i64>,
    /// The catalogue for checks of grants; `None` accepts every well-formed grant.
    pub(crate) catalog: Option<Catalog>,
    pub(crate) no_address: NoAddress,
    pub(crate) on_refusal: RefusalHook,
    /// Held by a thread that deletes events, and by one that reads all of them.
    history: Mutex<()>,
    /// The bytes of disk that counts of uses may take.
    pub(super) usage_disk: u64,
    /// Held while counts of uses move from memory to the disk, so that a reader of both finds each once.
    pub(super) writing_usage: Mutex<()>,
    /// Held while some of them move, so that a reader of one key's sum need not wait for all.
    pub(super) moving_usage: Mutex<()>,
    /// Whether counts wait that the last time was too short for.
    pub(super) usage_behind: AtomicBool,
    /// What a node of a cluster does so that all nodes can add up the counts.
    #[cfg(feature = "cluster")]
    pub(super) mirror: Option<Mirror>,
    /// Whether the last write of what was used of quotas failed.
    pub(super) quotas_unwritten: AtomicBool,
    /// Held while what was used of quotas, or is reserved, moves to the disk.
    pub(super) writing_quotas: Mutex<()>,
    /// Held while times of use move from the index to the disk, so that a reader of the disk finds all of them.
    pub(super) writing_uses: Mutex<()>,
    /// The consoles that this process serves for the store.
    pub(super) consoles: Mutex<Vec<Weak<dyn ConsoleHook>>>,
    backups: Mutex<BackupNotes>,
    files: Mutex<Option<LocalFiles>>,
}

impl Inner {
    pub(super) fn new(
        options: Options,
        store: u64,
        engine: Engine,
        files: LocalFiles,
        catalog: Option<Catalog>,
    ) -> Self {
        let budget = options.failed_attempts.map(|(count, per)| {
            let per = u64::try_from(per.num_milliseconds()).unwrap_or(1);
            FailedAttempts::new(count, per)
        });
        #[cfg(feature = "cluster")]
        let runtime = options.cluster.map_or(Runtime::System, |cluster| cluster.runtime);
        #[cfg(not(feature = "cluster"))]
        let runtime = Runtime::System;
        Self {
            engine,
            runtime,
            prefixes: Prefixes::new(options.prefix, options.accepted),
            failed_attempts: budget,
            header_config: options.header_config,
            store,
            // The builder has checked it.
            rotation: options.rotation.and_then(|policy| policy.stored().ok()),
            idle_after: options.idle_after.map(|span| span.num_milliseconds()),
            catalog,
            no_address: NoAddress::default(),
            on_refusal: options.on_refusal,
            history: Mutex::default(),
            usage_disk: options.usage_disk,
            writing_usage: Mutex::default(),
            moving_usage: Mutex::default(),
            usage_behind: AtomicBool::new(false),
            #[cfg(feature = "cluster")]
            mirror: None,
            quotas_unwritten: AtomicBool::new(false),
            writing_quotas: Mutex::default(),
            writing_uses: Mutex::default(),
            consoles: Mutex::default(),
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
            usage_dropped: self.engine.counts.as_ref().map_or(0, UseCounter::dropped),
            #[cfg(feature = "cluster")]
            cluster: self.engine.order().map(|order| order.health(&self.engine)),
            #[cfg(not(feature = "cluster"))]
            cluster: None,
            closed,
        }
    }

    /// Checks that each grant that the key does not have already matches a permission of the catalogue, if the store has
    /// one.
    pub(crate) fn check_catalog(&self, grants: &[String], held: &[String]) -> Result<(), UnknownGrant> {
        self.catalog.as_ref().map_or(Ok(()), |catalog| catalog.check(grants, held))
    }

    /// Locks the history, to read all of it or to delete from it. Open the log first: every thread takes the two locks
    /// in this order.
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
