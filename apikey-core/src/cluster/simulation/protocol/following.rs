//! Nodes of a simulation follow the log, acknowledge it, and keep house.

use crate::base::codec;
use crate::cluster::format::presence::Acknowledgement;
use crate::cluster::ledger::{CellKind, Ledger, Logged, Position};
use crate::cluster::simulation::protocol::{BOUND, GENERATION, Simulation, Then, UNITS};

/// What a node does once it has caught up, or could not.
pub(super) type CaughtUp = Box<dyn FnOnce(&mut Simulation, usize, bool)>;

impl Simulation {
    /// Follows the log at least so often.
    pub(super) fn follow_each_interval(&mut self, n: usize) {
        self.follow(n);
        self.for_node(n, UNITS / 10.0, Self::follow_each_interval);
    }

    /// What the wait for an entry does.
    pub(super) fn wake(&mut self, n: usize) {
        if !self.nodes[n].is_up() || self.random.chance(self.faults.lost_wakes) {
            return;
        }
        let delay = self.delay();
        self.for_node(n, delay, Self::follow);
    }

    pub(super) fn follow(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if !node.is_up() {
            return;
        }
        if node.is_following {
            node.must_follow = true;
            return;
        }
        node.is_following = true;
        self.catch_up(
            n,
            Box::new(|simulation, n, _| {
                simulation.acknowledge(
                    n,
                    Box::new(|simulation, n| {
                        let node = &mut simulation.nodes[n];
                        node.is_following = false;
                        if std::mem::take(&mut node.must_follow) {
                            simulation.follow(n);
                        }
                    }),
                );
            }),
        );
    }

    /// Reads the log to its end, and applies it.
    pub(super) fn catch_up(&mut self, n: usize, then: CaughtUp) {
        if self.nodes[n].is_stopped {
            return then(self, n, false);
        }
        let after = self.nodes[n].chain.head().number;
        let read = move |simulation: &mut Self| simulation.ledger.read(GENERATION, after, 100, Self::by());
        self.ask(n, read, |simulation, n, entries| match entries {
            Ok(entries) if entries.is_empty() => then(simulation, n, true),
            Ok(entries) => {
                simulation.apply(n, entries, Box::new(move |simulation, n| simulation.catch_up(n, then)));
            }
            Err(_) => then(simulation, n, false),
        });
    }

    /// Applies entries once those before are settled.
    pub(super) fn apply(&mut self, n: usize, entries: Vec<Logged>, then: Then) {
        self.nodes[n].to_apply.push_back((entries, then));
        self.apply_next(n);
    }

    fn apply_next(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.is_applying {
            return;
        }
        let Some((entries, then)) = node.to_apply.pop_front() else { return };
        node.is_applying = true;
        let mut fits = true;
        for logged in entries {
            if logged.last.number <= node.head().number {
                continue;
            }
            fits = logged.bytes == encoded(node.head());
            if !fits {
                break;
            }
            node.history.push(logged.last);
            node.chain.append(logged.last);
        }
        let delay = if self.random.chance(self.faults.late_applies) {
            self.random.between(0.0, 2.0 * UNITS)
        } else {
            self.random.between(0.001, 0.05)
        };
        self.for_node(n, delay, move |simulation, n| {
            let now = simulation.now;
            let node = &mut simulation.nodes[n];
            if node.in_force != node.head().number {
                node.applied_at = now;
            }
            node.in_force = node.head().number;
            let head = node.head();
            simulation.say(|| format!("node {n} has applied {head:?}"));
            let node = &mut simulation.nodes[n];
            node.chain.settle();
            node.is_applying = false;
            let chain = &node.chain;
            let is_on_chain = node.membership.applied(|at| chain.place(at));
            if !fits || !is_on_chain {
                return simulation.stop(n, "stops: another history in the log");
            }
            if simulation.nodes[n].is_up() {
                simulation.set_gate(n);
            }
            then(simulation, n);
            simulation.apply_next(n);
        });
    }

    /// Tells the others what the node has applied, if it has not yet.
    pub(super) fn acknowledge(&mut self, n: usize, then: Then) {
        let node = &self.nodes[n];
        let head = node.chain.head();
        let known = node.membership.incarnation().filter(|own| node.acknowledged != Some((*own, head)));
        let Some(own) = known else { return then(self, n) };
        let value = codec::encode(&Acknowledgement { number: head.number, digest: head.digest }).unwrap();
        self.ask(
            n,
            move |simulation| simulation.ledger.note(&own.acknowledgement(GENERATION), &value, Self::by()),
            move |simulation, n, noted| {
                if noted.is_ok() {
                    simulation.nodes[n].acknowledged = Some((own, head));
                    simulation.say(|| format!("node {n} has acknowledged {head:?} as {own:?}"));
                }
                then(simulation, n);
            },
        );
    }

    /// Removes presences that have been marked for the bound.
    pub(super) fn keep_each_second(&mut self, n: usize) {
        self.for_node(n, 10.0, |simulation, n| {
            let kinds = [CellKind::Presence, CellKind::Acknowledgement];
            let list = move |simulation: &mut Self| simulation.ledger.cells(GENERATION, &kinds, Self::by());
            simulation.ask(n, list, |simulation, n, cells| {
                if let Ok(cells) = cells {
                    let (now, safeguards) = (simulation.reading(n).boot, simulation.plan.safeguards);
                    let due = simulation.nodes[n].marked.observe(&cells, now, BOUND, safeguards);
                    for (cell, value) in due {
                        simulation.count("presences removed");
                        simulation.say(|| format!("node {n} removes {}", cell.name));
                        let delete =
                            move |simulation: &mut Self| simulation.ledger.swap(&cell, Some(&value), None, Self::by());
                        simulation.ask(n, delete, |_, _, _| {});
                    }
                }
                simulation.keep_each_second(n);
            });
        });
    }
}

/// What an entry has of the head that it follows.
pub(super) fn encoded(base: Position) -> Vec<u8> {
    [&base.number.to_be_bytes()[..], &base.digest].concat()
}
