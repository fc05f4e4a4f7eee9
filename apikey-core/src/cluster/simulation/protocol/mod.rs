//! The steps of the protocol in virtual time. Time is counted in hundredths of the bound.

mod faults;
mod following;
mod looking;
mod node;
mod plan;
mod tests;
mod writing;

use std::cell::Cell as Slot;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::memory::{MemoryBackup, MemoryLedger};
use crate::cluster::ledger::{Cell, CellKind, Ledger, LedgerResult, Position};
use crate::cluster::simulation::protocol::node::SimulatedNode;
use crate::cluster::simulation::protocol::plan::{Counts, Faults, Plan};
use crate::cluster::simulation::random::Random;
use crate::cluster::simulation::replayed;

const GENERATION: u64 = 1;
const BOUND: Duration = Duration::from_secs(10);
/// The bound in the time of a simulation.
const UNITS: f64 = 100.0;
/// The unit of time, in seconds.
const SECONDS: f64 = 0.1;
/// Nobody serves for so long by what it saw before.
const SAFE_AFTER: f64 = 1.03 * UNITS;
/// The time of a run.
const LENGTH: f64 = 2500.0;

/// What a node does at some time.
type Then = Box<dyn FnOnce(&mut Simulation, usize)>;

/// A run of some nodes and their ledger.
struct Simulation {
    plan: Plan,
    faults: Faults,
    random: Random,
    now: f64,
    events: BinaryHeap<Scheduled>,
    scheduled: u64,
    ledger: MemoryLedger,
    backup: Option<(MemoryBackup, usize)>,
    /// What a former primary has, which does not know that it is none any more, and answers glances.
    former: Option<Vec<Cell>>,
    /// The log, as it is.
    log: Vec<Position>,
    /// The calls whose entries the log has.
    calls: BTreeSet<u64>,
    /// The calls that were refused: their entries are never in the log.
    refused: BTreeSet<u64>,
    next_call: u64,
    /// How often the ledger went back in time.
    times_back: u64,
    /// An engine that goes back loses presences, too, so nothing is promised before the nodes that had them serve no
    /// longer.
    unsafe_until: f64,
    nodes: Vec<SimulatedNode>,
    /// The newest change that holds everywhere, as its writer knows.
    promised: Position,
    /// The number of the newest change whose writer knows that the log has it.
    answered: u64,
    counts: Counts,
    violation: Option<String>,
    /// Whether it prints what happens.
    is_shown: bool,
}

struct Scheduled {
    at: f64,
    number: u64,
    act: Box<dyn FnOnce(&mut Simulation)>,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Scheduled {}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // The heap has its greatest first, and the earliest comes first here.
        other.at.total_cmp(&self.at).then(other.number.cmp(&self.number))
    }
}

/// Makes a run.
fn run(seed: u64, plan: Plan) -> (Option<String>, Counts) {
    let mut random = Random::new(seed);
    let faults = Faults::random(&mut random, &plan);
    let ledger = MemoryLedger::new();
    ledger.begin(GENERATION, &Position::default(), Instant::now()).unwrap();
    let nodes = (0..3 + random.below(3)).map(|_| SimulatedNode::new(&mut random, &plan, &faults)).collect();
    let mut simulation = Simulation {
        plan,
        faults,
        random,
        now: 0.0,
        events: BinaryHeap::new(),
        scheduled: 0,
        ledger,
        backup: None,
        former: None,
        log: Vec::new(),
        calls: BTreeSet::new(),
        refused: BTreeSet::new(),
        next_call: 0,
        times_back: 0,
        unsafe_until: 0.0,
        nodes,
        promised: Position::default(),
        answered: 0,
        counts: Counts::default(),
        violation: None,
        is_shown: replayed() == Some(seed),
    };
    simulation.begin();
    while let Some(next) = simulation.events.pop() {
        if next.at > LENGTH || simulation.violation.is_some() {
            break;
        }
        simulation.now = next.at;
        (next.act)(&mut simulation);
        simulation.counts.events += 1;
        simulation.check();
    }
    let Simulation { violation, counts, .. } = simulation;
    (violation, counts)
}

impl Simulation {
    fn begin(&mut self) {
        for n in 0..self.nodes.len() {
            let delay = self.random.between(0.0, 10.0);
            self.for_node(n, delay, |simulation, n| simulation.start_node(n));
        }
        self.at(5.0, Self::write_now_and_then);
        self.schedule_faults();
    }

    fn at(&mut self, delay: f64, act: impl FnOnce(&mut Self) + 'static) {
        self.scheduled += 1;
        let (at, number) = (self.now + delay.max(0.0), self.scheduled);
        self.events.push(Scheduled { at, number, act: Box::new(act) });
    }

    /// Lets a node act after a while, if it has not been restarted by then; once it is not paused.
    fn for_node(&mut self, n: usize, delay: f64, act: impl FnOnce(&mut Self, usize) + 'static) {
        let life = self.nodes[n].life;
        self.in_life(n, life, delay, Box::new(act));
    }

