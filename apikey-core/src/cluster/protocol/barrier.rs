//! The barrier: what was taken away holds on every machine once it is passed.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::boot_time::BootTime;
use crate::base::codec;
use crate::cluster::format::presence::{Acknowledgement, Presence};
use crate::cluster::ledger::{Cell, CellKind, Position};
use crate::cluster::protocol::membership::Place;
use crate::cluster::protocol::safeguards::Safeguards;

/// The wait for every node that may serve without a change.
#[derive(Debug)]
pub(crate) struct Barrier {
    /// The change, by the head after it.
    position: Position,
    /// From when on the bound counts: after the answer of the append.
    begun: BootTime,
    bound: Duration,
    safeguards: Safeguards,
    /// The nodes that were listed after the append and have not acknowledged the change: their names, by the name of
    /// their cell. `None` before the first exact listing.
    outstanding: Option<BTreeMap<String, String>>,
    /// How many glances in a row it has taken in or missed.
    glances: u32,
}

/// How a barrier lists the cells of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listing {
    /// The presences and acknowledgements that the ledger has at a time after the question. This alone shows that a node
    /// is gone.
    Exact,
    /// The acknowledgements of some earlier time, perhaps of a former primary, for little. An acknowledgement is true
    /// whenever it was seen.
    Glance,
}

/// How many glances follow an exact listing.
const GLANCES: u32 = 7;

/// How a barrier stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// Every node that was listed has acknowledged the change, or is gone.
    Acknowledged,
    /// The bound is over: no node serves without the change.
    WaitedOut,
    NotYet,
}

impl Barrier {
    /// Begins the barrier of a change. `answered` is a time after the answer of the append.
    pub(crate) fn new(position: Position, answered: BootTime, bound: Duration, safeguards: Safeguards) -> Self {
        Self { position, begun: answered, bound, safeguards, outstanding: None, glances: 0 }
    }

    /// What the caller asks the ledger for next.
    pub(crate) fn asks_for(&self) -> Listing {
        match self.outstanding {
            Some(_) if self.glances < GLANCES => Listing::Glance,
            _ => Listing::Exact,
        }
    }

    /// Takes in the cells of presences and acknowledgements, which the caller asked for at `asked`, or `None` if the
    /// ledger did not answer. `place` says where a position lies, seen from the replica of the caller.
    ///
    /// A node that registers between an append and an earlier listing may have looked before the append, so such a
    /// listing says nothing.
    pub(crate) fn observe(
        &mut self,
        listing: Listing,
        cells: Option<&[Cell]>,
        asked: BootTime,
        place: impl Fn(&Position) -> Place,
    ) {
        self.glances = if listing == Listing::Glance { self.glances + 1 } else { 0 };
        let Some(cells) = cells else { return };
        if self.safeguards.lists_after_the_append && asked < self.begun {
            return;
        }
        let is_exact = listing == Listing::Exact || !self.safeguards.ends_by_the_list;
        if !is_exact && self.outstanding.is_none() {
            return;
        }
        let presences = || cells.iter().filter(|cell| cell.cell.kind == CellKind::Presence);
        let (number, compares_digests) = (self.position.number, self.safeguards.compares_digests);
        let outstanding = self.outstanding.get_or_insert_with(|| {
            let listed = presences().filter_map(|cell| {
                // A presence that this version does not understand is one all the same.
                let presence = Presence::decode(&cell.value);
                let is_marked = presence.as_ref().is_ok_and(|presence| presence.marked);
                let name = presence.map_or_else(|_| cell.cell.name.clone(), |presence| presence.node);
                (self.safeguards.waits_for_marked || !is_marked).then(|| (cell.cell.name.clone(), name))
            });
            listed.collect()
        });
        let acknowledged = |name: &str| {
            let is_its = |cell: &&Cell| cell.cell.kind == CellKind::Acknowledgement && cell.cell.name == name;
            let cell = cells.iter().find(is_its);
            let position = cell
                .and_then(|cell| codec::decode::<Acknowledgement>(&cell.value).ok())
                .map(|ack| Position { number: ack.number, digest: ack.digest });
            // A node whose engine went back in time may have applied other events of these numbers. One that is ahead of
            // this replica counts once the replica has followed.
            position.is_some_and(|at| at.number >= number && (!compares_digests || place(&at) == Place::Applied))
        };
        // Who has gone was deleted, and whoever deleted it waited for its bound.
        let stands = |name: &str| !is_exact || presences().any(|cell| cell.cell.name == name);
        outstanding.retain(|name, _| stands(name) && !acknowledged(name));
    }

