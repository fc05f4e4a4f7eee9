//! Nodes revoke: those that wait share an entry, which is appended, and applied; then each waits for all nodes.

use std::time::Duration;

use crate::cluster::ledger::{Appended, Entry, Ledger, Logged, Position};
use crate::cluster::simulation::sizing::engine::Call;
use crate::cluster::simulation::sizing::node::Connection;
use crate::cluster::simulation::sizing::{GENERATION, Simulation};

impl Simulation {
    /// Revocations come at random, so many a second, each on any node.
    pub(super) fn revoke_for(&mut self, span: Duration, rate: f64) {
        let mut after = self.random.span(1.0 / rate);
        while after < span.as_secs_f64() {
            let n = self.random.below(self.plan.nodes);
            self.at(Duration::from_secs_f64(after), move |simulation| simulation.revoke(n));
            after += self.random.span(1.0 / rate);
        }
    }

    pub(super) fn revoke(&mut self, n: usize) {
        self.counts.begun += 1;
        self.nodes[n].line.push(self.now);
        self.take_turn(n);
    }

    fn take_turn(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        if node.has_turn || node.line.is_empty() {
            return;
        }
        node.has_turn = true;
        let calls = std::mem::take(&mut node.line);
        self.append(n, calls);
    }

    fn append(&mut self, n: usize, calls: Vec<Duration>) {
        let base = self.nodes[n].chain.head();
        let mut last = Position { number: base.number + 1, digest: [0; 32] };
        last.digest[..8].copy_from_slice(&last.number.to_be_bytes());
        let mut op = [0; 16];
        op[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let append = move |simulation: &mut Self| {
            let entry = Entry { generation: GENERATION, op, base, last, bytes: &[] };
            let appended = simulation.ledger.append(&entry, None, Self::by()).unwrap();
            if appended == Appended::Here {
                simulation.notify();
            }
            appended
        };
        self.call(n, Connection::Log, Call::Append, 0, append, move |simulation, appended| match appended {
            Some(Appended::Here) => {
                simulation.work(simulation.plan.costs.apply, move |simulation| {
                    let logged = Logged { first: last.number, last, op, bytes: Vec::new() };
                    simulation.applied(n, &[logged]);
                    simulation.end_turn(n);
                    for begun in calls {
                        simulation.pass_barrier(n, last, begun);
                    }
                });
            }
            Some(Appended::Lost { .. }) => {
                simulation.counts.lost += 1;
                simulation.read(n, move |simulation, n, _| simulation.append(n, calls));
            }
            None => {
                simulation.counts.failed += calls.len() as u64;
                simulation.end_turn(n);
            }
        });
    }

    fn end_turn(&mut self, n: usize) {
        self.nodes[n].has_turn = false;
        self.take_turn(n);
    }

    /// The engine wakes every node that listens.
    fn notify(&mut self) {
        let done = self.serve(Call::Notify, self.plan.nodes) + self.plan.network / 2;
        for n in 0..self.plan.nodes {
            self.at(done - self.now, move |simulation| simulation.notified(n));
        }
    }
}
