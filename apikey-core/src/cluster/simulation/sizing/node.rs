//! A light node: its place in the protocol, its connections, and what its threads do when nothing happens.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cluster::format::presence::{Incarnation, Presence};
use crate::cluster::ledger::memory::MemoryLedger;
use crate::cluster::ledger::{Ledger, Look, Position, Standing};
use crate::cluster::protocol::chain::Chain;
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::membership::{LookSent, Membership, NextStep};
use crate::cluster::protocol::reading::Reading;
use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::sizing::barrier::Questions;
use crate::cluster::simulation::sizing::engine::Call;
use crate::cluster::simulation::sizing::{Act, GENERATION, Plan, Simulation};

/// The connections of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Connection {
    /// What changes the log and the state, and looks.
    Log,
    /// Cells and reads.
    Cells,
    /// Notifications.
    Listener,
}

/// The calls that wait for a connection.
#[derive(Default)]
pub(super) struct Line {
    is_busy: bool,
    waiting: VecDeque<Act>,
}

impl Line {
    /// Returns the call if it can be sent now.
    pub(super) fn offer(&mut self, send: Act) -> Option<Act> {
        if self.is_busy {
            self.waiting.push_back(send);
            return None;
        }
        self.is_busy = true;
        Some(send)
    }

    /// An answer has come: the next call.
    pub(super) fn next(&mut self) -> Option<Act> {
        let next = self.waiting.pop_front();
        self.is_busy = next.is_some();
        next
    }
}

pub(super) struct LightNode {
    connections: [Line; 3],
    pub(super) membership: Membership,
    pub(super) chain: Chain,
    pub(super) acknowledged: u64,
    /// Whether an acknowledgement is on its way, and who acknowledges next.
    pub(super) is_acknowledging: bool,
    pub(super) acknowledges_next: VecDeque<Act>,
    /// Notifications so far, and whether the thread that follows sleeps until there is another one.
    pub(super) notified: u64,
    pub(super) sleeps: Option<u64>,
    pub(super) sleeps_so_far: u64,
    /// The revocations that wait for the turn, and whether one has it.
    pub(super) line: Vec<Duration>,
    pub(super) has_turn: bool,
    pub(super) questions: Questions,
}

impl LightNode {
    /// A node that has registered and looked.
    pub(super) fn registered(n: usize, plan: &Plan, ledger: &MemoryLedger) -> Self {
        let mut membership = Membership::new(plan.bound, Safeguards::ALL);
        let incarnation = Incarnation(u128::try_from(n).unwrap());
        let value = presence(n, 0, plan.bound);
        ledger.swap(&incarnation.presence(GENERATION), None, Some(&value), Simulation::by()).unwrap();
        membership.registered(incarnation, value);
        Self {
            connections: Default::default(),
            membership,
            chain: Chain::new(Position::default(), Safeguards::ALL),
            acknowledged: 0,
            is_acknowledging: false,
            acknowledges_next: VecDeque::new(),
            notified: 0,
            sleeps: None,
            sleeps_so_far: 0,
            line: Vec::new(),
            has_turn: false,
            questions: Questions::default(),
        }
    }

    pub(super) fn connection(&mut self, connection: Connection) -> &mut Line {
        &mut self.connections[connection as usize]
    }
}

fn presence(n: usize, beat: u128, bound: Duration) -> Vec<u8> {
    let bound = u64::try_from(bound.as_millis()).unwrap();
    Presence { node: n.to_string(), beat, marked: false, wall: 0, pepper: 0, bound }.encode().unwrap()
}

impl Simulation {
    /// The threads of a node begin at any time.
    pub(super) fn begin(&mut self, n: usize) {
        let looks = intervals::looks(self.plan.bound);
        if self.plan.has_timers {
            let delay = looks.mul_f64(self.random.unit());
            self.at(delay, move |simulation| simulation.probe(n));
            let delay = self.listing_interval(n).mul_f64(self.random.unit());
            self.at(delay, move |simulation| simulation.keep(n));
        }
        let delay = looks.mul_f64(self.random.unit());
        self.at(if self.plan.has_timers { delay } else { Duration::ZERO }, move |simulation| simulation.wait(n));
    }

    fn probe(&mut self, n: usize) {
        let begun = self.now;
        let NextStep::Look(incarnation, held) = self.nodes[n].membership.next_step() else { return };
        let next = presence(n, self.random.next().into(), self.plan.bound);
        let sent = LookSent {
            incarnation,
            next: next.clone(),
            sent: Reading { boot: self.boot(), wall: 0 },
            applied: self.nodes[n].chain.head().number,
        };
        let look = move |simulation: &mut Self| {
            let cell = incarnation.presence(GENERATION);
            let standing = Standing { cell: &cell, held: &held, next: &next };
            simulation.ledger.look(GENERATION, &standing, Self::by()).unwrap()
        };
        self.call(n, Connection::Log, Call::Look, 0, look, move |simulation, look| {
            simulation.looked(n, sent, look);
            simulation.acknowledge(n, move |simulation, _| {
                let next = (begun + intervals::looks(simulation.plan.bound)).saturating_sub(simulation.now);
                simulation.at(next, move |simulation| simulation.probe(n));
            });
        });
    }

    fn looked(&mut self, n: usize, sent: LookSent, look: Option<Look>) {
        let (boot, node) = (self.boot(), &mut self.nodes[n]);
        let closed = node.membership.serves_until().map_or(Duration::ZERO, |until| boot.since(until));
        match look {
            Some(Look::Standing(sight)) => {
                let head = sight.head.unwrap();
                let place = node.chain.place(&head);
                node.membership.stood(sent, Reading { boot, wall: 0 }, head, place);
            }
            Some(_) => drop(node.membership.not_listed(&sent)),
            None => {
                self.counts.unanswered += 1;
                node.membership.unanswered(sent);
            }
        }
        if !closed.is_zero() {
            self.counts.closed += 1;
        }
    }

    /// From one list of the nodes to the next. The first node is the janitor.
    fn listing_interval(&self, n: usize) -> Duration {
        let Plan { nodes, bound, .. } = self.plan;
        if n == 0 { intervals::JANITOR } else { intervals::keeping(bound) * intervals::lists_each(bound, nodes) }
    }

    fn keep(&mut self, n: usize) {
        // Presences, acknowledgements, and the janitor's hold. What they are matters to nobody here.
        let rows = 2 * self.plan.nodes + 1;
        self.call(
            n,
            Connection::Cells,
            Call::Cells,
            rows,
            |_| (),
            move |simulation, listed| {
                if n == 0 && listed.is_some() {
                    return simulation.advance(0);
                }
                simulation.kept(n);
            },
        );
    }

    pub(super) fn kept(&mut self, n: usize) {
        self.at(self.listing_interval(n), move |simulation| simulation.keep(n));
    }
}
