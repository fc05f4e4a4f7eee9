//! The engine of changes. It decides each change on the current records, appends it to the log, makes it durable, and
//! makes it visible.
//!
//! ```text
//! decide -> stage -> enqueue -> restrict -> append to the log -> sync -> publish
//!           (writer's lock) ...............................     (group commit)
//! ```
//!
//! The index loses what a change takes away before the log has the change, and gets what it gives only once the log has
//! it on the disk. So no verification succeeds with rights that a restart would not find.

use std::io;
#[cfg(feature = "cluster")]
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard};
#[cfg(feature = "cluster")]
use std::time::Duration;

use crate::access::auth_error::AuthError;
use crate::access::peer::Peer;
use crate::access::stores;
use crate::access::verified_key::VerifiedKey;
use crate::base::lock::lock;
use crate::base::metrics::Meter;
use crate::base::store_time::StoreTime;
use crate::commit::change_feed::ChangeFeed;
#[cfg(feature = "cluster")]
use crate::commit::cluster::gate::Gate;
#[cfg(feature = "cluster")]
use crate::commit::cluster::health::ClusterHealth;
#[cfg(feature = "cluster")]
use crate::commit::cluster::propagation::{Hold, Terms};
use crate::commit::first_use::FirstUses;
use crate::commit::group_commit::GroupCommit;
use crate::commit::local_log::{LocalLog, OpenLog};
#[cfg(feature = "cluster")]
use crate::commit::outcome::Outcome;
#[cfg(feature = "cluster")]
use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::index::Index;
use crate::index::counts::UseCounter;
use crate::index::refused::refusals::RefusalCounts;
use crate::key::change::{Action, Change};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;
use crate::key::lifetime::Lifetime;
use crate::key::record::Record;
use crate::key::scope::Scope;
use crate::storage::database::disk::Disk;

/// The parts that change keys, and the index that a verification reads.
pub(crate) struct Engine {
    pub(crate) index: Index,
    pub(crate) time: StoreTime,
    pub(crate) lifetime: Lifetime,
    pub(crate) log: LocalLog,
    pub(crate) group: GroupCommit,
    pub(crate) first_uses: FirstUses,
    /// The ids of changed keys, for a rotator.
    pub(crate) changes: ChangeFeed,
    /// Counts of refusals by key. Deleting a key removes its counts.
    pub(crate) refusals: RefusalCounts,
    /// Counts of uses; `None` if the store does not count them.
    pub(crate) counts: Option<UseCounter>,
    /// Keys that were deleted, whose rows of usage go; `None` if the store does not count, and never has.
    forgotten: Option<Mutex<Vec<u128>>>,
    pub(crate) meter: Meter,
    writer: Mutex<Writer>,
    /// What orders the changes of a store in a cluster.
    #[cfg(feature = "cluster")]
    order: Option<Box<dyn Order>>,
    /// Whether a verification may begin.
    #[cfg(feature = "cluster")]
    pub(crate) gate: Gate,
    /// The last event that the cluster has purged, for this node to purge; [`PURGED_UNKNOWN`] after an open.
    #[cfg(feature = "cluster")]
    pub(crate) purged: AtomicU64,
}

/// The replica may have events that the cluster purged before it was opened.
#[cfg(feature = "cluster")]
pub(crate) const PURGED_UNKNOWN: u64 = u64::MAX;

/// Decides on changes, by the current records. It may be called again, by later records.
#[cfg(feature = "cluster")]
pub(crate) type Decide<'d> = dyn FnMut(&mut Writer, &Records<'_>) -> Result<Vec<Change>, StoreError> + 'd;