    fn in_life(&mut self, n: usize, life: u64, delay: f64, act: Then) {
        self.at(delay, move |simulation| {
            if simulation.nodes[n].life != life {
                return;
            }
            let paused = simulation.nodes[n].paused_until - simulation.now;
            if paused > 0.0 {
                // Its threads go on in any order.
                let delay = paused + simulation.random.between(0.001, 0.5);
                return simulation.in_life(n, life, delay, act);
            }
            act(simulation, n);
        });
    }

    fn delay(&mut self) -> f64 {
        let quick = self.faults.quick;
        if !self.random.chance(self.faults.held_up) {
            self.random.between(quick / 5.0, quick)
        } else if self.random.chance(0.8) {
            self.random.between(quick, 1.5 * UNITS)
        } else {
            self.random.between(1.5 * UNITS, 5.0 * UNITS)
        }
    }

    /// Sends a call of a node to the ledger, and acts on the answer.
    fn ask<A: 'static>(
        &mut self,
        n: usize,
        call: impl FnOnce(&mut Self) -> LedgerResult<A> + 'static,
        then: impl FnOnce(&mut Self, usize, LedgerResult<A>) + 'static,
    ) {
        self.ask_with_snapshot(n, |_| (), |simulation, ()| call(simulation), then);
    }

    /// The same, for a call whose snapshot is older than its commit.
    fn ask_with_snapshot<S: 'static, A: 'static>(
        &mut self,
        n: usize,
        snapshot: impl FnOnce(&mut Self) -> S + 'static,
        commit: impl FnOnce(&mut Self, S) -> LedgerResult<A> + 'static,
        then: impl FnOnce(&mut Self, usize, LedgerResult<A>) + 'static,
    ) {
        let life = self.nodes[n].life;
        let then = Rc::new(Slot::new(Some(then)));
        let answer = move |simulation: &mut Self, delay: f64, answer: LedgerResult<A>| {
            let then = then.clone();
            let act = move |simulation: &mut Self, n: usize| {
                if let Some(then) = then.take() {
                    then(simulation, n, answer);
                }
            };
            simulation.in_life(n, life, delay, Box::new(act));
        };
        let is_isolated = self.is_isolated(n);
        if is_isolated && self.random.chance(0.3) {
            let delay = self.random.between(0.1, 1.0);
            return answer(self, delay, Err(LedgerError::refused("unreachable")));
        }
        let patience = self.faults.patience;
        answer.clone()(self, patience, Err(LedgerError::unknown("no answer")));
        if is_isolated || self.random.chance(self.faults.loss) {
            return;
        }
        let delay = self.delay();
        self.at(delay, move |simulation| {
            if simulation.is_isolated(n) {
                return;
            }
            let seen = snapshot(simulation);
            let late = simulation.random.chance(simulation.faults.late_commits);
            let delay = if late { simulation.random.between(0.0, 30.0) } else { 0.0 };
            simulation.at(delay, move |simulation| {
                let given = commit(simulation, seen);
                if simulation.is_isolated(n) || simulation.random.chance(simulation.faults.loss) {
                    return;
                }
                let delay = simulation.delay();
                answer(simulation, delay, given);
            });
        });
    }

    /// A time by which a call of the ledger in memory ends: it ignores it.
    fn by() -> Instant {
        Instant::now()
    }

    /// The presences and acknowledgements.
    fn cells(&self) -> LedgerResult<Vec<Cell>> {
        self.ledger.cells(GENERATION, &[CellKind::Presence, CellKind::Acknowledgement], Self::by())
    }

    /// A change holds everywhere, as its writer knows now.
    fn promise(&mut self, at: Position) {
        // What the engine has lost since holds nowhere.
        if at.number > self.promised.number && self.logs(at) && self.now >= self.unsafe_until {
            self.promised = at;
            self.say(|| format!("{at:?} holds everywhere"));
        }
    }

    fn logs(&self, at: Position) -> bool {
        at.number == 0 || usize::try_from(at.number - 1).ok().and_then(|index| self.log.get(index)) == Some(&at)
    }

    fn violated(&mut self, what: String) {
        let now = self.now;
        self.violation.get_or_insert_with(|| format!("at {now:.2}: {what}"));
    }

    /// No node that would verify a key lacks a change that holds everywhere, or has one that the log has lost.
    fn check(&mut self) {
        for n in 0..self.nodes.len() {
            let node = &self.nodes[n];
            if node.paused_until > self.now {
                continue;
            }
            let lacks = !node.has(self.promised);
            let has_more = self.times_back > 0
                && self.unsafe_until.max(node.applied_at + SAFE_AFTER) < self.now
                && !self.logs(node.head_in_force());
            if (lacks || has_more) && self.is_open(n) {
                let (head, promised) = (self.nodes[n].head_in_force(), self.promised);
                self.violated(format!("node {n} has applied {head:?}, and serves; {promised:?} holds everywhere"));
            }
        }
    }

    fn is_open(&self, n: usize) -> bool {
        let wall = self.reading(n).wall;
        self.nodes[n].gate.is_open(|| wall)
    }

    fn say(&self, what: impl FnOnce() -> String) {
        if self.is_shown {
            println!("{:>10.2} {}", self.now, what());
        }
    }

    fn count(&mut self, name: &'static str) {
        *self.counts.kinds.entry(name).or_default() += 1;
    }
}

/// Counts, by name.
type Kinds = BTreeMap<&'static str, u64>;
