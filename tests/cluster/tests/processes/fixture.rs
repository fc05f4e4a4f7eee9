//! A cluster of processes, its servers, its keys, and what has happened.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread::sleep;
use std::time::{Duration, Instant};

use apikey_core::cluster::{Ledger, Sight};
use tempfile::TempDir;

use super::NODES;
use super::messages::{Act, ClaimNumber, Dump, Engine, NodeConfig, Outcome, now};
use super::model::{Claim, History, Verdict};
use super::network::{Machines, Network};
use super::node::{Claims, Node, Report};
use super::servers::{self, Servers};

pub(super) const BOUND: Duration = Duration::from_secs(5);
const WRITE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long nodes have to follow again once nothing is wrong any more, on a machine that does much else.
const RECOVERY: Duration = Duration::from_secs(180);

/// What a node says that met another history than its own.
const FORK: &str = "had others instead";

pub(super) struct Fixture {
    pub(super) nodes: Vec<Node>,
    pub(super) servers: Mutex<Box<dyn Servers>>,
    // After what runs on them.
    _machines: Machines,
    // After the nodes, which write there.
    scratch: TempDir,
    pub(super) keys: RwLock<Vec<Arc<Mutex<Key>>>>,
    /// Which key a claim is of.
    pub(super) claim_of: Mutex<HashMap<ClaimNumber, (usize, Claim)>>,
    claims: Claims,
    pub(super) reports: Arc<Mutex<Vec<Report>>>,
    next_claim: AtomicU32,
    /// How many changes that take something away are under way.
    pub(super) taking: AtomicUsize,
    /// When the servers went back to a snapshot, in this run; 0 if they did not.
    pub(super) went_back: AtomicU64,
}

/// A key, and what has been done to it since the run began.
#[derive(Default)]
pub(super) struct Key {
    /// `None` if the answer to its creation is not known.
    pub(super) id: Option<String>,
    pub(super) tokens: Vec<Option<String>>,
    pub(super) history: History,
    pub(super) claims: Vec<ClaimNumber>,
    /// Where it is revoked, and since when, although the log does not have it.
    pub(super) only_here: Vec<OnlyHere>,
    /// A revocation has begun: another change makes no sense.
    pub(super) is_ending: bool,
    /// No more changes are made to it, or none yet: it is being created.
    pub(super) is_done: bool,
    /// The log went back, and has another history than this key.
    pub(super) is_uncertain: bool,
}

pub(super) struct OnlyHere {
    pub(super) node: usize,
    /// The process; `None` for every process of that node, as the replica has it.
    pub(super) run: Option<u32>,
    pub(super) since: u64,
}

impl Fixture {
    pub(super) fn start(engine: Engine, test: &str, on_disk: usize) -> Self {
        let scratch = tempfile::Builder::new().prefix("apikey-processes-").tempdir().unwrap();
        let machines = Machines::new(NODES);
        let servers = servers::start(engine, machines.servers());
        let (claims, reports) = (Claims::default(), Arc::default());
        let nodes: Vec<Node> = ["one", "two", "three"]
            .into_iter()
            .enumerate()
            .map(|(index, name)| {
                let network = Network::new(machines.node(index), &*servers, &machines);
                let config = NodeConfig {
                    name: name.to_owned(),
                    engine,
                    connection: servers.connection(&network.addresses()),
                    replica: (index < on_disk).then(|| scratch.path().join(name).join("replica")),
                    max_staleness_ms: u64::try_from(BOUND.as_millis()).unwrap(),
                    write_timeout_ms: u64::try_from(WRITE_TIMEOUT.as_millis()).unwrap(),
                    is_newer: false,
                };
                Node::new(index, config, (machines.node(index), network), test, &claims, &reports)
            })
            .collect();
        nodes.iter().for_each(|node| node.start(scratch.path()));
        Self {
            scratch,
            servers: Mutex::new(servers),
            _machines: machines,
            nodes,
            keys: RwLock::default(),
            claim_of: Mutex::default(),
            claims,
            reports,
            next_claim: AtomicU32::new(0),
            taking: AtomicUsize::new(0),
            went_back: AtomicU64::new(0),
        }
    }

    pub(super) fn scratch(&self) -> &Path {
        self.scratch.path()
    }

    /// Adds a key that is about to be created; its number.
    pub(super) fn add(&self) -> usize {
        let mut keys = self.keys.write().unwrap();
        keys.push(Arc::new(Mutex::new(Key { is_done: true, ..Key::default() })));
        keys.len() - 1
    }

    pub(super) fn key(&self, number: usize) -> Arc<Mutex<Key>> {
        self.keys.read().unwrap()[number].clone()
    }

    /// Has all nodes verify a token of a key.
    pub(super) fn watch(&self, number: usize, key: &mut Key, token: usize) {
        let Some(text) = key.tokens[token].clone() else { return };
        for write in [false, true] {
            let claim = self.next_claim.fetch_add(1, Ordering::Relaxed);
            key.claims.push(claim);
            self.claim_of.lock().unwrap().insert(claim, (number, Claim { token, write }));
            self.claims.lock().unwrap().insert(claim, (text.clone(), write));
            self.nodes.iter().for_each(|node| node.watch(claim, &text, write));
        }
    }

    pub(super) fn unwatch(&self, key: &mut Key) {
        for claim in key.claims.drain(..) {
            self.claims.lock().unwrap().remove(&claim);
            self.nodes.iter().for_each(|node| node.unwatch(claim));
        }
    }

