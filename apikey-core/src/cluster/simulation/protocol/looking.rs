//! Nodes of a simulation register and look.

use crate::cluster::format::presence::{Incarnation, Presence};
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{CellKind, Ledger, Look, Standing};
use crate::cluster::protocol::membership::{LookSent, Looked, NextStep};
use crate::cluster::simulation::protocol::{GENERATION, Simulation, UNITS};

impl Simulation {
    /// Looks until the next restart.
    pub(super) fn probe(&mut self, n: usize) {
        let begun = self.now;
        for (cell, value) in self.nodes[n].membership.take_abandoned() {
            let (name, held) = (cell.clone(), value.clone());
            let delete = move |simulation: &mut Self| simulation.ledger.swap(&name, Some(&held), None, Self::by());
            self.ask(n, delete, |simulation, n, deleted| {
                if deleted.is_err() {
                    simulation.nodes[n].membership.abandon(cell, value);
                }
            });
        }
        self.look(n, 4, begun);
    }

    /// Deletes the presences under which a node is no longer listed, once it does not need them.
    fn delete_former(&mut self, n: usize) {
        for former in self.nodes[n].membership.take_former() {
            let cell = former.presence(GENERATION);
            let delete = move |simulation: &mut Self| {
                let cells = simulation.ledger.cells(GENERATION, &[CellKind::Presence], Self::by())?;
                match cells.iter().find(|found| found.cell == cell) {
                    Some(found) => simulation.ledger.swap(&cell, Some(&found.value), None, Self::by()),
                    None => Ok(true),
                }
            };
            self.ask(n, delete, move |simulation, n, deleted| match deleted {
                Ok(true) => simulation.count("former presences deleted"),
                _ => simulation.nodes[n].membership.keep_former(former),
            });
        }
    }

    fn probed(&mut self, n: usize, begun: f64) {
        let interval = UNITS / 10.0 * self.random.between(0.9, 1.1);
        self.for_node(n, begun + interval - self.now, Self::probe);
    }

    fn look(&mut self, n: usize, tries: u32, begun: f64) {
        if !self.nodes[n].is_up() {
            return;
        }
        if tries == 0 {
            return self.probed(n, begun);
        }
        match self.nodes[n].membership.next_step() {
            NextStep::Register => self.register(n, tries, begun),
            NextStep::Look(incarnation, held) => self.send_look(n, incarnation, held, tries, begun),
        }
    }

    fn presence(&mut self, n: usize) -> Vec<u8> {
        let wall = self.reading(n).wall;
        let presence = Presence {
            node: n.to_string(),
            beat: self.random.next().into(),
            marked: false,
            wall,
            pepper: 0,
            bound: 10_000,
        };
        presence.encode().unwrap()
    }

    fn register(&mut self, n: usize, tries: u32, begun: f64) {
        let incarnation = Incarnation(self.random.next().into());
        let (cell, value, sent) = (incarnation.presence(GENERATION), self.presence(n), self.reading(n));
        let (name, held) = (cell.clone(), value.clone());
        self.ask_with_snapshot(
            n,
            |simulation| simulation.log.last().copied().unwrap_or_default(),
            move |simulation, head| Ok((simulation.ledger.swap(&name, None, Some(&held), Self::by())?, head)),
            move |simulation, n, registered| match registered {
                Ok((_, head)) => {
                    let node = &mut simulation.nodes[n];
                    node.membership.registered(incarnation, value);
                    let place = node.chain.place(&head);
                    node.membership.saw_while_registering(head, sent, place);
                    simulation.set_gate(n);
                    simulation.count("registrations");
                    simulation.say(|| format!("node {n} is registered as {incarnation:?}, and saw {head:?}"));
                    simulation.delete_former(n);
                    simulation.look(n, tries - 1, begun);
                }
                Err(error) => {
                    if matches!(error, LedgerError::Unknown { .. }) {
                        simulation.nodes[n].membership.abandon(cell, value);
                    }
                    simulation.probed(n, begun);
                }
            },
        );
    }

    fn send_look(&mut self, n: usize, incarnation: Incarnation, held: Vec<u8>, tries: u32, begun: f64) {
        let next = self.presence(n);
        let (applied, sent) = (self.nodes[n].chain.head().number, self.reading(n));
        let look = LookSent { incarnation, next: next.clone(), sent, applied };
        let call = move |simulation: &mut Self| {
            let cell = incarnation.presence(GENERATION);
            let standing = Standing { cell: &cell, held: &held, next: &next };
            let looked = simulation.ledger.look(GENERATION, &standing, Self::by())?;
            Ok((looked, simulation.log.last().copied().unwrap_or_default()))
        };
        self.ask(n, call, move |simulation, n, answer| {
            if !simulation.nodes[n].is_up() {
                return;
            }
            let answered = simulation.reading(n);
            let node = &mut simulation.nodes[n];
            let looked = match answer {
                Ok((Look::Standing(_) | Look::NotRenewed(_), head)) => {
                    let place = node.chain.place(&head);
                    node.last_sight = Some(head);
                    let looked = node.membership.stood(look, answered, head, place);
                    simulation.say(|| format!("node {n} looks as {incarnation:?}, sent at {:?}, applied {applied}, and sees {head:?}: {looked:?}", sent.boot));
                    looked
                }
                Ok((Look::NotListed, head)) => {
                    let place = node.chain.place(&head);
                    node.membership.saw_unlisted(head, sent, place);
                    let looked = node.membership.not_listed(&look);
                    simulation.say(|| format!("node {n} as {incarnation:?} is not listed, and sees {head:?}: {looked:?}"));
                    looked
                }
                Err(error) => {
                    if matches!(error, LedgerError::Unknown { .. }) {
                        node.membership.unanswered(look);
                    }
                    return simulation.probed(n, begun);
                }
            };
            match looked {
                Looked::Counts => {
                    simulation.count("looks that count");
                    simulation.set_gate(n);
                    simulation.delete_former(n);
                    simulation.isolate_after_look(n);
                    simulation.follow(n);
                    simulation.probed(n, begun);
                }
                Looked::NotListed | Looked::Again => {
                    simulation.set_gate(n);
                    simulation.look(n, tries - 1, begun);
                }
                Looked::Elsewhere => simulation.stop(n, "stops: a look saw another history"),
            }
        });
    }
}
