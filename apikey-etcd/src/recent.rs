//! The newest entries of a log, as a watch has brought them: whoever follows the log reads each of them once, without a call.
//!
//! A read for another purpose must not find them: after a restored snapshot the log has others in their place, and a watch whose
//! connection is lost without a word does not say so. So an entry is here only as long as the node has not applied it.

use std::collections::VecDeque;

use apikey_core::cluster::Logged;

/// The most entries, and the most bytes in them.
const MAX: (usize, usize) = (64, 1 << 20);

/// Entries that follow each other without a gap, the newest last.
#[derive(Default)]
pub(crate) struct Recent {
    entries: VecDeque<Logged>,
    bytes: usize,
}

impl Recent {
    /// Adds the next entry; `None` is one that the watch does not bring whole.
    pub(crate) fn add(&mut self, entry: Option<Logged>) {
        let follows = |entry: &Logged| {
            self.entries.back().is_none_or(|last| last.last.number.checked_add(1) == Some(entry.first))
        };
        if !entry.as_ref().is_some_and(follows) {
            self.clear();
        }
        let Some(entry) = entry else { return };
        self.bytes += entry.bytes.len();
        self.entries.push_back(entry);
        while self.entries.len() > MAX.0 || self.bytes > MAX.1 {
            let Some(oldest) = self.entries.pop_front() else { return };
            self.bytes -= oldest.bytes.len();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Removes what ends at or before the event `after`.
    pub(crate) fn remove_through(&mut self, after: u64) {
        while self.entries.front().is_some_and(|oldest| oldest.last.number <= after) {
            self.bytes -= self.entries.pop_front().map_or(0, |oldest| oldest.bytes.len());
        }
    }

    /// Takes the entries that follow the event `after`: as many as [`Ledger::read`](apikey_core::cluster::Ledger::read) returns.
    /// None, if the first of them is not here.
    pub(crate) fn take(&mut self, after: u64, max_bytes: usize) -> Vec<Logged> {
        let taken = self.read(after, max_bytes);
        if let Some(last) = taken.last() {
            self.remove_through(last.last.number);
        }
        taken
    }

    fn read(&self, after: u64, max_bytes: usize) -> Vec<Logged> {
        let has_next = |entry: &Logged| entry.first <= after.saturating_add(1) && after < entry.last.number;
        let Some(begin) = self.entries.iter().position(has_next) else { return Vec::new() };
        let mut bytes = 0;
        let fits = |entry: &&Logged| {
            let is_first = bytes == 0;
            bytes += entry.bytes.len().max(1);
            is_first || bytes <= max_bytes
        };
        self.entries.range(begin..).take_while(fits).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use apikey_core::cluster::Position;

    use super::*;

    fn entry(first: u64, last: u64, bytes: usize) -> Logged {
        Logged { first, last: Position { number: last, digest: [7; 32] }, op: [0; 16], bytes: vec![1; bytes] }
    }

    fn firsts(recent: &Recent, after: u64, max_bytes: usize) -> Vec<u64> {
        recent.read(after, max_bytes).iter().map(|entry| entry.first).collect()
    }

    #[test]
    fn reads_what_follows_without_a_gap() {
        let mut recent = Recent::default();
        for (first, last) in [(4, 4), (5, 7), (8, 8)] {
            recent.add(Some(entry(first, last, 10)));
        }
        assert_eq!(firsts(&recent, 3, 100), [4, 5, 8]);
        assert_eq!(firsts(&recent, 5, 100), [5, 8], "the event lies inside of an entry");
        assert_eq!(firsts(&recent, 3, 20), [4, 5]);
        assert_eq!(firsts(&recent, 3, 0), [4], "at least one");
        assert_eq!(firsts(&recent, 8, 100), [0; 0], "nothing is known of what follows the newest");
        assert_eq!(firsts(&recent, 2, 100), [0; 0], "event 3 is not here");
        assert_eq!(firsts(&recent, u64::MAX - 1, 100), [0; 0]);
    }

    #[test]
    fn an_entry_is_read_once_and_not_after_its_event_was_applied() {
        let mut recent = Recent::default();
        for number in 1..=5 {
            recent.add(Some(entry(number, number, 10)));
        }
        assert_eq!(recent.take(0, 20).len(), 2);
        assert_eq!(recent.take(0, 20), [], "another reader asks the log");
        recent.remove_through(3);
        assert_eq!(firsts(&recent, 2, 100), [0; 0]);
        assert_eq!(firsts(&recent, 3, 100), [4, 5]);
        assert_eq!(recent.bytes, 20);
        recent.add(Some(entry(6, 6, 10)));
        assert_eq!(recent.take(3, 100).len(), 3);
        assert_eq!((recent.entries.len(), recent.bytes), (0, 0));
    }

    #[test]
    fn a_gap_ends_what_came_before() {
        let mut recent = Recent::default();
        recent.add(Some(entry(1, 1, 10)));
        recent.add(Some(entry(3, 3, 10)));
        assert_eq!((firsts(&recent, 0, 100), firsts(&recent, 2, 100)), (vec![], vec![3]));
        recent.add(None);
        assert_eq!(firsts(&recent, 2, 100), [0; 0], "an entry in chunks");
        // The engine went back, and has another entry in its place.
        recent.add(Some(entry(9, 9, 10)));
        recent.add(Some(entry(9, 9, 20)));
        assert_eq!(recent.read(8, 100), [entry(9, 9, 20)]);
    }

    #[test]
    fn it_has_a_bound() {
        let mut recent = Recent::default();
        for number in 1..=200 {
            recent.add(Some(entry(number, number, 10)));
        }
        assert_eq!(firsts(&recent, 136, usize::MAX).len(), MAX.0);
        assert_eq!(firsts(&recent, 135, usize::MAX), [0; 0]);
        for number in 201..=210 {
            recent.add(Some(entry(number, number, MAX.1 / 4)));
        }
        assert_eq!((recent.entries.len(), recent.bytes), (4, MAX.1));
        recent.add(Some(entry(211, 211, MAX.1 + 1)));
        assert_eq!((recent.entries.len(), recent.bytes), (0, 0));
    }
}
