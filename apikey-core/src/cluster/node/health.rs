//! The health of a node.

use crate::cluster::listed_nodes::listed_nodes;
use crate::cluster::node::shared::Node;
use crate::commit::cluster::health::ClusterHealth;
use crate::commit::cluster::propagation::Hold;
use crate::commit::engine::Engine;

impl Node {
    pub(crate) fn health(&self, engine: &Engine) -> ClusterHealth {
        let now = self.clock.now();
        let state = self.state();
        let sight = state.sight.as_ref();
        ClusterHealth {
            node: self.settings.name.clone(),
            engine: self.ledger.name(),
            ready: engine.is_ready(),
            applied: state.chain.head().number,
            head: sight.and_then(|sight| sight.head).map(|head| head.number),
            age: state.membership.fresh_as_of().map(|as_of| now.since(as_of)),
            max_staleness: self.settings.bound,
            nodes: listed_nodes(&state.cells),
            only_here: state.here.values().filter(|here| here.kept().is_some()).count() as u64,
            stopped: state.fault.clone(),
            recovering: state.recovery.as_ref().map(ToString::to_string),
            recovered: state.recovered.clone(),
            engine_error: state.ledger_error.clone(),
            floor: sight.map_or(0, |sight| sight.floor),
            space: sight.and_then(|sight| sight.space).map(|space| (space.used, space.quota)),
            janitor: state.holds.contains_key(&Hold::Janitor),
        }
    }
}
