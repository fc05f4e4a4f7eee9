//! A node of a cluster: its replica follows the log, its gate follows the clock, and its changes go through the ledger.
//!
//! Three threads work for it: `follow` reads the log and applies it, `probe` looks at the ledger often enough that the gate
//! stays open, and `keep` does what can wait. A fourth one reserves quotas, once there are any. A verification touches none of
//! this: it reads the gate and the index.
//!
//! Locks are taken in this order: the turn, `applying`, the writer of the engine, `state`. No call to the ledger is made
//! under any of them but the turn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::base::boot_time::BootClock;
use crate::base::codec;
use crate::base::lock::lock;
use crate::base::runtime::Runtime;
use crate::base::signal::Signal;
use crate::cluster::config::Cluster;
use crate::cluster::format::presence::Acknowledgement;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, Fence, Ledger, Position, Sight};
use crate::cluster::meter::NodeMeter;
use crate::cluster::node::entry::open_entry::EntryLine;
use crate::cluster::node::entry::unresolved::Unresolved;
use crate::cluster::node::here_only::AllHereOnly;
use crate::cluster::node::listings::Listings;
use crate::cluster::node::reserver::Reserver;
use crate::cluster::node::turn::Turn;
use crate::cluster::protocol::chain::Chain;
use crate::cluster::protocol::log_tally::LogTally;
use crate::cluster::protocol::membership::{Membership, Place};
use crate::cluster::protocol::reading::Reading;
use crate::cluster::protocol::removal::{MarkedSeen, Unchanged};
use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::recovery::step::RecoveryStep;
use crate::commit::cluster::propagation::Hold;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::kept_entries::KeptEntries;

/// Why a node of the former keys stops.
pub(crate) const REPLACED: &str =
    "the keys of the cluster were replaced, and this node has the former ones: open it again";
/// What a change fails with on a node that has more than the log.
pub(crate) const WENT_BACK: &str =
    "the engine went back in time, and this node brings back what it lost: try again soon";
/// Why a node stops whose log is gone.
pub(crate) const LOG_GONE: &str = "the log of the cluster is gone";
/// The longest wait for an answer of the ledger outside a change.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// The settings of a node while it is open.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// The name of the node, for people.
    pub(crate) name: String,
    /// The cluster's random name.
    pub(crate) cluster: u128,
    pub(crate) generation: u64,
    /// `max_staleness` of the cluster.
    pub(crate) bound: Duration,
    /// How long a change tries.
    pub(crate) write_timeout: Duration,
    /// The highest number of a pepper that the node has, 0 for none.
    pub(crate) pepper: u32,
    pub(crate) safeguards: Safeguards,
}

/// What the parts of a node share.
pub(crate) struct Node {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) settings: Settings,
    pub(crate) clock: BootClock,
    pub(crate) runtime: Runtime,
    pub(crate) meter: NodeMeter,
    /// The calls that change something, and their turn.
    pub(crate) line: EntryLine,
    /// What the barriers of this node have seen of the others.
    pub(super) listings: Listings,
    /// Held while entries become visible.
    pub(crate) applying: Mutex<()>,
    /// The entries that the replica has applied last.
    pub(crate) kept: Mutex<KeptEntries>,
    /// Held while the node acknowledges, so that an earlier note does not follow a later one.
    acknowledging: Turn,
    state: Mutex<State>,
    /// Wakes each thread, or ends it.
    pub(crate) following: Signal,
    pub(crate) probing: Signal,
    pub(crate) keeping: Signal,
    pub(crate) reserving: Signal,
    pub(crate) reserver: Reserver,
    /// Held while this node reserves of quotas, or gives back.
    pub(super) reserved: Turn,
    /// What the reservations hold, as this node last saw them.
    pub(super) seen_reservations: Mutex<HashMap<u128, Vec<u8>>>,
}

pub(crate) struct State {
    pub(crate) membership: Membership,
    pub(crate) chain: Chain,
    pub(crate) marked: MarkedSeen,
    pub(crate) unchanged: Unchanged,
    /// What is in force here and not in the log, by key.
    pub(crate) here: AllHereOnly,
    /// The keys of applied entries that are not settled yet, and those that could not be.
    pub(crate) unsettled: BTreeSet<u128>,
    /// An append that had no answer.
    pub(crate) unresolved: Option<Unresolved>,
    /// Why the node does not follow the log.
    pub(crate) fault: Option<String>,
    /// What the node does to be in step with the log again.
    pub(crate) recovery: Option<RecoveryStep>,
    /// How often the node has noticed that the engine went back in time.
    pub(crate) times_back: u64,
    /// The operation of the entry for which the replica was loaded anew last.
    pub(crate) reloaded_for: Option<[u8; 16]>,
    /// Since when the node waits for another one to bring back what the engine lost.
    pub(crate) waits_since: Option<Instant>,
    /// What it did the last time.
    pub(crate) recovered: Option<String>,
    /// The last error of the ledger, until it answers again.
    pub(crate) ledger_error: Option<String>,
    /// The presences and acknowledgements, as they were last listed.
    pub(crate) cells: Vec<Cell>,
    /// What the last look saw.
    pub(crate) sight: Option<Sight>,
    /// What has been acknowledged.
    acknowledged: Option<(u128, Position)>,
    /// What the log has, if this node is the janitor.
    pub(crate) tally: Option<LogTally>,
    /// The head at the cluster's state, if this node was the last to move it.
    pub(crate) state_head: Option<Head>,
    /// When this node, as the janitor, last looked for outcomes of requests that no longer count.
    pub(crate) outcomes_forgotten: Option<i64>,
    /// How far the clocks of the other nodes are ahead of this one's.
    pub(crate) skew_ms: i64,
    /// When this node last asked whether another one waits, and what it saw.
    pub(crate) asked_waiting: Option<Instant>,
    pub(crate) waiting_seen: Option<WaitingSeen>,
    /// The holds of this node.
    pub(crate) holds: BTreeMap<Hold, Fence>,
}

