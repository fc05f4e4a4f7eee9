//! Writers of a simulation: each takes something away, or finds that it was taken away before.

use std::cell::RefCell;
use std::rc::Rc;

use crate::base::boot_time::BootTime;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Appended, Cell, CellKind, Entry, Ledger, LedgerResult, Logged, Position};
use crate::cluster::protocol::barrier::{Barrier, Listing, Passed};
use crate::cluster::protocol::confirmation::Confirmation;
use crate::cluster::protocol::removal::marked;
use crate::cluster::simulation::protocol::following::encoded;
use crate::cluster::simulation::protocol::{BOUND, GENERATION, SECONDS, Simulation};

/// How long a change tries.
const WRITE_TIMEOUT: f64 = 100.0;
const FIRST_PAUSE: f64 = 0.2;
const LONGEST_PAUSE: f64 = 50.0;
/// The pause of a barrier between two listings.
const PAUSE: f64 = 1.5;

/// A change that is decided.
#[derive(Debug, Clone)]
pub(super) struct Proposal {
    call: u64,
    base: Position,
    last: Position,
}

/// A call of a writer.
#[derive(Debug, Clone)]
struct Call {
    number: u64,
    begun: f64,
    /// What every answer that the call rests on must have seen.
    answered: u64,
    times_back: u64,
    changes: bool,
    confirmation: Confirmation,
}

impl Simulation {
    pub(super) fn write_now_and_then(&mut self) {
        let (span, n) = (self.random.span(self.faults.between_changes), self.random.below(self.nodes.len()));
        self.at(span, Self::write_now_and_then);
        if !self.nodes[n].is_up() {
            return;
        }
        let changes = self.random.chance(0.7);
        self.for_node(n, 0.0, move |simulation, n| simulation.write(n, changes));
    }

    pub(super) fn write(&mut self, n: usize, changes: bool) {
        if self.nodes[n].is_writing || !self.nodes[n].is_up() {
            return;
        }
        self.next_call += 1;
        let call = Call {
            number: self.next_call,
            begun: self.now,
            answered: self.answered,
            times_back: self.times_back,
            changes,
            confirmation: Confirmation::default(),
        };
        self.nodes[n].is_writing = true;
        match self.nodes[n].unresolved.clone() {
            Some(before) => self.send(n, before, call, true, FIRST_PAUSE, None),
            None => self.decide(n, call),
        }
    }

