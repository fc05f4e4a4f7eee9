//! How many nodes an engine can serve: light nodes in virtual time, on an engine with a finite capacity.
//!
//! The nodes have no keys. They take the steps of [`crate::cluster::protocol`] (membership, chain, barrier) on a ledger in memory, and
//! make the calls of `cluster/node/` in its intervals: `probe` looks, `follow` waits, reads and acknowledges, `keep` lists, the
//! janitor moves the state, and a revocation appends, and lists until its barrier is passed. Each connection of a node has one call
//! at a time, as in `apikey-postgres`. The cost of each call is in `engine.rs`, with the command that measures it.
//!
//! Left out: failures, connections that are made anew, the request of a writer that lost twice (two calls), and what vacuum
//! and checkpoints do beyond the mean.
//!
//! `APIKEY_SIMULATED_NODES=1000 cargo test --release -p apikey-core --features cluster sizing -- --nocapture` prints the table of
//! `docs/operations/many-machines.md`, up to so many nodes.

mod barrier;
mod counts;
mod engine;
mod following;
mod node;
mod revoking;
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use crate::base::boot_time::{BootClock, BootTime};
use crate::cluster::ledger::memory::MemoryLedger;
use crate::cluster::ledger::{Ledger, Position};
use crate::cluster::simulation::random::Random;
use crate::cluster::simulation::sizing::counts::Counts;
use crate::cluster::simulation::sizing::engine::{ALONE, Call, Costs, Engine};
use crate::cluster::simulation::sizing::node::{Connection, LightNode};

const GENERATION: u64 = 1;
/// How long a node waits for an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a change tries.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// What is simulated.
#[derive(Debug, Clone, Copy)]
struct Plan {
    nodes: usize,
    /// `max_staleness`.
    bound: Duration,
    costs: Costs,
    /// The cores of the engine.
    cores: usize,
    /// A round trip over the network.
    network: Duration,
    /// Whether the nodes run on the cores of the engine, as in the bench.
    is_shared: bool,
    /// Whether the nodes look and list: without, every call is one of a change.
    has_timers: bool,
}

type Act = Box<dyn FnOnce(&mut Simulation)>;

struct Simulation {
    plan: Plan,
    now: Duration,
    booted: BootTime,
    random: Random,
    /// What happens when, in the order of its numbers.
    due: BinaryHeap<Reverse<(Duration, u64)>>,
    acts: BTreeMap<u64, Act>,
    scheduled: u64,
    ledger: MemoryLedger,
    engine: Engine,
    nodes: Vec<LightNode>,
    counts: Counts,
}

impl Simulation {
    /// A cluster whose nodes are registered, and do what they do at random times from now on.
    fn new(plan: Plan, seed: u64) -> Self {
        let ledger = MemoryLedger::new();
        ledger.begin(GENERATION, &Position::default(), Self::by()).unwrap();
        let mut simulation = Self {
            plan,
            now: Duration::ZERO,
            booted: BootClock::manual().0.now(),
            random: Random::new(seed),
            due: BinaryHeap::new(),
            acts: BTreeMap::new(),
            scheduled: 0,
            ledger,
            engine: Engine::new(plan.cores),
            nodes: Vec::new(),
            counts: Counts::default(),
        };
        for n in 0..plan.nodes {
            let node = LightNode::registered(n, &plan, &simulation.ledger);
            simulation.nodes.push(node);
            simulation.begin(n);
        }
        simulation
    }

    /// Lets a span pass.
    fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(Reverse((at, number))) = self.due.peek().copied() {
            if at > end {
                break;
            }
            self.due.pop();
            self.now = at;
            if let Some(act) = self.acts.remove(&number) {
                act(self);
            }
        }
        self.now = end;
    }

    fn at(&mut self, delay: Duration, act: impl FnOnce(&mut Self) + 'static) {
        self.scheduled += 1;
        self.due.push(Reverse((self.now + delay, self.scheduled)));
        self.acts.insert(self.scheduled, Box::new(act));
    }

    /// Sends a call on a connection of a node. `act` is what the engine does, and `then` gets its answer, or `None` if it came
    /// too late.
    fn call<A: 'static>(
        &mut self,
        n: usize,
        connection: Connection,
        call: Call,
        rows: usize,
        act: impl FnOnce(&mut Self) -> A + 'static,
        then: impl FnOnce(&mut Self, Option<A>) + 'static,
    ) {
        let issued = self.now;
        let patience = if call == Call::Append { WRITE_TIMEOUT } else { PATIENCE.min(self.plan.bound) };
        let send: Act = Box::new(move |simulation| {
            if simulation.now - issued > patience {
                simulation.released(n, connection);
                return then(simulation, None);
            }
            simulation.at(simulation.plan.network / 2, move |simulation| {
                let done = simulation.serve(call, rows);
                simulation.at(done - simulation.now, move |simulation| {
                    let answer = act(simulation);
                    simulation.at(simulation.plan.network / 2, move |simulation| {
                        simulation.released(n, connection);
                        let is_late = simulation.now - issued > patience;
                        then(simulation, (!is_late).then_some(answer));
                    });
                });
            });
        });
        if let Some(send) = self.nodes[n].connection(connection).offer(send) {
            send(self);
        }
    }

    /// The next call on a connection is sent.
    fn released(&mut self, n: usize, connection: Connection) {
        if let Some(send) = self.nodes[n].connection(connection).next() {
            send(self);
        }
    }

    /// The engine does a call: the time at which the answer is sent.
    fn serve(&mut self, call: Call, rows: usize) -> Duration {
        self.counts.called(call, rows);
        let cost = self.plan.costs.calls[call as usize];
        let rows = rows as f64;
        let (engine, node) = (cost.engine + cost.row.0 * rows, cost.node + cost.row.1 * rows);
        let (engine, node) = (engine * ALONE, node * ALONE);
        // What the node does is before and after; elsewhere it only takes time.
        let (works, waits) =
            if self.plan.is_shared { (engine + node, cost.waits) } else { (engine, cost.waits + node) };
        match call {
            Call::Append => self.engine.append(self.now, works, waits),
            _ => self.engine.work(self.now, works) + Duration::from_secs_f64(waits / 1e6),
        }
    }

    /// A node works for so many microseconds.
    fn work(&mut self, micros: f64, then: impl FnOnce(&mut Self) + 'static) {
        let done = if self.plan.is_shared {
            self.engine.work(self.now, micros)
        } else {
            self.now + Duration::from_secs_f64(micros / 1e6)
        };
        self.at(done - self.now, then);
    }

    fn boot(&self) -> BootTime {
        self.booted.after(self.now)
    }

    /// A time by which a call of the ledger in memory ends: it ignores it.
    fn by() -> Instant {
        Instant::now()
    }
}
