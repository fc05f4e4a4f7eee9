//! What a node refuses before it goes to the ledger: a change that only gives, while the node's clock is wrong or the
//! engine is nearly full; and a pause of what gives while another node cannot get a revocation into the log. What takes
//! something away is never refused for any of these.

use std::time::{Duration, Instant};

use crate::cluster::format::presence::Presence;
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Cell, CellKind, CellName};
use crate::cluster::node::shared::{Node, WaitingSeen};
use crate::key::error::StoreError;
use crate::key::error::cluster_error::ClusterError;

/// How far the clock of a node may be from those of the others, in milliseconds.
pub(crate) const MAX_SKEW_MS: i64 = 5 * 60_000;
/// The share of the engine's quota, in percent, from which on nothing is given.
const FULL_PERCENT: u64 = 80;
/// How often a node that gives asks whether another one waits.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// The longest pause for a node that waits.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long others pause for one request: a node that is gone must not slow them down for ever.
const STALE: Duration = Duration::from_secs(10);

impl Node {
    /// Whether the clock of this node is far from those of the others.
    pub(super) fn is_clock_wrong(&self) -> bool {
        self.state().skew_ms.abs() > MAX_SKEW_MS
    }

    /// Checks that the node may give something.
    pub(super) fn check_giving(&self) -> Result<(), StoreError> {
        let state = self.state();
        if state.skew_ms.abs() > MAX_SKEW_MS {
            let seconds = state.skew_ms / 1000;
            let what = format!(
                "the clock of this node is {} seconds {} those of the other nodes: correct it",
                seconds.abs(),
                if seconds > 0 { "behind" } else { "ahead of" }
            );
            return Err(ClusterError::Refused { what }.into());
        }
        let space = state.sight.as_ref().and_then(|sight| sight.space);
        if let Some(space) = space.filter(|space| space.used / 100 * 100 >= space.quota / 100 * FULL_PERCENT) {
            let what = format!(
                "the engine holds {} of {} bytes, and from {FULL_PERCENT} % on it gets only what takes something away: \
                 make room, or raise its quota",
                space.used, space.quota
            );
            return Err(ClusterError::Refused { what }.into());
        }
        Ok(())
    }

    /// Pauses before a change that only gives, if another node has asked for it.
    pub(super) fn let_others_first(&self, by: Instant) -> Result<(), LedgerError> {
        if !self.settings.safeguards.pauses_for_who_waits {
            return Ok(());
        }
        let now = self.runtime.now();
        {
            let mut state = self.state();
            if state.asked_waiting.is_some_and(|asked| now.duration_since(asked) < ASK_EVERY) {
                return Ok(());
            }
            state.asked_waiting = Some(now);
        }
        let Some(value) = self.ledger.sight(self.generation(), by)?.waiting else {
            self.state().waiting_seen = None;
            return Ok(());
        };
        let seen = {
            let mut state = self.state();
            match &state.waiting_seen {
                Some(seen) if seen.value == value => seen.clone(),
                _ => state.waiting_seen.insert(WaitingSeen { value: value.clone(), since: self.runtime.now() }).clone(),
            }
        };
        if self.runtime.now().duration_since(seen.since) > STALE {
            self.ledger.swap(&self.waiting_cell(), Some(&value), None, by)?;
            return Ok(());
        }
        let round_trip = value.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        self.runtime.sleep((Duration::from_micros(round_trip) * 2).min(LONGEST_PAUSE));
        // Ask again before the next change.
        self.state().asked_waiting = None;
        Ok(())
    }

    /// Asks the others to pause, for twice the round trip of this node. Returns what to take back afterwards.
    pub(super) fn ask_others_to_wait(&self, round_trip: Duration, by: Instant) -> Option<Vec<u8>> {
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        let mut value = micros.to_be_bytes().to_vec();
        // Another value each time, so that a stale one is recognised.
        let mut random = [0; 8];
        self.runtime.fill(&mut random).ok()?;
        value.extend(random);
        self.ledger.note(&self.waiting_cell(), &value, by).ok()?;
        Some(value)
    }

    /// Takes the request back, unless another node has made one since.
    pub(super) fn let_others_go(&self, value: &[u8], by: Instant) {
        if let Err(error) = self.ledger.swap(&self.waiting_cell(), Some(value), None, by) {
            tracing::debug!(%error, "the other nodes still pause");
        }
    }

    fn waiting_cell(&self) -> CellName {
        CellName { generation: self.generation(), kind: CellKind::Waiting, name: String::new() }
    }
}

/// How far the clocks of the other nodes are ahead of this one's, by their median; 0 if there are none. Of two in the middle
/// it is the one that is nearer to this node's: of three nodes only the one whose clock is wrong may differ.
pub(crate) fn skew_ms(cells: &[Cell], own: &str, wall: i64) -> i64 {
    let others = cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence && cell.cell.name != own);
    let mut ahead: Vec<i64> = others
        .filter_map(|cell| Presence::decode(&cell.value).ok())
        .filter(|presence| !presence.marked)
        .map(|presence| presence.wall.saturating_sub(wall))
        .collect();
    ahead.sort_unstable();
    let middle = [ahead.len().saturating_sub(1) / 2, ahead.len() / 2];
    middle.iter().filter_map(|at| ahead.get(*at).copied()).min_by_key(|ahead| ahead.saturating_abs()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::format::presence::Incarnation;

    #[test]
    fn the_clock_is_compared_with_the_median_of_the_others() {
        let cell = |number, wall, marked| {
            let node = String::new();
            let presence = Presence { node, beat: 0, marked, wall, pepper: 0, bound: 0 };
            Cell { cell: Incarnation(number).presence(1), value: presence.encode().unwrap() }
        };
        let own = Incarnation(1).presence(1).name;
        assert_eq!(skew_ms(&[], &own, 7), 0);
        assert_eq!(skew_ms(&[cell(1, 500, false)], &own, 7), 0);
        let cells = [cell(1, 0, false), cell(2, 100, false), cell(3, 90, false), cell(4, 9_000_000, false)];
        assert_eq!(skew_ms(&cells, &own, 0), 100);
        assert_eq!(skew_ms(&[cell(1, 0, false), cell(2, 9_000_000, true)], &own, 0), 0);
        // Of three nodes the clock of one is wrong: it says so, and the others do not.
        for wrong in [9_000_000, -9_000_000] {
            assert_eq!(skew_ms(&[cell(1, 0, false), cell(2, 10, false), cell(3, wrong, false)], &own, 0), 10);
            assert_eq!(
                skew_ms(&[cell(1, wrong, false), cell(2, 10, false), cell(3, 0, false)], &own, wrong).signum(),
                -wrong.signum()
            );
        }
    }
}