    fn decide(&mut self, n: usize, call: Call) {
        if self.nodes[n].is_stopped || self.now - call.begun > WRITE_TIMEOUT {
            self.count("calls: busy");
            self.nodes[n].is_writing = false;
            return;
        }
        // A node decides under the lock of what applies entries: by what is in force here.
        if self.nodes[n].is_applying {
            return self.for_node(n, 0.1, move |simulation, n| simulation.decide(n, call));
        }
        let base = self.nodes[n].head();
        if !call.changes {
            return self.confirm(n, base, call);
        }
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.random.next().to_be_bytes());
        let last = Position { number: base.number + 1, digest };
        let proposal = Proposal { call: call.number, base, last };
        // Some writers list the nodes before they append.
        if self.plan.safeguards.lists_after_the_append && !self.random.chance(0.1) {
            return self.send(n, proposal, call, false, FIRST_PAUSE, None);
        }
        let asked = self.reading(n).boot;
        self.list(n, move |simulation, n, cells| {
            let early = cells.map(|cells| (cells, asked));
            simulation.send(n, proposal, call, false, FIRST_PAUSE, early);
        });
    }

    /// Appends an entry, again and again while there is no answer. `call` may be another one, which resolves it first.
    fn send(
        &mut self,
        n: usize,
        proposal: Proposal,
        call: Call,
        unanswered: bool,
        pause: f64,
        early: Option<(Vec<Cell>, BootTime)>,
    ) {
        let sent = self.reading(n).boot;
        let entry = proposal.clone();
        let append = move |simulation: &mut Self| simulation.append_now(&entry);
        self.ask(n, append, move |simulation, n, answer| {
            let is_own = proposal.call == call.number;
            match answer {
                Ok(Appended::Here) => {
                    simulation.nodes[n].unresolved = None;
                    let (first, last) = (proposal.base.number + 1, proposal.last);
                    let logged = Logged { first, last, op: op(&proposal), bytes: encoded(proposal.base) };
                    let answered = simulation.reading(n).boot;
                    simulation.answered =
                        simulation.answered.max(proposal.last.number).min(simulation.log.len() as u64);
                    simulation.apply(
                        n,
                        vec![logged],
                        Box::new(move |simulation, n| {
                            if !is_own {
                                return simulation.decide(n, call);
                            }
                            simulation.nodes[n].is_writing = false;
                            let in_time = simulation.plan.practice.begins_the_barrier_after_the_answer;
                            let begun = if in_time { answered } else { sent };
                            simulation.begin_barrier(n, proposal.last, begun, early);
                        }),
                    );
                }
                Ok(Appended::Lost { .. }) => {
                    simulation.count("appends: lost");
                    simulation.nodes[n].unresolved = None;
                    simulation.decide_again(n, call);
                }
                Err(error) if unanswered || matches!(error, LedgerError::Unknown { .. }) => {
                    simulation.count("appends: without an answer");
                    if !simulation.plan.practice.repeats_the_same_entry {
                        return simulation.decide_again(n, call);
                    }
                    simulation.nodes[n].unresolved = Some(proposal.clone());
                    if simulation.now + pause - call.begun >= WRITE_TIMEOUT {
                        simulation.count("calls: unknown");
                        simulation.nodes[n].is_writing = false;
                        return;
                    }
                    let delay = pause;
                    let longer = (pause * 2.0).min(LONGEST_PAUSE);
                    simulation.for_node(n, delay, move |simulation, n| {
                        simulation.send(n, proposal, call, true, longer, early);
                    });
                }
                Err(_) => {
                    simulation.count("calls: refused");
                    simulation.refused.insert(call.number);
                    if simulation.calls.contains(&call.number) {
                        simulation.violated(format!("the log has call {}, which was refused", call.number));
                    }
                    simulation.nodes[n].is_writing = false;
                }
            }
        });
    }

    fn decide_again(&mut self, n: usize, call: Call) {
        self.catch_up(
            n,
            Box::new(move |simulation, n, caught_up| {
                if caught_up {
                    return simulation.decide(n, call);
                }
                simulation.nodes[n].is_writing = false;
            }),
        );
    }

    /// What the ledger does with an append.
    fn append_now(&mut self, proposal: &Proposal) -> LedgerResult<Appended> {
        let bytes = encoded(proposal.base);
        let entry =
            Entry { generation: GENERATION, op: op(proposal), base: proposal.base, last: proposal.last, bytes: &bytes };
        let appended = self.ledger.append(&entry, None, Self::by())?;
        if appended == Appended::Here && !self.logs(proposal.last) {
            self.count("appends");
            self.say(|| format!("call {} is appended as {:?}", proposal.call, proposal.last));
            self.log.push(proposal.last);
            if !self.calls.insert(proposal.call) {
                self.violated(format!("the log has call {} twice", proposal.call));
            }
            if self.refused.contains(&proposal.call) {
                self.violated(format!("the log has call {}, which was refused", proposal.call));
            }
            (0..self.nodes.len()).for_each(|n| self.wake(n));
        }
        Ok(appended)
    }

    /// Confirms an answer that changes nothing.
    fn confirm(&mut self, n: usize, at: Position, mut call: Call) {
        if call.confirmation.confirms(&at) {
            return self.answer(n, at, &call);
        }
        let old = self.nodes[n].last_sight.filter(|_| !self.plan.practice.confirms_with_a_new_sight);
        let sight = move |simulation: &mut Self| {
            let head = old.unwrap_or_else(|| simulation.log.last().copied().unwrap_or_default());
            Ok((head, simulation.logs(at)))
        };
        self.ask(n, sight, move |simulation, n, seen| {
            let Ok((head, is_there)) = seen else {
                simulation.nodes[n].is_writing = false;
                return;
            };
            if old.is_none() && !call.confirmation.saw(&head, &at) {
                simulation.nodes[n].is_writing = false;
                return simulation.stop(n, "stops: a sight saw another history");
            }
            if old.is_none() && !call.confirmation.confirms(&at) {
                return simulation.decide_again(n, call);
            }
            if !is_there {
                simulation.violated(format!("node {n} answers by {at:?}, which the log lacks"));
            }
            simulation.answer(n, at, &call);
        });
    }

    /// Answers that nothing changes.
    fn answer(&mut self, n: usize, at: Position, call: &Call) {
        self.nodes[n].is_writing = false;
        self.count("answers that change nothing");
        if call.times_back == self.times_back && at.number < call.answered {
            let known = call.answered;
            self.violated(format!("node {n} answers by {at:?}, and the log had {known} before the call"));
        }
        if !self.plan.practice.passes_the_barrier_for_no_change {
            return self.promise(at);
        }
        let begun = self.reading(n).boot;
        self.begin_barrier(n, at, begun, None);
    }

    /// Begins the barrier of a change.
    fn begin_barrier(&mut self, n: usize, at: Position, begun: BootTime, early: Option<(Vec<Cell>, BootTime)>) {
        let mut barrier = Barrier::new(at, begun, BOUND, self.plan.safeguards);
        if let Some((cells, asked)) = early {
            barrier.observe(Listing::Exact, Some(&cells), asked, |at| self.nodes[n].chain.place(at));
        }
        let began = (self.now, self.times_back);
        self.say(|| format!("node {n} waits for {at:?}"));
        self.wait_for_all(n, at, Rc::new(RefCell::new(barrier)), began);
    }

    fn wait_for_all(&mut self, n: usize, at: Position, barrier: Rc<RefCell<Barrier>>, began: (f64, u64)) {
        let asked = self.reading(n).boot;
        let waiting = barrier.clone();
        let listing = barrier.borrow().asks_for();
        self.list_as(n, listing, move |simulation, n, cells| {
            let node = &simulation.nodes[n];
            let mut barrier = waiting.borrow_mut();
            barrier.observe(listing, cells.as_deref(), asked, |at| node.chain.place(at));
            if let Some(own) = node.membership.incarnation() {
                barrier.has_passed(&own.presence(GENERATION).name);
            }
            drop(barrier);
            let passed = waiting.borrow().passed(simulation.reading(n).boot);
            simulation.say(|| {
                format!(
                    "node {n} waits for {at:?} by {listing:?}: {passed:?}, {:?}",
                    waiting.borrow().outstanding().collect::<Vec<_>>()
                )
            });
            match passed {
                Passed::NotYet => {
                    let left = waiting.borrow().ends().since(simulation.reading(n).boot).as_secs_f64() / SECONDS;
                    let pause = PAUSE.min(simulation.by_clock(n, left));
                    simulation.for_node(n, pause, move |simulation, n| {
                        simulation.wait_for_all(n, at, waiting, began);
                    });
                }
                Passed::Acknowledged => {
                    simulation.count("barriers: acknowledged");
                    simulation.has_passed(at, began);
                }
                Passed::WaitedOut => {
                    simulation.count("barriers: waited out");
                    simulation.has_passed(at, began);
                    simulation.mark_silent(n, &waiting.borrow());
                }
            }
        });
    }

    /// Of a wait that began before the engine went back nothing follows. A node that has noticed does not answer by it; one
    /// whose own calls were held up cannot.
    fn has_passed(&mut self, at: Position, (began, times_back): (f64, u64)) {
        self.counts.longest_barrier = self.counts.longest_barrier.max(self.now - began);
        if times_back == self.times_back {
            self.promise(at);
        }
    }

    fn mark_silent(&mut self, n: usize, barrier: &Barrier) {
        let silent: Vec<String> = barrier.outstanding().map(|(cell, _)| cell.to_owned()).collect();
        self.list(n, move |simulation, n, cells| {
            let cells = cells.unwrap_or_default();
            let is_silent = |cell: &&Cell| cell.cell.kind == CellKind::Presence && silent.contains(&cell.cell.name);
            for cell in cells.iter().filter(is_silent) {
                let Ok(Some(value)) = marked(&cell.value) else { continue };
                let cell = cell.clone();
                let mark = move |simulation: &mut Self| {
                    simulation.ledger.swap(&cell.cell, Some(&cell.value), Some(&value), Self::by())
                };
                simulation.ask(n, mark, |simulation, _, _| simulation.count("marks of silent nodes"));
            }
        });
    }

    fn list(&mut self, n: usize, then: impl FnOnce(&mut Self, usize, Option<Vec<Cell>>) + 'static) {
        self.list_as(n, Listing::Exact, then);
    }

    fn list_as(
        &mut self,
        n: usize,
        listing: Listing,
        then: impl FnOnce(&mut Self, usize, Option<Vec<Cell>>) + 'static,
    ) {
        let list = move |simulation: &mut Self| match &simulation.former {
            Some(cells) if listing == Listing::Glance && simulation.random.chance(0.5) => Ok(cells.clone()),
            _ => simulation.cells(),
        };
        self.ask(n, list, |simulation, n, cells| then(simulation, n, cells.ok()));
    }
}

fn op(proposal: &Proposal) -> [u8; 16] {
    let mut op = [0; 16];
    op.copy_from_slice(&proposal.last.digest[..16]);
    op
}
