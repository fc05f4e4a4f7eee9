//! The membership of a node: its presence, and how fresh its replica is. These are steps without threads, clocks or I/O:
//! a thread of the node takes them, and so does the simulation.
//!
//! A node is *fresh as of* a time if it has applied every entry that was in the log at that time. It serves for the
//! bound after it, and no longer. A change that takes something away is done once every node that is listed has applied
//! it, or once the bound has passed. What makes these fit together is that a node is fresh only by looks at which it was
//! listed: who lists the nodes after such a change sees it, or it sees the change.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use crate::base::boot_time::BootTime;
use crate::cluster::format::presence::Incarnation;
use crate::cluster::ledger::{CellName, Position};
use crate::cluster::protocol::reading::Reading;
use crate::cluster::protocol::safeguards::Safeguards;

/// How long before the bound the gate closes.
pub(crate) const MARGIN: Duration = Duration::from_millis(20);
/// How far the wall clock may be set back before the gate closes: a correction, and no new time.
const CORRECTION_MS: i64 = 1000;

/// The most looks without an answer whose values are kept: that many follow each other while answers get lost.
const MAX_PERHAPS: usize = 16;

/// Where a position lies, seen from a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The replica has applied it.
    Applied,
    /// It is beyond the replica's head.
    Ahead,
    /// The replica has another event of this number, or the log ends before the replica does.
    Elsewhere,
}

/// The membership of a node.
#[derive(Debug)]
pub(crate) struct Membership {
    bound: Duration,
    safeguards: Safeguards,
    listed: Option<Listed>,
    /// Cells that a registration without an answer may have made.
    abandoned: Vec<(CellName, Vec<u8>)>,
    /// The presences under which a look found the node unlisted. Changes of others wait for those that stand.
    former: Vec<Incarnation>,
    /// Whether the node has applied what a look under its present one has seen.
    is_replaced: bool,
    fresh_as_of: Option<Reading>,
    /// The heads of looks that the replica has not applied yet, each with the time from which it makes the node fresh.
    pending: VecDeque<(Position, Reading)>,
}

/// A presence that the ledger has confirmed.
#[derive(Debug)]
struct Listed {
    incarnation: Incarnation,
    /// What the cell holds.
    held: Vec<u8>,
    /// What the cell holds if a look that had no answer was done.
    perhaps: VecDeque<Vec<u8>>,
}

/// What a node does next for its membership.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NextStep {
    /// Register a new incarnation.
    Register,
    /// Look, under this incarnation, whose cell holds this.
    Look(Incarnation, Vec<u8>),
}

/// A look under way.
#[derive(Debug)]
pub(crate) struct LookSent {
    pub(crate) incarnation: Incarnation,
    /// What the cell holds once the look is done.
    pub(crate) next: Vec<u8>,
    /// Read before the look was sent.
    pub(crate) sent: Reading,
    /// The number of the replica's last event before the look was sent: the log has it, or the engine went back.
    pub(crate) applied: u64,
}

/// What became of a look.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// It makes the node fresh, now or once it has applied what it saw.
    Counts,
    /// The node is not listed, and registers anew.
    NotListed,
    /// The cell may hold what an earlier look wrote, which had no answer: look again.
    Again,
    /// The ledger holds another history than the replica.
    Elsewhere,
}

impl Membership {
    pub(crate) fn new(bound: Duration, safeguards: Safeguards) -> Self {
        Self {
            bound,
            safeguards,
            listed: None,
            abandoned: Vec::new(),
            former: Vec::new(),
            is_replaced: false,
            fresh_as_of: None,
            pending: VecDeque::new(),
        }
    }

    pub(crate) fn next_step(&self) -> NextStep {
        match &self.listed {
            None => NextStep::Register,
            Some(listed) => NextStep::Look(listed.incarnation, listed.held.clone()),
        }
    }

    /// The incarnation that is listed, as far as the node knows.
    pub(crate) fn incarnation(&self) -> Option<Incarnation> {
        self.listed.as_ref().map(|listed| listed.incarnation)
    }

    /// The registration was answered: the cell holds `value`. Looks that are sent from now on count.
    pub(crate) fn registered(&mut self, incarnation: Incarnation, value: Vec<u8>) {
        self.listed = Some(Listed { incarnation, held: value, perhaps: VecDeque::new() });
        self.is_replaced = false;
    }

    /// The registration had no answer. Its cell may be there, or appear later.
    pub(crate) fn abandon(&mut self, cell: CellName, value: Vec<u8>) {
        self.abandoned.push((cell, value));
    }

    /// Takes the cells that registrations without an answer may have left. No look ever counted under them, so deleting
    /// them endangers nothing.
    pub(crate) fn take_abandoned(&mut self) -> Vec<(CellName, Vec<u8>)> {
        std::mem::take(&mut self.abandoned)
    }