/// Orders the changes of a store that shares its keys with others: the seam between the engine and a cluster. A store
/// without one orders its changes itself.
#[cfg(feature = "cluster")]
pub(crate) trait Order: Send + Sync {
    /// Makes the changes that `decide` returns, as [`Engine::change`] does, and waits until they are on other nodes.
    fn change(&self, engine: &Engine, terms: Terms, decide: &mut Decide<'_>) -> Result<Vec<Outcome>, StoreError>;

    /// Waits until every node has what this one has, at most this long. Returns the names of those that have not.
    fn wait_for_nodes(&self, longest: Duration) -> Vec<String>;

    fn health(&self, engine: &Engine) -> ClusterHealth;

    /// Refuses every key from now on, and makes other nodes no longer wait for this one. Returns `false` if they still
    /// do.
    fn leave(&self, engine: &Engine) -> bool;

    /// Makes the changes of the first uses that wait.
    fn write_first_uses(&self, engine: &Engine) -> Result<(), StoreError>;

    /// Wakes the thread that reserves what quotas need.
    fn wake_quotas(&self);

    /// Reserves blocks of the strict quotas that a change has just set.
    fn reserve_first_blocks(&self, engine: &Engine);

    /// How many calls wait for their turn to change something.
    #[cfg(test)]
    fn waiting(&self) -> usize;

    /// Whether this store has a hold, as far as it knows.
    fn holds(&self, hold: Hold) -> bool;

    /// Takes a hold unless another store has it. Returns whether this one has it now.
    fn take_hold(&self, hold: Hold) -> bool;

    /// For the simulation, which looks into the node.
    #[cfg(test)]
    fn as_any(&self) -> &dyn std::any::Any;
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
            counts: None,
            forgotten: None,
            meter: Meter::new(),
            writer: Mutex::new(writer),
            #[cfg(feature = "cluster")]
            order: None,
            #[cfg(feature = "cluster")]
            gate: Gate::always_open(),
            #[cfg(feature = "cluster")]
            purged: AtomicU64::new(PURGED_UNKNOWN),
        }
    }

    /// Counts the uses of keys, or if it does not, deletes the rows of deleted keys if there are rows.
    pub(crate) fn counting(self, count_use: bool, has_rows: bool) -> Self {
        let counts = count_use.then(|| UseCounter::new(self.index.store()));
        Self { counts, forgotten: (count_use || has_rows).then(Mutex::default), ..self }
    }

    /// Drops the counts of a key that was deleted.
    pub(crate) fn forget_counts(&self, key: u128) {
        self.refusals.forget(key);
        self.forgotten.iter().for_each(|forgotten| lock(forgotten).push(key));
    }

    /// The keys that were deleted since the last call, if there can be rows of usage.
    pub(crate) fn take_forgotten(&self) -> Vec<u128> {
        self.forgotten.as_ref().map(|forgotten| std::mem::take(&mut *lock(forgotten))).unwrap_or_default()
    }

    /// Takes back those that are not forgotten yet.
    pub(crate) fn forget_later(&self, keys: Vec<u128>) {
        self.forgotten.iter().for_each(|forgotten| lock(forgotten).extend(&keys));
    }

    /// Makes this the engine of a node in a cluster: `order` makes its changes, and the gate is closed at first.
    #[cfg(feature = "cluster")]
    pub(crate) fn join(self, order: Box<dyn Order>, gate: Gate) -> Self {
        Self { order: Some(order), gate, ..self }
    }

    /// What orders the changes of this store; `None` if it does so itself.
    #[cfg(feature = "cluster")]
    pub(crate) fn order(&self) -> Option<&dyn Order> {
        self.order.as_deref()
    }

    /// Whether this store has its keys for itself.
    pub(crate) fn is_alone(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.order().is_none();
        #[cfg(not(feature = "cluster"))]
        true
    }

    /// Whether this store does the work that one store of a cluster has to do: always, outside a cluster.
    pub(crate) fn keeps_house(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.order().is_none_or(|order| order.holds(Hold::Janitor));
        #[cfg(not(feature = "cluster"))]
        true
    }

    /// Wakes the thread that writes what was used of quotas, and reserves more.
    pub(crate) fn wake_quotas(&self) {
        #[cfg(feature = "cluster")]
        if let Some(order) = self.order() {
            return order.wake_quotas();
        }
        self.log.maintenance.notify();
    }

    /// Whether the rotator of this store is the one that works: always, outside a cluster.
    pub(crate) fn may_rotate(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.order().is_none_or(|order| order.take_hold(Hold::Rotator));
        #[cfg(not(feature = "cluster"))]
        true
    }

    /// Whether a verification may begin: always, outside a cluster.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        #[cfg(feature = "cluster")]
        return self.gate.is_open(|| self.time.raw_ms());
        #[cfg(not(feature = "cluster"))]
        true
    }

    /// Locks the writer's state. The thread that holds it is the only one that decides changes.
    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // The state in memory and on disk is unknown.
            self.group.fail(&io::Error::other("a change panicked"));
            poisoned.into_inner()
        })
    }

    /// Creates a change of one key, at the current time.
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

    /// Waits until everything that was appended up to this ticket is durable and visible.
    pub(crate) fn wait(&self, ticket: u64, log: &OpenLog<'_>) -> io::Result<()> {
        self.group.wait(ticket, &self.index, log)
    }

    /// Writes the first uses so far, and makes everything durable. The caller has taken the database out, and closed
    /// the index.
    pub(crate) fn close(&self, disk: &Disk) -> io::Result<()> {
        let log = self.log.closing(disk);
        if self.is_alone() {
            self.write_first_uses(&mut self.writer(), &log);
        }
        self.wait(self.group.appended(), &log)?;
        disk.checkpoint()
    }

    /// When a key ends if nobody uses it, by the uses that this store knows.
    pub(crate) fn idle_end(&self, record: &Record) -> Option<i64> {
        record.idle_end(self.lifetime.is_shared).map(|idle| idle.with_use(self.index.last_use_of(record.id)))
    }

    /// Whether a key was not used for as long as it may be idle.
    pub(crate) fn is_idle(&self, record: &Record, now: i64) -> bool {
        self.idle_end(record).is_some_and(|end| end <= now)
    }

    /// Returns the changes that make known to other stores which keys with an idle end are in use.
    #[cfg(feature = "cluster")]
    pub(crate) fn in_use_changes(&self) -> Vec<Change> {
        let uses = self.index.extending_uses().into_iter();
        uses.map(|(id, used_at)| self.change_of(id, Action::InUse { used_at })).collect()
    }

    /// Returns the effective key of a record.
    pub(crate) fn effective(&self, record: &Record) -> Result<EffectiveKey, StoreError> {
        let default = stores::default_prefix(self.index.store());
        Ok(EffectiveKey::of(record, self.lifetime, default).map_err(io::Error::from)?)
    }

    /// Checks that a key that was verified earlier is still valid, with the same secret.
    pub(crate) fn recheck(&self, key: &VerifiedKey) -> Result<(), AuthError> {
        self.again(key, |index, now| index.recheck(key, now))
    }

    /// The same from this peer; returns the key as it is now.
    pub(crate) fn refresh(&self, key: &VerifiedKey, peer: Peer) -> Result<VerifiedKey, AuthError> {
        self.again(key, |index, now| index.refresh(key, now, peer.address()))
    }

    fn again<T>(
        &self,
        key: &VerifiedKey,
        check: impl FnOnce(&Index, i64) -> Result<T, AuthError>,
    ) -> Result<T, AuthError> {
        if key.store != self.index.store() {
            return Err(AuthError::Invalid);
        }
        if !self.is_ready() {
            return Err(AuthError::Unavailable);
        }
        check(&self.index, self.time.now_ms()).map_err(|error| self.unavailable_if_closed(error))
    }

    /// Replaces the error of a closed store, whose empty index calls every key invalid.
    pub(crate) fn unavailable_if_closed(&self, error: AuthError) -> AuthError {
        if error == AuthError::Invalid && self.index.is_closed() { AuthError::Unavailable } else { error }
    }

    /// Records a failed write: the state of the disk is unknown, so the store acknowledges nothing more until it is
    /// reopened.
    pub(super) fn fail(&self, restricted: bool, source: io::Error) -> StoreError {
        self.group.fail(&source);
        io_or_not_durable(restricted, source)
    }
}

/// The error of a change that could not be written. A restriction is in force all the same.
pub(crate) fn io_or_not_durable(restricted: bool, source: io::Error) -> StoreError {
    if restricted { StoreError::NotDurable { source } } else { StoreError::Io { source } }
}