    /// Whether something has been taken away, by a change that began after this time and is acknowledged.
    pub(super) fn has_taken_since(&self, since: u64) -> bool {
        let keys = self.keys.read().unwrap().clone();
        keys.iter().any(|key| {
            key.lock().unwrap().history.changes.iter().any(|change| {
                change.effect.takes() && change.begin > since && matches!(change.verdict, Verdict::Yes { .. })
            })
        })
    }

    /// How many changes have been acknowledged since the last check.
    pub(super) fn acknowledged(&self) -> usize {
        let keys = self.keys.read().unwrap().clone();
        let of = |key: &Arc<Mutex<Key>>| {
            let key = key.lock().unwrap();
            key.history.changes.iter().filter(|change| matches!(change.verdict, Verdict::Yes { .. })).count()
        };
        keys.iter().map(of).sum()
    }

    /// Whether a change that was acknowledged waited for the other nodes in one of these spans.
    pub(super) fn had_barrier_in(&self, spans: &[(u64, u64)]) -> bool {
        let keys = self.keys.read().unwrap().clone();
        keys.iter().any(|key| {
            key.lock().unwrap().history.changes.iter().any(|change| {
                let is_acknowledged = matches!(change.verdict, Verdict::Yes { .. });
                let is_in = |span: &(u64, u64)| change.begin < span.1 && change.end.is_some_and(|end| end > span.0);
                change.effect.takes() && is_acknowledged && spans.iter().any(is_in)
            })
        })
    }

    /// All nodes are in step again. What was acknowledged after the servers had gone back to a snapshot holds everywhere only
    /// from now on: a node that lacked it served by what the servers had until another one had published it. If a node that
    /// lacked it made a change before that, what was given is lost. What was acknowledged before holds throughout.
    pub(super) fn are_in_step(&self) {
        let went_back = self.went_back.swap(0, Ordering::SeqCst);
        if went_back == 0 {
            return;
        }
        let now = now();
        let recovered: Vec<_> = self.nodes.iter().filter_map(|node| node.health()?.recovered).collect();
        let is_fork = recovered.iter().any(|what| what.contains(FORK));
        println!("processes: set back: {recovered:?}");
        for key in self.keys.read().unwrap().iter() {
            let key = &mut *key.lock().unwrap();
            for change in &mut key.history.changes {
                let was_everywhere = change.verdict == Verdict::Yes { everywhere: true }
                    && change.end.is_some_and(|end| end < went_back);
                key.is_uncertain |= is_fork && !was_everywhere;
                change.end = change.end.map(|end| if end < went_back { end } else { now });
            }
        }
    }

    /// Waits until something is being taken away, or a moment in which nothing is.
    pub(super) fn wait_for_taking(&self) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.taking.load(Ordering::SeqCst) == 0 && Instant::now() < end {
            sleep(Duration::from_micros(200));
        }
    }

    /// Trims the log once its state stands beyond what the log has now, so that who is away does not find what it lacks.
    pub(super) fn trim_beyond_now(&self, ledger: &dyn Ledger) {
        let soon = || Instant::now() + Duration::from_secs(5);
        let end = Instant::now() + BOUND * 8;
        let mut at_first = None;
        while Instant::now() < end {
            if let Ok(Sight { head: Some(head), state: Some(state), .. }) = ledger.sight(1, soon()) {
                let is_beyond = state.number > *at_first.get_or_insert(head.number);
                if is_beyond && ledger.trim(1, state.number, soon()).is_ok() {
                    return;
                }
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until every node follows again, and none has anything that the log lacks.
    pub(super) fn recover(&self) -> Result<(), String> {
        let end = Instant::now() + RECOVERY;
        loop {
            let mut left = Vec::new();
            let mut applied = BTreeMap::new();
            for node in &self.nodes {
                let name = &node.config.name;
                if !node.is_open() {
                    left.push(format!("{name} does not open: {:?}", node.why_not_open()));
                    continue;
                }
                let Some(health) = node.health() else { return Err(format!("{name} has ended by itself")) };
                if let Some(why) = health.stopped {
                    return Err(format!("{name} has stopped: {why}"));
                }
                if !health.ready || health.only_here > 0 {
                    left.push(format!("{name}: {health:?}"));
                }
                applied.insert(name.clone(), health.applied);
            }
            if left.is_empty() {
                // An append without an answer is resolved first.
                let caught_up = self.nodes.iter().all(|node| {
                    let done = node.act(Act::CatchUp);
                    done.is_some_and(|done| matches!(done.outcome, Outcome::Changed { .. }))
                });
                if caught_up {
                    return Ok(());
                }
                left.push(format!("a node does not catch up: {applied:?}"));
            }
            if Instant::now() > end {
                return Err(format!("after {RECOVERY:?} not all follow again: {left:?}"));
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// What each node has, once all have the same number of events.
    pub(super) fn dumps(&self) -> Result<Vec<Dump>, String> {
        let end = Instant::now() + RECOVERY;
        loop {
            let mut dumps = Vec::new();
            for node in &self.nodes {
                match node.act(Act::Dump).map(|done| done.outcome) {
                    Some(Outcome::Dump(dump)) => dumps.push(*dump),
                    other => return Err(format!("{} has no dump: {other:?}", node.config.name)),
                }
            }
            if dumps.iter().all(|dump| dump.applied == dumps[0].applied) {
                return Ok(dumps);
            }
            if Instant::now() > end {
                let applied: Vec<_> = dumps.iter().map(|dump| dump.applied).collect();
                return Err(format!("the nodes stay at the events {applied:?}"));
            }
            sleep(Duration::from_millis(50));
        }
    }
}