/// Another node that waits, as this one has seen it.
#[derive(Debug, Clone)]
pub(crate) struct WaitingSeen {
    pub(super) value: Vec<u8>,
    pub(super) since: Instant,
}

/// Why a node does not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FollowError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The log has something that this node must not pass over.
    #[error("{0}")]
    Entry(String),
    /// The log has an entry that cannot be applied to this replica.
    #[error("{what}")]
    Unusable {
        /// The operation that wrote it.
        op: [u8; 16],
        what: String,
    },
    /// The log has another history than this replica.
    #[error("the log has another history than this replica, from event {0} on at the latest")]
    Elsewhere(u64),
    #[error(transparent)]
    Replica(#[from] StoreError),
}

impl State {
    /// Forgets what the node knew of the engine: that was at another time.
    pub(crate) fn forget_engine(&mut self) {
        self.marked = MarkedSeen::default();
        self.unchanged = Unchanged::default();
        self.cells.clear();
        self.sight = None;
        self.acknowledged = None;
        self.state_head = None;
        self.holds.clear();
    }
}

impl Node {
    /// Creates a node whose replica is at `head`.
    pub(crate) fn new(cluster: &Cluster, settings: Settings, head: Position, kept: KeptEntries) -> Self {
        let state = State {
            membership: Membership::new(settings.bound, settings.safeguards),
            chain: Chain::new(head, settings.safeguards),
            marked: MarkedSeen::default(),
            unchanged: Unchanged::default(),
            here: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            unresolved: None,
            fault: None,
            recovery: None,
            times_back: 0,
            reloaded_for: None,
            waits_since: None,
            recovered: None,
            ledger_error: None,
            cells: Vec::new(),
            sight: None,
            acknowledged: None,
            tally: None,
            state_head: None,
            outcomes_forgotten: None,
            skew_ms: 0,
            asked_waiting: None,
            waiting_seen: None,
            holds: BTreeMap::new(),
        };
        Self {
            ledger: cluster.ledger.clone(),
            meter: NodeMeter::new(&settings.name),
            settings,
            clock: cluster.clock.clone(),
            runtime: cluster.runtime.clone(),
            line: EntryLine::default(),
            listings: Listings::default(),
            applying: Mutex::default(),
            kept: Mutex::new(kept),
            acknowledging: Turn::default(),
            state: Mutex::new(state),
            following: Signal::default(),
            probing: Signal::default(),
            keeping: Signal::default(),
            reserving: Signal::default(),
            reserver: Reserver::default(),
            reserved: Turn::default(),
            seen_reservations: Mutex::default(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// The head of what the replica has applied and settled.
    pub(crate) fn head(&self) -> Position {
        self.state().chain.head()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.settings.generation
    }

    /// The node cannot follow the log: it serves no longer, and says why.
    pub(crate) fn stop(&self, engine: &Engine, why: &str) {
        let mut state = self.state();
        state.membership.is_stale();
        engine.gate.close();
        if state.fault.is_none() {
            tracing::error!(name: "apikey.cluster", target: "apikey", node = self.settings.name, why, "this node no longer follows the cluster, and refuses every key");
            state.fault = Some(why.to_owned());
            state.recovery = None;
        }
    }

    /// Tells the others what this node has applied, if it has not yet.
    pub(crate) fn acknowledge(&self, by: Instant) -> Result<(), LedgerError> {
        let one = self.acknowledging.take(&self.runtime, by);
        let _one = one.ok_or_else(|| LedgerError::refused("another acknowledgement is on its way"))?;
        let (incarnation, head) = {
            let state = self.state();
            // What a node that has stopped has applied may be another history.
            if state.fault.is_some() || state.recovery.is_some() {
                return Ok(());
            }
            let Some(incarnation) = state.membership.incarnation() else { return Ok(()) };
            let head = state.chain.head();
            if state.acknowledged == Some((incarnation.0, head)) {
                return Ok(());
            }
            (incarnation, head)
        };
        let value = codec::encode(&Acknowledgement { number: head.number, digest: head.digest })
            .map_err(|error| LedgerError::refused(error.to_string()))?;
        self.noted(self.ledger.note(&incarnation.acknowledgement(self.generation()), &value, by))?;
        self.state().acknowledged = Some((incarnation.0, head));
        Ok(())
    }

    /// Remembers the error of a call to the ledger, for health, and forgets it after one that succeeds.
    pub(crate) fn noted<T>(&self, answer: Result<T, LedgerError>) -> Result<T, LedgerError> {
        self.state().ledger_error = answer.as_ref().err().map(ToString::to_string);
        answer
    }

    /// What the clocks of this machine show.
    pub(crate) fn reading(&self, engine: &Engine) -> Reading {
        Reading { boot: self.clock.now(), wall: engine.time.raw_ms() }
    }

    /// Where a head of the log lies, seen from the replica.
    pub(crate) fn place(&self, position: &Position) -> Place {
        self.state().chain.place(position)
    }

    /// Ends the threads of the node.
    pub(crate) fn close(&self) {
        for signal in [&self.following, &self.probing, &self.keeping, &self.reserving] {
            signal.close();
        }
        self.ledger.close();
    }
}
