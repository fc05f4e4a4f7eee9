//! The nodes of a cluster, as the cells of its ledger list them.

use crate::base::codec;
use crate::base::time::from_ms;
use crate::cluster::format::presence::{Acknowledgement, Presence};
use crate::cluster::ledger::{Cell, CellKind};
use crate::commit::cluster::health::NodeHealth;

/// The nodes that these presences and acknowledgements are of, by name.
pub(crate) fn listed_nodes(cells: &[Cell]) -> Vec<NodeHealth> {
    let of_kind = |kind| cells.iter().filter(move |cell| cell.cell.kind == kind);
    let listed = of_kind(CellKind::Presence).map(|cell| {
        let presence = Presence::decode(&cell.value).ok();
        let acknowledged = of_kind(CellKind::Acknowledgement).find(|other| other.cell.name == cell.cell.name);
        NodeHealth {
            silent: presence.as_ref().is_some_and(|presence| presence.marked),
            last_look: presence.as_ref().map(|presence| from_ms(presence.wall)),
            name: presence.map_or_else(|| cell.cell.name.clone(), |presence| presence.node),
            applied: acknowledged
                .and_then(|cell| codec::decode::<Acknowledgement>(&cell.value).ok())
                .map(|acknowledged| acknowledged.number),
        }
    });
    let mut nodes: Vec<NodeHealth> = listed.collect();
    nodes.sort_by(|one, other| one.name.cmp(&other.name));
    nodes
}
