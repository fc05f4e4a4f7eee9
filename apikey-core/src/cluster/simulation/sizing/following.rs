//! Nodes follow the log: they are woken, read, apply and acknowledge; and the janitor moves the state.

use crate::base::codec;
use crate::cluster::format::presence::Acknowledgement;
use crate::cluster::ledger::{Ledger, Logged, Position};
use crate::cluster::protocol::intervals;
use crate::cluster::simulation::sizing::engine::Call;
use crate::cluster::simulation::sizing::node::Connection;
use crate::cluster::simulation::sizing::{GENERATION, Simulation};

impl Simulation {
    fn head(&self) -> Position {
        self.ledger.sight(GENERATION, Self::by()).unwrap().head.unwrap()
    }

    /// Waits for the log, as `Postgres::wait` does.
    pub(super) fn wait(&mut self, n: usize) {
        let ends = self.now + intervals::looks(self.plan.bound);
        let seen = self.nodes[n].notified;
        self.call(
            n,
            Connection::Listener,
            Call::Wait,
            0,
            |simulation| simulation.head(),
            move |simulation, head| {
                let node = &mut simulation.nodes[n];
                let has_moved =
                    head.is_some_and(|head| head.number > node.chain.head().number) || node.notified != seen;
                if has_moved {
                    return simulation.follow(n);
                }
                node.sleeps_so_far += 1;
                let sleep = node.sleeps_so_far;
                node.sleeps = Some(sleep);
                if simulation.plan.has_timers {
                    simulation.at(ends.saturating_sub(simulation.now), move |simulation| {
                        if simulation.nodes[n].sleeps == Some(sleep) {
                            simulation.nodes[n].sleeps = None;
                            simulation.follow(n);
                        }
                    });
                }
            },
        );
    }

    /// A notification has come.
    pub(super) fn notified(&mut self, n: usize) {
        self.work(self.plan.costs.wake, move |simulation| {
            simulation.nodes[n].notified += 1;
            if simulation.nodes[n].sleeps.take().is_some() {
                simulation.counts.woken += 1;
                simulation.follow(n);
            }
        });
    }

    /// Reads until there is one entry or none, and acknowledges each time.
    fn follow(&mut self, n: usize) {
        self.read(n, move |simulation, n, found| {
            simulation.acknowledge(
                n,
                move |simulation, is_done| {
                    if found > 1 && is_done { simulation.follow(n) } else { simulation.wait(n) }
                },
            );
        });
    }

    /// Reads and applies. `then` learns how many entries there were.
    pub(super) fn read(&mut self, n: usize, then: impl FnOnce(&mut Self, usize, usize) + 'static) {
        let after = self.nodes[n].chain.head().number;
        let rows = usize::try_from(self.head().number - after).unwrap();
        let read = move |simulation: &mut Self| simulation.ledger.read(GENERATION, after, 1 << 20, Self::by()).unwrap();
        self.call(n, Connection::Cells, Call::Read, rows, read, move |simulation, read| {
            let entries = read.unwrap_or_default();
            if entries.is_empty() {
                return then(simulation, n, 0);
            }
            let micros = simulation.plan.costs.apply * entries.len() as f64;
            simulation.work(micros, move |simulation| {
                simulation.applied(n, &entries);
                then(simulation, n, entries.len());
            });
        });
    }

    /// Entries are in force on a node.
    pub(super) fn applied(&mut self, n: usize, entries: &[Logged]) {
        let node = &mut self.nodes[n];
        for entry in entries {
            if entry.last.number > node.chain.head().number {
                node.chain.append(entry.last);
                node.chain.settle();
            }
        }
        let chain = &node.chain;
        assert!(node.membership.applied(|position| chain.place(position)));
    }

    /// Tells the others what this node has applied, if it has not yet. `then` learns whether it could.
    pub(super) fn acknowledge(&mut self, n: usize, then: impl FnOnce(&mut Self, bool) + 'static) {
        let node = &mut self.nodes[n];
        if node.is_acknowledging {
            node.acknowledges_next.push_back(Box::new(move |simulation| simulation.acknowledge(n, then)));
            return;
        }
        let head = node.chain.head();
        if node.acknowledged == head.number {
            return then(self, true);
        }
        node.is_acknowledging = true;
        let cell = node.membership.incarnation().unwrap().acknowledgement(GENERATION);
        let value = codec::encode(&Acknowledgement { number: head.number, digest: head.digest }).unwrap();
        let note = move |simulation: &mut Self| simulation.ledger.note(&cell, &value, Self::by()).unwrap();
        self.call(n, Connection::Cells, Call::Note, 0, note, move |simulation, noted| {
            let node = &mut simulation.nodes[n];
            node.is_acknowledging = false;
            if noted.is_some() {
                node.acknowledged = head.number;
            }
            if let Some(next) = node.acknowledges_next.pop_front() {
                next(simulation);
            }
            then(simulation, noted.is_some());
        });
    }

    /// The janitor moves the state to the head of its replica, and looks whether the log is to be trimmed.
    pub(super) fn advance(&mut self, entries: u64) {
        let head = self.nodes[0].chain.head().number;
        self.call(
            0,
            Connection::Log,
            Call::Sight,
            0,
            |_| (),
            move |simulation, seen| {
                let lacks = head - simulation.counts.state;
                if seen.is_none() {
                    return simulation.kept(0);
                }
                if lacks == 0 {
                    return simulation.trim(entries);
                }
                let rows = usize::try_from(lacks).unwrap();
                simulation.call(
                    0,
                    Connection::Cells,
                    Call::Read,
                    rows,
                    |_| (),
                    move |simulation, _| {
                        simulation.steps(lacks, entries + lacks);
                    },
                );
            },
        );
    }

    /// A step of the state for each entry.
    fn steps(&mut self, left: u64, entries: u64) {
        if left == 0 {
            return self.advance(entries);
        }
        self.call(
            0,
            Connection::Log,
            Call::Advance,
            0,
            |_| (),
            move |simulation, _| {
                simulation.counts.state += 1;
                simulation.steps(left - 1, entries);
            },
        );
    }

    fn trim(&mut self, entries: u64) {
        self.call(
            0,
            Connection::Log,
            Call::Sight,
            0,
            |_| (),
            move |simulation, _| {
                if entries == 0 {
                    return simulation.kept(0);
                }
                let rows = usize::try_from(entries).unwrap();
                simulation.call(0, Connection::Cells, Call::Read, rows, |_| (), |simulation, _| simulation.kept(0));
            },
        );
    }
}
