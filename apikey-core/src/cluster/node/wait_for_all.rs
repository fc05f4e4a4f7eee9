//! Waiting until a change holds on every node.

use std::time::Duration;

use crate::base::boot_time::BootTime;
use crate::cluster::format::presence::Presence;
use crate::cluster::ledger::{Cell, CellKind, Position};
use crate::cluster::node::listings::Listed;
use crate::cluster::node::shared::{Node, PATIENCE};
use crate::cluster::protocol::barrier::{Barrier, Listing, Passed};
use crate::cluster::protocol::intervals;
use crate::cluster::protocol::removal::marked;

impl Node {
    /// Waits until every node that may serve has applied the log up to here, or cannot serve without it. With `longest`
    /// it waits no longer than that, and returns the nodes that have not. The caller has the answer of the append.
    pub(crate) fn wait_for_all(&self, at: Position, longest: Option<Duration>) -> Vec<String> {
        let (answered, begun) = (self.clock.now(), self.runtime.now());
        let mut barrier = Barrier::new(at, answered, self.settings.bound, self.settings.safeguards);
        let until = longest.map(|longest| begun + longest);
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
            match barrier.passed(self.clock.now()) {
                Passed::Acknowledged => return Vec::new(),
                Passed::WaitedOut => {
                    self.mark_silent(&barrier);
                    return Vec::new();
                }
                Passed::NotYet if until.is_some_and(|until| until <= self.runtime.now()) => {
                    if !barrier.is_listed() {
                        return self.perhaps_without();
                    }
                    return barrier.outstanding().map(|(_, node)| node.to_owned()).collect();
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
    fn perhaps_without(&self) -> Vec<String> {
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