    /// The node of this cell has applied the change, as the caller knows.
    pub(crate) fn has_passed(&mut self, cell: &str) {
        if let Some(outstanding) = &mut self.outstanding {
            outstanding.remove(cell);
        }
    }

    pub(crate) fn passed(&self, now: BootTime) -> Passed {
        match &self.outstanding {
            Some(outstanding) if outstanding.is_empty() => Passed::Acknowledged,
            _ if now.since(self.begun) >= self.longest() => Passed::WaitedOut,
            _ => Passed::NotYet,
        }
    }

    /// The time at which the barrier is passed in any case.
    pub(crate) fn ends(&self) -> BootTime {
        self.begun.after(self.longest())
    }

    fn longest(&self) -> Duration {
        if self.safeguards.waits_out_the_bound { self.safeguards.stretched(self.bound) } else { self.bound / 2 }
    }

    /// Whether it knows which nodes have to acknowledge the change.
    pub(crate) fn is_listed(&self) -> bool {
        self.outstanding.is_some()
    }

    /// The names of the cells of nodes that have not acknowledged the change, with the names of the nodes: none before
    /// they are [listed](Self::is_listed).
    pub(crate) fn outstanding(&self) -> impl Iterator<Item = (&str, &str)> {
        self.outstanding.iter().flatten().map(|(cell, name)| (cell.as_str(), name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::boot_time::BootClock;
    use crate::cluster::format::presence::Incarnation;

    const OWN: Position = Position { number: 5, digest: [5; 32] };

    fn cells(acknowledged: Position) -> Vec<Cell> {
        let presence =
            Presence { node: "two".into(), beat: 1, marked: false, wall: 0, pepper: 0, bound: 10_000 }.encode();
        let acknowledgement = Acknowledgement { number: acknowledged.number, digest: acknowledged.digest };
        vec![
            Cell { cell: Incarnation(2).presence(1), value: presence.unwrap() },
            Cell { cell: Incarnation(2).acknowledgement(1), value: codec::encode(&acknowledgement).unwrap() },
        ]
    }

    fn place(at: &Position) -> Place {
        match at.number {
            6.. => Place::Ahead,
            _ if *at == OWN => Place::Applied,
            _ => Place::Elsewhere,
        }
    }

    #[test]
    fn an_acknowledgement_of_other_events_passes_nothing() {
        let now = BootClock::manual().0.now();
        let other = Position { digest: [6; 32], ..OWN };
        let ahead = Position { number: 6, digest: [6; 32] };
        for (acknowledged, expected) in [(OWN, Passed::Acknowledged), (other, Passed::NotYet), (ahead, Passed::NotYet)]
        {
            let mut barrier = Barrier::new(OWN, now, Duration::from_secs(10), Safeguards::ALL);
            barrier.observe(Listing::Exact, Some(&cells(acknowledged)), now, place);
            assert_eq!(barrier.passed(now), expected, "{acknowledged:?}");
        }
    }

    #[test]
    fn a_listing_before_the_append_says_nothing() {
        let asked = BootClock::manual().0.now();
        let answered = asked.after(Duration::from_millis(1));
        let mut barrier = Barrier::new(OWN, answered, Duration::from_secs(10), Safeguards::ALL);
        barrier.observe(Listing::Exact, Some(&[]), asked, place);
        assert_eq!(barrier.passed(answered), Passed::NotYet);
        barrier.observe(Listing::Exact, Some(&[]), answered, place);
        assert_eq!(barrier.passed(answered), Passed::Acknowledged);
    }

    #[test]
    fn a_glance_shows_what_was_acknowledged_and_not_who_is_gone() {
        let now = BootClock::manual().0.now();
        let mut barrier = Barrier::new(OWN, now, Duration::from_secs(10), Safeguards::ALL);
        barrier.observe(Listing::Glance, Some(&[]), now, place);
        assert_eq!((barrier.passed(now), barrier.asks_for()), (Passed::NotYet, Listing::Exact), "nobody is listed yet");
        let early = Position { number: 4, digest: [4; 32] };
        barrier.observe(Listing::Exact, Some(&cells(early)), now, place);
        for _ in 0..GLANCES {
            assert_eq!((barrier.passed(now), barrier.asks_for()), (Passed::NotYet, Listing::Glance));
            barrier.observe(Listing::Glance, Some(&[]), now, place);
        }
        assert_eq!(barrier.asks_for(), Listing::Exact, "who is gone is noticed, too");
        barrier.observe(Listing::Exact, None, now, place);
        assert_eq!((barrier.passed(now), barrier.asks_for()), (Passed::NotYet, Listing::Glance));
        barrier.observe(Listing::Glance, Some(&cells(OWN)[1..]), now, place);
        assert_eq!(barrier.passed(now), Passed::Acknowledged);
    }
}
