//! A table of lines: open addressing, linear probing, and no tombstones.
//!
//! The entries of a cluster are in the order of their home slots (Robin Hood hashing), so a search that fails ends as
//! early as one that succeeds: at the first entry that belongs after it.
#![allow(clippy::indexing_slicing, reason = "slots are below the length by construction")]

use crate::index::atomic::{AtomicU64, Ordering, fence};

use crate::token::digest::{Digest, DigestPrefix};

use crate::access::control_word::{DEAD, OCCUPIED};
use crate::index::hints;
use crate::index::home::HOME_BITS;
use crate::index::line::{Entry, Line, LineState};

const SMALLEST: usize = 64;

pub(super) struct Table {
    lines: Box<[Line]>,
    /// How often an entry has moved to another line.
    moves: AtomicU64,
}

/// A live line, and its state at the time of the match.
pub(super) struct LiveLine<'t> {
    pub(super) line: &'t Line,
    pub(super) state: LineState,
}

impl Table {
    /// Creates a table with room for `keys` entries and some more.
    pub(super) fn for_keys(keys: usize) -> Self {
        Self::with_lines((keys.saturating_mul(3) / 2).max(SMALLEST))
    }

    pub(super) fn with_lines(lines: usize) -> Self {
        let mut room = Vec::with_capacity(lines);
        hints::large_pages(room.spare_capacity_mut());
        room.resize_with(lines, Line::default);
        Self { lines: room.into_boxed_slice(), moves: AtomicU64::default() }
    }

    /// The number of lines that may be filled: three quarters. Above that, clusters grow long.
    pub(super) fn room(&self) -> usize {
        self.lines.len() / 4 * 3
    }

    #[inline]
    fn home_slot(&self, home: u32) -> usize {
        // Lemire's reduction: no division, any length.
        ((u64::from(home) * self.lines.len() as u64) >> HOME_BITS) as usize
    }

    #[inline]
    fn next(&self, slot: usize) -> usize {
        if slot + 1 == self.lines.len() { 0 } else { slot + 1 }
    }

    #[inline]
    fn previous(&self, slot: usize) -> usize {
        if slot == 0 { self.lines.len() - 1 } else { slot - 1 }
    }

    /// Starts to fetch the lines where the search begins, while the caller computes the digest.
    #[inline]
    pub(super) fn prefetch(&self, home: u32) {
        let slot = self.home_slot(home);
        self.lines[slot].prefetch();
        self.lines[self.next(slot)].prefetch();
    }

