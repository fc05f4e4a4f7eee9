//! Waiting until a change holds on every node.

use std::time::{Duration, Instant};

use crate::base::boot_time::BootTime;
use crate::cluster::format::presence::Presence;
use crate::cluster::ledger::{Cell, CellKind, Position};
use crate::cluster::node::listings::Listed;
use crate::cluster::node::shared::{Node, PATIENCE};
use crate::cluster::protocol::barrier::{Barrier, Listing, Passed};
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::membership::Place;
use crate::cluster::protocol::removal::marked;
use crate::key::error::cluster_error::ClusterError;

impl Node {
    /// Waits until every node that may serve has applied the log up to here, or cannot serve without it. With `longest`
    /// it waits no longer than that, and returns the nodes that have not. The caller has the answer of the append.
    ///
    /// # Errors
    /// The engine went back in time meanwhile, and the log does not have it again within `write_timeout`.
    pub(crate) fn wait_for_all(&self, at: Position, longest: Option<Duration>) -> Result<Vec<String>, ClusterError> {
        let begun = self.runtime.now();
        let until = longest.map(|longest| begun + longest);
        loop {
            let times_back = self.state().times_back;
            if let Some(without) = self.wait_in_step(at, begun, until, times_back) {
                return Ok(without);
            }
            // What the engine has lost holds nowhere: the wait begins anew once the log has it again.
            self.wait_for_log(at, until.unwrap_or_else(|| self.runtime.now() + self.settings.write_timeout))?;
        }
    }

    /// Waits until the node has brought back what the engine had lost.
    fn wait_for_log(&self, at: Position, by: Instant) -> Result<(), ClusterError> {
        let begun = self.runtime.now();
        let unknown = |what: &str| Err(ClusterError::Unknown { what: what.to_owned() });
        while self.is_recovering() {
            if self.runtime.now() >= by || self.state().fault.is_some() {
                return unknown("the engine went back in time, and this node has not brought the change back yet");
            }
            self.runtime.sleep(intervals::pause(self.runtime.now().duration_since(begun)));
        }
        match self.place(&at) {
            Place::Applied => Ok(()),
            _ => unknown("the engine went back in time, and has other events now in the place of the change"),
        }
    }

    /// The same while the engine does not go back; `None` once the node has noticed that it did.
    fn wait_in_step(
        &self,
        at: Position,
        begun: Instant,
        until: Option<Instant>,
        times_back: u64,
    ) -> Option<Vec<String>> {
        let answered = self.clock.now();
        let mut barrier = Barrier::new(at, answered, self.settings.bound, self.settings.safeguards);
        // The time of the newest list of each kind that the barrier has taken in.
        let (mut exact, mut glance) = (answered, answered);
        loop {
            let listing = barrier.asks_for();
            let newest = if listing == Listing::Exact { &mut exact } else { &mut glance };
            let listed = self.list_for_barriers(listing, *newest);
            *newest = listed.sent;
            let cells = listed.cells.as_deref().map(Vec::as_slice);
            barrier.observe(listing, cells, listed.sent, |at| self.place(at));
            // This node has applied it.
            if let Some(own) = self.state().membership.incarnation() {
                barrier.has_passed(&own.presence(self.generation()).name);
            }
            if self.state().times_back != times_back {
                return None;
            }
            match barrier.passed(self.clock.now()) {
                Passed::Acknowledged => return Some(Vec::new()),
                Passed::WaitedOut => {
                    self.mark_silent(&barrier);
                    return Some(Vec::new());
                }
                Passed::NotYet if until.is_some_and(|until| until <= self.runtime.now()) => {
                    if !barrier.is_listed() {
                        return Some(self.perhaps_without());
                    }
                    return Some(barrier.outstanding().map(|(_, node)| node.to_owned()).collect());
                }
                Passed::NotYet => {}
            }
            let now = self.runtime.now();
            let pause = intervals::pause(now.duration_since(begun));
            let left = until.map_or(pause, |until| until.saturating_duration_since(now));
            let ends = barrier.ends().since(self.clock.now());
            self.runtime.sleep(pause.min(left).min(ends));
        }
    }

    /// The other nodes, as this one knew them last, when the ledger does not list them.
    pub(super) fn perhaps_without(&self) -> Vec<String> {
        let state = self.state();
        let own = state.membership.incarnation().map(|own| own.presence(self.generation()).name);
        let others = state.cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence);
        let others = others.filter(|cell| own.as_ref() != Some(&cell.cell.name));
        let name = |cell: &Cell| Presence::decode(&cell.value).map_or_else(|_| cell.cell.name.clone(), |one| one.node);
        let mut names: Vec<String> = others.map(name).collect();
        if names.is_empty() {
            // There may be some that it does not know.
            names.push(self.ledger.name());
        }
        names
    }

    /// What the ledger lists, by a question that somebody asked after this time.
    fn list_for_barriers(&self, listing: Listing, after: BootTime) -> Listed {
        let by = self.runtime.now() + PATIENCE.min(self.settings.bound);
        self.listings.list(&self.runtime, &self.clock, listing, after, by, || {
            let listed = match listing {
                Listing::Exact => {
                    let kinds = [CellKind::Presence, CellKind::Acknowledgement];
                    self.ledger.cells(self.generation(), &kinds, by)
                }
                Listing::Glance => self.ledger.glance(self.generation(), &[CellKind::Acknowledgement], by),
            };
            // Without the cells the barrier lasts as long as the bound.
            self.noted(listed).ok()
        })
    }

    /// Marks the nodes that have not acknowledged a change within the bound, so that the next change need not wait for
    /// them. A node that runs after all registers anew.
    fn mark_silent(&self, barrier: &Barrier) {
        let by = self.runtime.now() + PATIENCE;
        let Ok(cells) = self.ledger.cells(self.generation(), &[CellKind::Presence], by) else { return };
        for (name, node) in barrier.outstanding() {
            let Some(cell) = cells.iter().find(|cell| cell.cell.name == name) else { continue };
            let Ok(Some(value)) = marked(&cell.value) else { continue };
            if self.ledger.swap(&cell.cell, Some(&cell.value), Some(&value), by).is_ok_and(|done| done) {
                tracing::warn!(name: "apikey.cluster", target: "apikey", node, "a node did not apply a change within max_staleness; it is removed, and refuses every key until it follows again");
            }
        }
    }
}
