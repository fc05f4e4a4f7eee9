//! Leaving a cluster: the node serves no longer, and nobody waits for it.

use std::time::{Duration, Instant};

use crate::cluster::ledger::CellKind;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::node::shared::Node;
use crate::commit::engine::Engine;

/// How long a node that leaves tries to reach the ledger.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Why a node that has left refuses every key.
pub(crate) const LEFT: &str =
    "it has left the cluster (`apikey cluster leave`, or KeyStore::leave_cluster); open the store again";

impl Node {
    /// Leaves while the store stays open: the node refuses every key from now on, and takes itself off the list. Returns
    /// whether it is off the list; if it is not, the thread that looks tries again.
    pub(crate) fn leave_for_good(&self, engine: &Engine) -> bool {
        self.write_rest(engine);
        {
            let mut state = self.state();
            state.membership.is_stale();
            engine.gate.close();
            if state.fault.is_none() {
                tracing::info!(name: "apikey.cluster", target: "apikey", node = self.settings.name, "this node leaves the cluster, and refuses every key");
                state.fault = Some(LEFT.to_owned());
            }
        }
        self.give_back_reserved(engine, self.runtime.now() + TIMEOUT);
        // A registration that is on its way is found there.
        self.probing.notify();
        self.unlist(self.runtime.now() + TIMEOUT).is_ok()
    }

    /// Writes the first uses that wait, closes the gate, and then takes the node off the list. If the ledger does not
    /// answer, the next change that takes something away waits for this node once, for the bound.
    pub(crate) fn leave(&self, engine: &Engine) {
        self.write_rest(engine);
        {
            let mut state = self.state();
            state.membership.is_stale();
            state.holds.clear();
            engine.gate.close();
        }
        self.give_back_reserved(engine, self.runtime.now() + TIMEOUT);
        if let Err(error) = self.unlist(self.runtime.now() + TIMEOUT) {
            tracing::debug!(%error, "the node is still listed");
        }
    }

    fn write_rest(&self, engine: &Engine) {
        if self.state().fault.is_some() {
            return;
        }
        if let Err(error) = self.write_first_uses(engine, self.runtime.now() + TIMEOUT) {
            tracing::warn!(%error, "first uses of rotated keys are in force on this node, and not written");
        }
    }

    /// Takes the node off the list. The gate is closed, and stays closed.
    pub(crate) fn unlist(&self, by: Instant) -> Result<(), LedgerError> {
        let Some((incarnation, held)) = self.state().membership.leave() else { return Ok(()) };
        let cell = incarnation.presence(self.generation());
        let unlisted = self.ledger.swap(&cell, Some(&held), None, by).and_then(|done| {
            if done {
                return Ok(());
            }
            // A look without an answer has renewed it, somebody has marked it, or it is gone.
            let cells = self.ledger.cells(self.generation(), &[CellKind::Presence], by)?;
            let Some(found) = cells.into_iter().find(|found| found.cell == cell) else { return Ok(()) };
            self.ledger.swap(&cell, Some(&found.value), None, by).map(drop)
        });
        if unlisted.is_err() {
            // Not to be forgotten: it is tried again.
            self.state().membership.registered(incarnation, held);
        }
        self.noted(unlisted)
    }
}