    /// Takes the presences that the node no longer needs, for the caller to delete: else each change waits for them, as
    /// it waits for a node that is gone.
    ///
    /// The node may be fresh by looks under a former presence, so it must not go before all is applied that waits for it
    /// and not for the present one. What lists the former alone was listed before the present one was registered, and was
    /// in the log when the first look under that was sent.
    pub(crate) fn take_former(&mut self) -> Vec<Incarnation> {
        if self.is_replaced || !self.safeguards.keeps_former_until_replaced {
            std::mem::take(&mut self.former)
        } else {
            Vec::new()
        }
    }

    /// A former presence may still stand.
    pub(crate) fn keep_former(&mut self, former: Incarnation) {
        if !self.former.contains(&former) {
            self.former.push(former);
        }
    }

    /// A look found the presence standing, and the log's head at `head`. `place` says where that is.
    pub(crate) fn stood(&mut self, look: LookSent, answered: Reading, head: Position, place: Place) -> Looked {
        // Even if a later look has found the node unlisted, this one counts: it was at a time at which the node was listed.
        if let Some(listed) = self.listed.as_mut().filter(|listed| listed.incarnation == look.incarnation)
            // After one that did not renew the presence, an earlier look that had no answer may still do so.
            && listed.held != look.next
        {
            listed.held = look.next;
            listed.perhaps.clear();
        }
        // What a node has applied was in the log before it sent the look.
        if self.safeguards.looks_reach_what_was_applied && head.number < look.applied {
            return Looked::Elsewhere;
        }
        if place == Place::Applied && self.incarnation() == Some(look.incarnation) {
            self.is_replaced = true;
        }
        let as_of = if self.safeguards.dates_looks_from_sending { look.sent } else { answered };
        self.saw(head, as_of, place)
    }

    /// A look found the presence marked, deleted, or with another beat.
    pub(crate) fn not_listed(&mut self, look: &LookSent) -> Looked {
        let Some(listed) = self.listed.as_mut().filter(|listed| listed.incarnation == look.incarnation) else {
            return Looked::NotListed;
        };
        if let Some(perhaps) = listed.perhaps.pop_front() {
            listed.held = perhaps;
            return Looked::Again;
        }
        self.listed = None;
        self.keep_former(look.incarnation);
        Looked::NotListed
    }

    /// A look had no answer: the cell holds what it held, or what this look wrote, or what one before it wrote that had
    /// no answer either.
    pub(crate) fn unanswered(&mut self, look: LookSent) {
        if let Some(listed) = self.listed.as_mut().filter(|listed| listed.incarnation == look.incarnation) {
            listed.perhaps.push_back(look.next);
            if listed.perhaps.len() > MAX_PERHAPS {
                listed.perhaps.pop_front();
            }
        }
    }

    /// Counts a sight of the log's head at a time at which the node was listed.
    fn saw(&mut self, head: Position, as_of: Reading, place: Place) -> Looked {
        match place {
            Place::Elsewhere => return Looked::Elsewhere,
            Place::Ahead if self.safeguards.applies_before_fresh => match self.pending.back_mut() {
                // A node that is behind for long keeps one time for each head.
                Some((last, time)) if *last == head => {
                    if time.boot < as_of.boot {
                        *time = as_of;
                    }
                }
                _ => self.pending.push_back((head, as_of)),
            },
            Place::Ahead | Place::Applied => self.is_fresh(as_of),
        }
        Looked::Counts
    }

    fn is_fresh(&mut self, as_of: Reading) {
        if self.fresh_as_of.is_none_or(|before| before.boot < as_of.boot) {
            self.fresh_as_of = Some(as_of);
        }
    }

    /// A look found the presence marked or deleted, and the log's head at `head`: it counts only without the safeguard.
    #[cfg(test)]
    pub(crate) fn saw_unlisted(&mut self, head: Position, as_of: Reading, place: Place) {
        if !self.safeguards.counts_listed_looks_only {
            self.saw(head, as_of, place);
        }
    }

    /// A registration found the log's head at `head`: it counts only without the safeguard.
    #[cfg(test)]
    pub(crate) fn saw_while_registering(&mut self, head: Position, as_of: Reading, place: Place) {
        if !self.safeguards.looks_after_registration {
            self.saw(head, as_of, place);
        }
    }

    /// The replica has applied more. Returns `false` if a head that a look has seen lies elsewhere.
    pub(crate) fn applied(&mut self, place: impl Fn(&Position) -> Place) -> bool {
        while let Some((head, as_of)) = self.pending.front() {
            match place(head) {
                Place::Ahead => break,
                Place::Elsewhere => return false,
                Place::Applied => {
                    let as_of = *as_of;
                    self.is_fresh(as_of);
                }
            }
            self.pending.pop_front();
        }
        true
    }

    /// The time until which the node serves, by the boot-time clock; `None` if it is not fresh.
    pub(crate) fn serves_until(&self) -> Option<BootTime> {
        Some(self.fresh_as_of?.boot.after(self.bound.saturating_sub(MARGIN)))
    }

    /// The time as of which the replica is fresh, by the boot-time clock.
    pub(crate) fn fresh_as_of(&self) -> Option<BootTime> {
        self.fresh_as_of.map(|as_of| as_of.boot)
    }

