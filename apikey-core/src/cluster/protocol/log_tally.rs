//! How old the entries of the log are, and how many bytes they have: what the janitor trims by.

use std::collections::VecDeque;

/// How long the log keeps an entry, in milliseconds: a node that was away for less reads on where it was.
const MAX_AGE_MS: i64 = 24 * 3_600_000;
/// How many bytes of entries the log keeps.
const MAX_BYTES: u64 = 256 << 20;
/// Entries are counted together up to so many bytes, and over so many milliseconds.
const GROUP: (u64, i64) = (1 << 20, 60_000);

/// The entries of a log from its floor on, in groups.
#[derive(Debug)]
pub(crate) struct LogTally {
    groups: VecDeque<Group>,
    /// The last event of the entries that are counted.
    through: u64,
    bytes: u64,
}

/// Entries that follow each other.
#[derive(Debug)]
struct Group {
    /// Their last event.
    through: u64,
    /// The time of the first event and of the newest.
    first: i64,
    newest: i64,
    bytes: u64,
}

impl LogTally {
    /// Nothing of a log that begins after this event.
    pub(crate) fn of(floor: u64) -> Self {
        Self { groups: VecDeque::new(), through: floor, bytes: 0 }
    }

    /// The last event of the entries that are counted.
    pub(crate) fn through(&self) -> u64 {
        self.through
    }

    /// Counts the entry that follows.
    pub(crate) fn add(&mut self, through: u64, at: i64, bytes: usize) {
        let bytes = bytes as u64;
        self.through = through;
        self.bytes += bytes;
        match self.groups.back_mut() {
            Some(group) if group.bytes + bytes <= GROUP.0 && at.saturating_sub(group.first) <= GROUP.1 => {
                group.through = through;
                group.newest = group.newest.max(at);
                group.bytes += bytes;
            }
            _ => self.groups.push_back(Group { through, first: at, newest: at, bytes }),
        }
    }

    /// The last event of the entries that are too old or too many; `None` if there are none.
    pub(crate) fn due(&self, now: i64) -> Option<u64> {
        let (mut left, mut due) = (self.bytes, None);
        for group in &self.groups {
            if left <= MAX_BYTES && group.newest >= now.saturating_sub(MAX_AGE_MS) {
                break;
            }
            left -= group.bytes;
            due = Some(group.through);
        }
        due
    }

    /// The log has been trimmed up to this event.
    pub(crate) fn trimmed(&mut self, through: u64) {
        while let Some(group) = self.groups.front().filter(|group| group.through <= through) {
            self.bytes -= group.bytes;
            self.groups.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn what_is_older_than_a_day_goes_and_the_rest_stays() {
        let mut tally = LogTally::of(10);
        assert_eq!((tally.due(i64::MAX), tally.through()), (None, 10));
        for hour in 0..30_u8 {
            tally.add(11 + u64::from(hour), i64::from(hour) * HOUR, 100);
        }
        for (now, due) in [(0, None), (24 * HOUR, None), (24 * HOUR + 1, Some(11)), (30 * HOUR, Some(16))] {
            assert_eq!(tally.due(now), due, "{now}");
        }
        tally.trimmed(16);
        assert_eq!((tally.due(30 * HOUR), tally.due(31 * HOUR)), (None, Some(17)));
    }

    #[test]
    fn no_more_than_its_bytes_stay() {
        let mut tally = LogTally::of(0);
        let entry = 600 << 10;
        let fits = u32::try_from(MAX_BYTES / entry).unwrap();
        for number in 1..=u64::from(fits) {
            tally.add(number, 0, usize::try_from(entry).unwrap());
        }
        assert_eq!(tally.due(0), None);
        tally.add(u64::from(fits) + 1, 0, usize::try_from(entry).unwrap());
        assert_eq!(tally.due(0), Some(1));
        tally.trimmed(1);
        assert_eq!(tally.due(0), None);
    }

    #[test]
    fn small_entries_are_counted_together() {
        let mut tally = LogTally::of(0);
        for number in 1..=100_000 {
            tally.add(number, i64::try_from(number).unwrap(), 1000);
        }
        assert!(tally.groups.len() <= 100, "{}", tally.groups.len());
        assert_eq!(tally.due(25 * HOUR), Some(100_000));
        tally.trimmed(100_000);
        assert_eq!((tally.bytes, tally.groups.len(), tally.through()), (0, 0, 100_000));
    }
}
