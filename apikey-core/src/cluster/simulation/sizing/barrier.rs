//! Barriers: a node asks for one list at a time for all of them, and each pauses between two questions.

use std::rc::Rc;
use std::time::Duration;

use crate::base::boot_time::BootTime;
use crate::cluster::ledger::{Cell, CellKind, Ledger, Position};
use crate::cluster::protocol::barrier::{Barrier, Listing, Passed};
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::safeguards::Safeguards;
use crate::cluster::simulation::sizing::engine::Call;
use crate::cluster::simulation::sizing::node::Connection;
use crate::cluster::simulation::sizing::{GENERATION, Simulation};

/// A list, and the time of the question.
type Listed = (BootTime, Option<Rc<Vec<Cell>>>);

/// A barrier that waits for a list asked for after some time.
type Waiting = (BootTime, Then);

/// What a barrier does with a list.
type Then = Box<dyn FnOnce(&mut Simulation, Listed)>;

/// The questions of a node: exact lists, and glances.
#[derive(Default)]
pub(super) struct Questions([Question; 2]);

#[derive(Default)]
struct Question {
    is_pending: bool,
    last: Option<Listed>,
    waiting: Vec<Waiting>,
}

/// A barrier that is not passed.
struct Wait {
    barrier: Barrier,
    begun: Duration,
    /// When the change was called.
    called: Duration,
    /// The time of the newest list of each kind that it has taken in.
    newest: [BootTime; 2],
}

impl Simulation {
    pub(super) fn pass_barrier(&mut self, n: usize, at: Position, called: Duration) {
        let answered = self.boot();
        let barrier = Barrier::new(at, answered, self.plan.bound, Safeguards::ALL);
        self.ask(n, Wait { barrier, begun: self.now, called, newest: [answered; 2] });
    }

    fn ask(&mut self, n: usize, mut wait: Wait) {
        let listing = wait.barrier.asks_for();
        let kind = usize::from(listing == Listing::Glance);
        let newest = wait.newest[kind];
        let answered = move |simulation: &mut Self, (sent, cells): Listed| {
            wait.newest[kind] = sent;
            let node = &simulation.nodes[n];
            let cells = cells.as_deref().map(Vec::as_slice);
            wait.barrier.observe(listing, cells, sent, |at| node.chain.place(at));
            wait.barrier.has_passed(&node.membership.incarnation().unwrap().presence(GENERATION).name);
            match wait.barrier.passed(simulation.boot()) {
                Passed::NotYet => {
                    let pause = intervals::pause(simulation.now - wait.begun);
                    simulation.at(pause, move |simulation| simulation.ask(n, wait));
                }
                passed => simulation.counts.passed(simulation.now - wait.called, passed == Passed::WaitedOut),
            }
        };
        self.list(n, listing, kind, newest, Box::new(answered));
    }

    /// A list that somebody asked for after this time. One asks; the others take the answer, or the next one.
    fn list(&mut self, n: usize, listing: Listing, kind: usize, after: BootTime, then: Then) {
        let question = &mut self.nodes[n].questions.0[kind];
        if let Some(last) = question.last.clone().filter(|(sent, _)| *sent > after) {
            return then(self, last);
        }
        question.waiting.push((after, then));
        if question.is_pending {
            return;
        }
        question.is_pending = true;
        // A moment later, so that it is after what was answered just now.
        let sent = self.boot().after(Duration::from_nanos(1));
        let (call, rows, kinds) = match listing {
            Listing::Exact => (Call::Cells, 2 * self.plan.nodes, &[CellKind::Presence, CellKind::Acknowledgement][..]),
            Listing::Glance => (Call::Glance, self.plan.nodes, &[CellKind::Acknowledgement][..]),
        };
        let list = move |simulation: &mut Self| simulation.ledger.cells(GENERATION, kinds, Self::by()).unwrap();
        self.call(n, Connection::Cells, call, rows, list, move |simulation, cells| {
            let listed: Listed = (sent, cells.map(Rc::new));
            let question = &mut simulation.nodes[n].questions.0[kind];
            question.is_pending = false;
            question.last = Some(listed.clone());
            for (after, then) in std::mem::take(&mut question.waiting) {
                // Who came too late for this one asks again.
                if listed.0 > after {
                    then(simulation, listed.clone());
                } else {
                    simulation.list(n, listing, kind, after, then);
                }
            }
        });
    }
}
