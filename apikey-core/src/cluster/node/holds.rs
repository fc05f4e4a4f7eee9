//! Holds: the right of one node to some work of the whole cluster. A hold belongs to a presence; once that is gone, another
//! node may take it. What a holder writes is fenced, so that a former one, which was paused, writes nothing more.

use std::time::Instant;

use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, CellKind, CellName, Fence};
use crate::cluster::node::probe::random;
use crate::cluster::node::shared::Node;
use crate::commit::cluster::propagation::Hold;

impl Node {
    /// Lists the nodes, and takes a hold. Returns whether this node has it.
    pub(crate) fn take_hold(&self, hold: Hold, by: Instant) -> Result<bool, LedgerError> {
        let cells = self.ledger.cells(self.generation(), &[CellKind::Presence, CellKind::Hold], by)?;
        Ok(self.hold(hold, &cells, by)?.is_some())
    }

    /// Takes a hold unless another node has it, by the cells of presences and holds. Returns its fence if this node has
    /// it.
    pub(crate) fn hold(&self, hold: Hold, cells: &[Cell], by: Instant) -> Result<Option<Fence>, LedgerError> {
        let taken = self.try_hold(hold, cells, by);
        let mut state = self.state();
        match &taken {
            Ok(Some(fence)) => drop(state.holds.insert(hold, fence.clone())),
            // Whether it still has it is unknown: the fence decides.
            Err(_) => {}
            Ok(None) => drop(state.holds.remove(&hold)),
        }
        taken
    }

    fn try_hold(&self, hold: Hold, cells: &[Cell], by: Instant) -> Result<Option<Fence>, LedgerError> {
        let Some(own) = self.state().membership.incarnation() else { return Ok(None) };
        let cell = CellName { generation: self.generation(), kind: CellKind::Hold, name: hold.name().into() };
        let own = own.presence(self.generation()).name;
        let held = cells.iter().find(|held| held.cell == cell).map(|held| held.value.clone());
        let is_listed = |name: &[u8]| {
            cells.iter().any(|cell| cell.cell.kind == CellKind::Presence && cell.cell.name.as_bytes() == name)
        };
        // The presence of the holder, and a term: a hold that was lost and taken again is another one.
        let holder = |value: &[u8]| value.split(|byte| *byte == b' ').next().unwrap_or_default().to_vec();
        match held {
            Some(value) if holder(&value) == own.as_bytes() => Ok(Some(Fence { cell, value })),
            Some(value) if is_listed(&holder(&value)) => Ok(None),
            held => {
                let value = format!("{own} {:032x}", random(&self.runtime)?).into_bytes();
                let is_taken = self.ledger.swap(&cell, held.as_deref(), Some(&value), by)?;
                Ok(is_taken.then_some(Fence { cell, value }))
            }
        }
    }
}
