//! What goes wrong in a simulation, and the verifications that must not notice.

use crate::cluster::ledger::{CellKind, Ledger};
use crate::cluster::protocol::removal::marked;
use crate::cluster::simulation::protocol::plan::Course;
use crate::cluster::simulation::protocol::{GENERATION, SAFE_AFTER, Simulation, UNITS};

impl Simulation {
    pub(super) fn schedule_faults(&mut self) {
        let faults = self.faults;
        self.repeat(faults.between_pauses, Self::pause);
        self.repeat(faults.between_restarts, Self::restart);
        self.repeat(faults.between_leaves, Self::leave);
        self.repeat(faults.between_marks, Self::mark_one);
        self.repeat(faults.between_jumps, Self::jump);
        self.repeat(faults.between_returns, Self::go_back);
        self.repeat(faults.between_returns / 2.0, Self::back_up);
        self.repeat(faults.between_promotions, Self::promote);
    }

    /// Does something now and then, once in `mean` on average.
    fn repeat(&mut self, mean: f64, act: fn(&mut Self)) {
        if mean.is_finite() {
            let span = self.random.span(mean);
            self.at(span, move |simulation| {
                act(simulation);
                simulation.repeat(mean, act);
            });
        }
    }

    /// In a tight run isolates the first node after a look, and has another one change something at once.
    pub(super) fn isolate_after_look(&mut self, n: usize) {
        if self.plan.course != Course::Tight || n > 0 || !self.random.chance(0.3) {
            return;
        }
        let from = self.now + 0.01;
        self.nodes[0].isolated.push((from, from + 1.3 * UNITS));
        let (delay, writer) = (self.random.between(0.0, 0.3), 1 + self.random.below(self.nodes.len() - 1));
        self.for_node(writer, delay, |simulation, n| simulation.write(n, true));
    }

    /// Stops a whole machine for a while.
    fn pause(&mut self) {
        let n = self.random.below(self.nodes.len());
        if self.nodes[n].paused_until > self.now {
            return;
        }
        let span = if self.random.chance(0.5) { self.random.span(10.0) } else { self.random.span(1.5 * UNITS) };
        // Nobody reads its clocks before it goes on.
        self.nodes[n].paused_until = self.now + span;
        self.nodes[n].paused_for += span;
        self.say(|| format!("node {n} is paused for {span:.2}"));
        self.count("pauses");
    }

    /// Kills a node, and starts it again: with its replica, or without.
    fn restart(&mut self) {
        let n = self.random.below(self.nodes.len());
        let (loads, in_force) = (self.random.chance(0.3), self.nodes[n].in_force);
        // What was not synced may be gone.
        if self.random.chance(0.5) {
            self.nodes[n].history.truncate(usize::try_from(in_force).unwrap());
        }
        self.count("restarts");
        self.restart_node(n, loads);
    }

    /// Lets a node leave, and come back later.
    fn leave(&mut self) {
        let n = self.random.below(self.nodes.len());
        if !self.nodes[n].is_up() {
            return;
        }
        self.for_node(n, 0.0, |simulation, n| {
            let node = &mut simulation.nodes[n];
            if !node.is_up() {
                return;
            }
            let left = node.membership.leave();
            node.is_down = true;
            simulation.set_gate(n);
            simulation.count("leaves");
            let back = |simulation: &mut Self, n: usize| {
                simulation.nodes[n].gate.close();
                let delay = simulation.random.between(1.0, 100.0);
                simulation.for_node(n, delay, |simulation, n| simulation.restart_node(n, false));
            };
            let Some((incarnation, held)) = left else { return back(simulation, n) };
            let cell = incarnation.presence(GENERATION);
            let delete = move |simulation: &mut Self| simulation.ledger.swap(&cell, Some(&held), None, Self::by());
            simulation.ask(n, delete, move |simulation, n, _| back(simulation, n));
        });
    }

    /// Marks a presence, for no good reason.
    fn mark_one(&mut self) {
        let cells = self.ledger.cells(GENERATION, &[CellKind::Presence], Self::by()).unwrap();
        if cells.is_empty() {
            return;
        }
        let cell = &cells[self.random.below(cells.len())];
        if let Ok(Some(value)) = marked(&cell.value) {
            self.ledger.swap(&cell.cell, Some(&cell.value), Some(&value), Self::by()).unwrap();
            self.count("wrong marks");
            self.say(|| format!("{} is marked", cell.cell.name));
        }
    }

    /// Sets the wall clock of a node.
    fn jump(&mut self) {
        let n = self.random.below(self.nodes.len());
        self.nodes[n].skew = self.random.between(-3.0 * UNITS, 3.0 * UNITS);
        self.count("jumps of a wall clock");
    }

    /// Another primary is promoted, and the former one keeps what it has.
    fn promote(&mut self) {
        self.former = self.cells().ok();
        self.count("promotions");
        self.say(|| "another primary is promoted".to_owned());
    }

    fn back_up(&mut self) {
        self.say(|| "the engine is backed up".to_owned());
        self.backup = Some((self.ledger.backup(), self.log.len()));
    }

    /// Restores the engine as it was.
    fn go_back(&mut self) {
        let Some((backup, length)) = self.backup.take() else { return };
        self.ledger.go_back(&backup);
        self.log.truncate(length);
        self.times_back += 1;
        self.unsafe_until = self.now + SAFE_AFTER;
        // A call whose entry is lost may be repeated.
        self.calls.clear();
        self.refused.clear();
        self.answered = self.answered.min(length as u64);
        if !self.logs(self.promised) {
            self.promised = self.log.last().copied().unwrap_or_default();
        }
        self.count("returns of the engine");
        self.say(|| format!("the engine goes back to {:?}", self.log.last()));
    }

    /// Verifies a key on a node now and then: it reads the gate and the key, and may be paused in between.
    pub(super) fn verify_now_and_then(&mut self, n: usize) {
        let span = self.random.span(10.0);
        self.for_node(n, span, |simulation, n| {
            simulation.verify(n);
            simulation.verify_now_and_then(n);
        });
    }

    fn verify(&mut self, n: usize) {
        let promised = self.promised;
        let pause = if self.random.chance(0.2) { self.random.between(0.0, 2.0 * UNITS) } else { 0.001 };
        let times_back = self.times_back;
        let accepted = move |simulation: &mut Self, has: bool| {
            simulation.count("verifications");
            if !has && times_back == simulation.times_back {
                simulation
                    .violated(format!("a verification on node {n} began after {promised:?}, and does not have it"));
            }
        };
        if self.plan.practice.reads_the_gate_first {
            if self.is_open(n) {
                self.for_node(n, pause, move |simulation, n| {
                    let has = simulation.nodes[n].has(promised);
                    accepted(simulation, has);
                });
            }
            return;
        }
        let has = self.nodes[n].has(promised);
        self.for_node(n, pause, move |simulation, n| {
            if simulation.is_open(n) {
                accepted(simulation, has);
            }
        });
    }
}