    /// How long the gate stays open, now that everything that the node has applied is settled: until this time, while
    /// the wall clock is in this range. `None` closes it.
    ///
    /// The range begins with the wall clock at the look and not with that of now: if the clock that the deadline is
    /// compared with stood still since, the wall clock shows it.
    pub(crate) fn gate(&self, now: BootTime) -> Option<(BootTime, Range<i64>)> {
        let (as_of, until) = (self.fresh_as_of?, self.serves_until()?);
        let bound = i64::try_from(self.bound.as_millis()).unwrap_or(i64::MAX);
        let wall = if self.safeguards.gate_watches_the_wall_clock {
            as_of.wall.saturating_sub(CORRECTION_MS)..as_of.wall.saturating_add(bound)
        } else {
            i64::MIN..i64::MAX
        };
        if self.safeguards.gate_is_a_deadline {
            return Some((until, wall));
        }
        (now < until).then(|| (now.after(Duration::MAX), wall))
    }

    /// The node is fresh no more, whatever it has seen.
    pub(crate) fn is_stale(&mut self) {
        self.fresh_as_of = None;
        self.pending.clear();
    }

    /// The node leaves: it is fresh no more, and forgets its presence, which the caller deletes or registers again.
    pub(crate) fn leave(&mut self) -> Option<(Incarnation, Vec<u8>)> {
        if self.safeguards.closes_before_leaving {
            self.is_stale();
        }
        self.listed.take().map(|listed| (listed.incarnation, listed.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::boot_time::BootClock;

    const BOUND: Duration = Duration::from_secs(10);

    fn at(number: u64) -> Position {
        Position { number, digest: [1; 32] }
    }

    fn reading(seconds: u64, wall: i64) -> Reading {
        Reading { boot: BootClock::manual().0.now().after(Duration::from_secs(seconds)), wall }
    }

    fn look(next: u8, applied: u64) -> LookSent {
        LookSent { incarnation: Incarnation(7), next: vec![next], sent: reading(0, 5000), applied }
    }

    fn listed() -> Membership {
        let mut membership = Membership::new(BOUND, Safeguards::ALL);
        membership.registered(Incarnation(7), vec![0]);
        membership
    }

    #[test]
    fn the_gate_closes_by_the_clocks_at_the_look() {
        let mut membership = listed();
        assert_eq!(membership.gate(reading(0, 0).boot), None);
        let looked = membership.stood(look(1, 0), reading(1, 90_000), at(0), Place::Applied);
        assert_eq!(looked, Looked::Counts);
        let (until, wall) = membership.gate(reading(1, 0).boot).unwrap();
        assert_eq!((until, wall), (reading(0, 0).boot.after(BOUND - MARGIN), 4000..15_000));
    }

    #[test]
    fn after_looks_without_an_answer_the_cell_may_hold_what_any_of_them_wrote() {
        let mut membership = listed();
        for next in [1, 2, 3] {
            membership.unanswered(look(next, 0));
        }
        for held in [1, 2, 3] {
            assert_eq!(membership.not_listed(&look(9, 0)), Looked::Again);
            assert_eq!(membership.next_step(), NextStep::Look(Incarnation(7), vec![held]));
        }
        assert_eq!(membership.not_listed(&look(9, 0)), Looked::NotListed);
        assert_eq!(membership.next_step(), NextStep::Register);
    }

    #[test]
    fn a_former_presence_goes_once_all_that_waits_for_it_is_applied() {
        let mut membership = listed();
        assert_eq!(membership.not_listed(&look(9, 0)), Looked::NotListed);
        membership.registered(Incarnation(8), vec![0]);
        assert!(membership.take_former().is_empty(), "the node may serve by looks under it");
        let looked = |applied| LookSent { incarnation: Incarnation(8), ..look(1, applied) };
        membership.stood(looked(0), reading(1, 0), at(1), Place::Ahead);
        assert!(membership.take_former().is_empty(), "a change may wait for it alone");
        membership.stood(looked(1), reading(2, 0), at(1), Place::Applied);
        assert_eq!(membership.take_former(), [Incarnation(7)]);
        assert!(membership.take_former().is_empty());
    }

    #[test]
    fn a_look_that_renews_nothing_counts_and_leaves_the_presence_as_it_was() {
        let mut membership = listed();
        membership.unanswered(look(1, 0));
        let not_renewed = LookSent { next: vec![0], ..look(2, 0) };
        assert_eq!(membership.stood(not_renewed, reading(1, 0), at(0), Place::Applied), Looked::Counts);
        assert_eq!(membership.next_step(), NextStep::Look(Incarnation(7), vec![0]));
        assert!(membership.serves_until().is_some());
        // The look without an answer comes late.
        assert_eq!(membership.not_listed(&look(3, 0)), Looked::Again);
        assert_eq!(membership.next_step(), NextStep::Look(Incarnation(7), vec![1]));
    }

    #[test]
    fn a_log_that_ends_before_what_the_node_had_applied_is_another_one() {
        let looked = listed().stood(look(1, 5), reading(1, 0), at(4), Place::Applied);
        assert_eq!(looked, Looked::Elsewhere);
    }
}
