//! The removal of presences of nodes that are gone: somebody marks one, and whoever has seen the mark for the bound
//! deletes it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::boot_time::BootTime;
use crate::base::codec::CodecError;
use crate::cluster::format::presence::Presence;
use crate::cluster::ledger::{Cell, CellKind, CellName};
use crate::cluster::protocol::safeguards::{Safeguards, stretched};

/// Marked presences that a node has seen, with the time at which it first saw them.
#[derive(Debug, Default)]
pub(crate) struct MarkedSeen(BTreeMap<CellName, (Vec<u8>, BootTime)>);

impl MarkedSeen {
    /// Takes in the presences, and returns those to delete: the cell, and the value that it must still have. `seen` is a
    /// time after the answer of the call that listed them.
    pub(crate) fn observe(
        &mut self,
        cells: &[Cell],
        seen: BootTime,
        bound: Duration,
        safeguards: Safeguards,
    ) -> Vec<(CellName, Vec<u8>)> {
        let is_marked = |value: &[u8]| Presence::decode(value).is_ok_and(|presence| presence.marked);
        let marked: BTreeMap<&CellName, &Vec<u8>> = cells
            .iter()
            .filter(|cell| cell.cell.kind == CellKind::Presence && is_marked(&cell.value))
            .map(|cell| (&cell.cell, &cell.value))
            .collect();
        self.0.retain(|cell, (value, _)| marked.get(cell).is_some_and(|now| *now == value));
        for (cell, value) in marked {
            self.0.entry(cell.clone()).or_insert_with(|| (value.clone(), seen));
        }
        let wait = if safeguards.keeps_marked_for_the_bound { safeguards.stretched(bound) } else { Duration::ZERO };
        let due = self.0.iter().filter(|(_, (_, since))| seen.since(*since) >= wait);
        due.map(|(cell, (value, _))| (cell.clone(), value.clone())).collect()
    }
}

/// Presences whose value has not changed, with the time at which a node first saw the value: each look changes it.
#[derive(Debug, Default)]
pub(crate) struct Unchanged(BTreeMap<CellName, (Vec<u8>, BootTime)>);

impl Unchanged {
    /// Takes in the presences, and returns those to mark: nobody has looked under them for the bound. A mark endangers
    /// nothing, whatever it is put on.
    pub(crate) fn observe(&mut self, cells: &[Cell], seen: BootTime, bound: Duration) -> Vec<(CellName, Vec<u8>)> {
        let presences = cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence);
        let now: BTreeMap<&CellName, &Vec<u8>> = presences.map(|cell| (&cell.cell, &cell.value)).collect();
        self.0.retain(|cell, (value, _)| now.get(cell).is_some_and(|now| *now == value));
        for (cell, value) in now {
            self.0.entry(cell.clone()).or_insert_with(|| (value.clone(), seen));
        }
        let due = self.0.iter().filter(|(_, (_, since))| seen.since(*since) >= stretched(bound));
        due.map(|(cell, (value, _))| (cell.clone(), value.clone())).collect()
    }
}

/// The value of a presence with the mark; `None` if it has the mark.
pub(crate) fn marked(value: &[u8]) -> Result<Option<Vec<u8>>, CodecError> {
    let presence = Presence::decode(value)?;
    if presence.marked { Ok(None) } else { Presence { marked: true, ..presence }.encode().map(Some) }
}