    /// The live line with this digest.
    #[inline(never)]
    pub(super) fn find(&self, home: u32, digest: &Digest) -> Option<LiveLine<'_>> {
        self.search(home, |line| line.holds(digest))
    }

    /// The live line of a secret that was verified before.
    pub(super) fn find_again(&self, home: u32, prefix: &DigestPrefix) -> Option<LiveLine<'_>> {
        self.search(home, |line| line.begins_with(prefix))
    }

    /// Searches for a line. It is inlined into a verification: a call would add a twentieth.
    #[inline(always)]
    pub(super) fn search(&self, home: u32, is_it: impl Fn(&Line) -> bool) -> Option<LiveLine<'_>> {
        // A search restarts only if a writer has changed these lines, and never waits for one.
        'anew: loop {
            let moves = self.moves.load(Ordering::Acquire);
            let (mut slot, mut steps) = (self.home_slot(home), 0);
            // A quarter of the lines is empty, so this ends.
            loop {
                let line = &self.lines[slot];
                let control = line.control();
                let over = if control & OCCUPIED == 0 {
                    true
                } else if control & DEAD == 0 {
                    let its = line.usage().home();
                    // Two lines can have the same digest: that of an own secret, and that of an imported key.
                    if its == home && is_it(line) {
                        let Some((state, usage)) = line.state(control) else { continue 'anew };
                        if usage.home() == home {
                            return Some(LiveLine { line, state });
                        }
                    }
                    self.distance(self.home_slot(its), slot) < steps
                } else {
                    false
                };
                if over {
                    // The entry may have moved meanwhile, past this search.
                    fence(Ordering::Acquire);
                    if self.moves.load(Ordering::Relaxed) == moves {
                        return None;
                    }
                    continue 'anew;
                }
                slot = self.next(slot);
                steps += 1;
            }
        }
    }

    /// The slot of the live line with this digest; for the writer alone.
    pub(super) fn slot_of(&self, home: u32, digest: &Digest) -> Option<usize> {
        let mut slot = self.home_slot(home);
        loop {
            let line = &self.lines[slot];
            let control = line.control();
            if control & OCCUPIED == 0 {
                return None;
            }
            if control & DEAD == 0 && line.holds(digest) && line.usage().home() == home {
                return Some(slot);
            }
            slot = self.next(slot);
        }
    }

    /// Inserts an entry after those of its cluster that have the same home slot or an earlier one, and moves later
    /// entries on by one line. The caller has checked that there is room.
    pub(super) fn insert(&self, entry: &Entry) {
        let (mut slot, mut steps) = (self.home_slot(entry.usage.home()), 0);
        loop {
            let line = &self.lines[slot];
            let is_behind = || self.distance(self.home_slot(line.usage().home()), slot) < steps;
            if line.control() & OCCUPIED == 0 || (line.is_live() && is_behind()) {
                break;
            }
            slot = self.next(slot);
            steps += 1;
        }
        let mut gap = slot;
        while self.lines[gap].is_live() {
            gap = self.next(gap);
        }
        while gap != slot {
            let at = self.previous(gap);
            let line = &self.lines[at];
            if let Some(entry) = line.entry() {
                self.move_entry(&entry, line, gap);
            }
            gap = at;
        }
        self.lines[slot].fill(entry);
    }

    /// Moves an entry, which is in its new line before it leaves the old one. A reader that reads the new line too
    /// early and the old one too late finds neither; `moves`, which is counted in between, makes it restart.
    fn move_entry(&self, entry: &Entry, from: &Line, to: usize) {
        self.lines[to].fill(entry);
        self.moves.fetch_add(1, Ordering::AcqRel);
        from.remove();
        self.lines[to].catch_up(entry.usage, from.usage());
    }

    /// Ends the secret in this line, and closes the gap by moving the later entries up, so that removed keys leave no
    /// tombstones.
    pub(super) fn remove(&self, slot: usize) {
        let mut gap = slot;
        self.lines[gap].remove();
        let mut at = gap;
        loop {
            at = self.next(at);
            let line = &self.lines[at];
            if line.control() & OCCUPIED == 0 {
                break;
            }
            let Some(entry) = line.entry() else { continue };
            // An entry whose search begins after the gap stays, and so do all later ones, since they are in order.
            let home_slot = self.home_slot(entry.usage.home());
            if self.distance(home_slot, at) < self.distance(gap, at) {
                break;
            }
            self.move_entry(&entry, line, gap);
            gap = at;
        }
        self.lines[gap].clear();
    }

    /// The number of steps from one line to another, wrapping at the end.
    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.lines.len() - from }
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Whether every entry is reachable, and in the order on which searches rely; for tests.
    #[cfg(test)]
    pub(super) fn is_in_order(&self) -> bool {
        let steps = |slot: usize| {
            let entry = self.lines[slot].entry()?;
            Some(self.distance(self.home_slot(entry.usage.home()), slot))
        };
        let follows = |slot| steps(slot).is_none_or(|own| own <= steps(self.previous(slot)).map_or(0, |last| last + 1));
        (0..self.lines.len()).all(follows)
    }

    /// A table of twice the size with the same entries.
    pub(super) fn larger(&self) -> Self {
        let larger = Self::with_lines(self.lines.len().saturating_mul(2));
        self.lines.iter().filter_map(Line::entry).for_each(|entry| larger.insert(&entry));
        larger
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::access::control_word::REVOKED;
    use crate::index::line::Usage;

    const HOME: u32 = 7;
    /// A home in the last of 64 lines, before the first.
    const LAST: u32 = 63 << 25;

    /// An entry that belongs where all others do.
    fn entry(number: u8) -> Entry {
        let state = LineState { control: 0, identity: number.into(), grants: 0, version: 1, side: 0 };
        Entry { digest: [number; 32], state, usage: Usage::new(HOME, 0) }
    }

    fn table(numbers: &[u8]) -> Table {
        let table = Table::for_keys(0);
        numbers.iter().for_each(|number| table.insert(&entry(*number)));
        table
    }

    /// The identity found for a number, while `meanwhile` happens when the reader has read its second line.
    fn found(table: &Table, number: u8, meanwhile: impl Fn()) -> Option<u32> {
        let reads = Cell::new(0);
        let found = table.search(HOME, |line| {
            let holds = line.holds(&[number; 32]);
            reads.set(reads.get() + 1);
            if reads.get() == 2 {
                meanwhile();
            }
            holds
        });
        found.map(|live| live.state.identity)
    }

    #[test]
    fn an_entry_that_moves_past_a_reader_is_found() {
        let table = table(&[1, 2, 3]);
        let first = table.slot_of(HOME, &[1; 32]).unwrap();
        assert_eq!(found(&table, 3, || table.remove(first)), Some(3));
        assert_eq!(found(&table, 1, || ()), None);
        assert_eq!(table.slot_of(HOME, &[3; 32]), Some(first + 1));
    }

    #[test]
    fn an_entry_that_moves_on_is_found() {
        let table = table(&[1, 2]);
        // They belong before the others, so all of those move on.
        let before = |number| Entry { usage: Usage::new(LAST, 0), ..entry(number) };
        let crowd = || (20..23).for_each(|number| table.insert(&before(number)));
        assert_eq!(found(&table, 2, crowd), Some(2));
        assert!(table.slot_of(HOME, &[2; 32]).is_some() && table.slot_of(HOME, &[1; 32]).is_some());
        assert!((20..23).all(|number| table.slot_of(LAST, &[number; 32]).is_some()));
        assert!(table.is_in_order());
    }

    #[test]
    fn nobody_is_taken_for_who_comes_after() {
        let table = table(&[1, 2]);
        let second = table.slot_of(HOME, &[2; 32]).unwrap();
        let reads = Cell::new(0);
        // The digest has matched; before the reader takes the rest, the line is another key's.
        let found = table.search(HOME, |line| {
            let holds = line.holds(&[2; 32]);
            if holds && reads.replace(1) == 0 {
                table.remove(second);
                table.insert(&entry(9));
            }
            holds
        });
        assert_eq!(reads.get(), 1);
        assert!(found.is_none());
        assert_eq!(self::found(&table, 9, || ()), Some(9));
    }

    #[test]
    fn an_update_in_between_is_not_seen_in_half() {
        let table = table(&[1]);
        let once = Cell::new(false);
        let found = table.search(HOME, |line| {
            if !once.replace(true) {
                line.update(LineState { control: REVOKED, grants: 5, ..entry(1).state });
            }
            line.holds(&[1; 32])
        });
        let state = found.unwrap().state;
        assert_eq!((state.grants, state.control & REVOKED != 0), (5, true));
    }
}
