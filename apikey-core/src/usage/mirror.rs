//! Which rows a node of a cluster mirrors into the ledger, so that all nodes can add them up: those of owners, tenants and the
//! store, by hour, by day and of all time. A mirrored row has all that this node has counted, and a name that no other node
//! writes, so it can be sent again at any time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use crate::base::codec;
use crate::base::codec::frame::plain_frame;
use crate::key::error::StoreError;
use crate::storage::database::disk::{Bytes, Disk};
use crate::usage::chunk::Chunk;
use crate::usage::expire::rows_kept;
use crate::usage::row::{RowName, RowSpan, begin};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// The changes that a node remembers; of more it finds the rows on its disk.
const MAX_CHANGED: usize = 1 << 16;

/// Of one replica, beside its rows: under which name it mirrors them, and how far it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MirrorNote {
    /// Random. The ledger has the rows of each replica under another number; one that has lost its rows gets another one.
    pub(crate) replica: u64,
    /// The generation of the log, with which the ledger begins without rows.
    pub(crate) generation: u64,
    /// The ledger has the rows of all days before this one, counted from 1970; 0 if it may lack any.
    pub(crate) day: u32,
}

plain_frame!(MirrorNote, b'Z', "which rows of usage are mirrored");

/// The name of a replica's row in the ledger.
pub(crate) fn tally_name(row: RowName, replica: u64) -> Vec<u8> {
    [&row.bytes()[..], &replica.to_be_bytes()].concat()
}

/// The row and the replica in a name of the ledger.
pub(crate) fn read_tally_name(name: &[u8]) -> Option<(RowName, u64)> {
    let (row, replica) = name.split_last_chunk()?;
    Some((RowName::read(row)?, u64::from_be_bytes(*replica)))
}

/// The day of a minute, both counted from 1970.
pub(crate) fn day(minute: u32) -> u32 {
    minute / Step::Day.minutes()
}

/// What a replica has mirrored.
pub(crate) struct Counted {
    pub(crate) row: RowName,
    pub(crate) replica: u64,
    pub(crate) chunk: Chunk,
}

/// The row of all that a node has counted.
pub(crate) const ALL: RowName = RowName { span: RowSpan::Ever, number: 0, subject: UsageSubject::STORE };

/// Every use and refusal in a row.
pub(crate) fn total(row: Option<&[u8]>) -> u64 {
    let chunk: Option<Chunk> = row.and_then(|row| codec::decode(row).ok());
    chunk.iter().flat_map(|chunk| chunk.steps.values()).fold(0, |sum, counts| sum.saturating_add(counts.total()))
}

/// What was counted on this node, and may not be in the ledger: the day, and the subject.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    changed: BTreeSet<(u32, UsageSubject)>,
    /// The one that was taken last, so that each gets its turn.
    last: Option<(u32, UsageSubject)>,
    /// The day from which on the rows of the disk have to be sent.
    rescan: Option<u32>,
}

impl Unsent {
    pub(crate) fn note(&mut self, day: u32, subject: UsageSubject) {
        self.changed.insert((day, subject));
        if self.changed.len() > MAX_CHANGED
            && let Some((first, _)) = self.changed.first().copied()
        {
            self.changed.clear();
            self.scan_from(first);
        }
    }

    /// Has the rows of the disk sent from this day on.
    pub(crate) fn scan_from(&mut self, day: u32) {
        self.rescan = Some(self.rescan.map_or(day, |from| from.min(day)));
    }

    pub(crate) fn take_rescan(&mut self) -> Option<u32> {
        self.rescan.take()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.rescan.is_none()
    }

    /// Takes one, after the one that was taken last.
    pub(crate) fn take(&mut self) -> Option<(u32, UsageSubject)> {
        let after = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let next = self.changed.range((after, Bound::Unbounded)).next().or_else(|| self.changed.first()).copied()?;
        self.changed.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// Takes one back, which is the next one again.
    pub(crate) fn put_back(&mut self, day: u32, subject: UsageSubject) {
        self.note(day, subject);
        self.last = self.changed.range(..(day, subject)).next_back().copied();
    }

    /// Whether everything of earlier days than this one was taken.
    pub(crate) fn has_none_before(&self, day: u32) -> bool {
        self.rescan.is_none() && self.changed.first().is_none_or(|(first, _)| *first >= day)
    }
}

/// The rows of a subject that have a day: its hours, the day among others, and the sum of all time.
fn rows_of(day: u32, subject: UsageSubject) -> [RowName; 3] {
    let row = |span| RowName::of(span, day.saturating_mul(Step::Day.minutes()), subject).0;
    [row(RowSpan::Steps(Step::Hour)), row(RowSpan::Steps(Step::Day)), row(RowSpan::Ever)]
}

/// A pass over the rows of the disk.
#[derive(Debug, Clone)]
pub(crate) struct Scan {
    /// The name with which it goes on, and the one before which it ends.
    next: Vec<u8>,
    end: [u8; 5],
    /// Whether it comes to the rows of days and of all time by itself.
    is_whole: bool,
}

impl Scan {
    /// Of everything that has counts of this day or a later one, at the minute `now`.
    pub(crate) fn from(day: u32, now: u32) -> Self {
        let first = *rows_kept(Step::Hour, now).start();
        // What was counted on days whose hours are gone is in the rows of days.
        let is_whole = day < first;
        let end = if is_whole { begin(RowSpan::Ever, 1) } else { begin(RowSpan::Steps(Step::Day), 0) };
        Self { next: begin(RowSpan::Steps(Step::Hour), day.max(first)).to_vec(), end, is_whole }
    }
}

/// Rows for one call to the ledger.
#[derive(Debug)]
pub(crate) struct Batch {
    rows: BTreeMap<RowName, Bytes>,
    bytes: usize,
    max: usize,
    max_bytes: usize,
}

/// The rows that one batch deletes.
const MANY: usize = 1024;
/// More bytes than a row of all time has.
const LONGEST: usize = 4096;
/// The bytes of a row's name in the ledger.
const NAME: usize = 30;

impl Batch {
    /// Of so many rows and bytes, with room for one more row.
    pub(crate) fn new(max: usize, max_bytes: usize) -> Self {
        Self { rows: BTreeMap::new(), bytes: 0, max: max.saturating_sub(1), max_bytes: max_bytes - LONGEST }
    }

    /// Adds the row of [`ALL`], last: whoever finds a replica at an earlier state than one of these rows sees it by this one.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn finish(&mut self, disk: &Disk) -> Result<(), StoreError> {
        let all = disk.usage_row(&ALL.bytes())?;
        self.rows.extend(all.filter(|all| all.len() < LONGEST).map(|all| (ALL, all)));
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The rows, by their names in the ledger.
    pub(crate) fn by_name(&self, replica: u64) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + '_ {
        self.rows.iter().map(move |(name, row)| (tally_name(*name, replica), row.to_vec()))
    }

    /// Adds the rows of a subject that have a day. Returns `false`, and adds none, if they do not fit.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn add(&mut self, disk: &Disk, day: u32, subject: UsageSubject) -> Result<bool, StoreError> {
        let mut rows = Vec::with_capacity(3);
        for name in rows_of(day, subject) {
            if let Some(row) = disk.usage_row(&name.bytes())? {
                rows.push((name, row));
            }
        }
        Ok(self.add_rows(rows))
    }

    /// Adds the next rows of a scan, as many as fit. At its end there is none any more.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn add_scanned(&mut self, disk: &Disk, scan: &mut Option<Scan>) -> Result<(), StoreError> {
        let Some(at) = scan else { return Ok(()) };
        while let Some((name, row)) = next_sum(disk, &at.next, &at.end)? {
            let fits = match name.span {
                RowSpan::Steps(Step::Hour) if !at.is_whole => self.add(disk, name.number, name.subject)?,
                _ => self.add_rows(vec![(name, row)]),
            };
            if !fits {
                at.next = name.bytes().to_vec();
                return Ok(());
            }
            at.next = [&name.bytes()[..], &[0]].concat();
        }
        *scan = None;
        Ok(())
    }

    fn add_rows(&mut self, mut rows: Vec<(RowName, Bytes)>) -> bool {
        // A row that is damaged begins anew.
        rows.retain(|(_, row)| codec::decode::<Chunk>(row).is_ok());
        let new = rows.iter().filter(|(name, _)| !self.rows.contains_key(name)).count();
        let bytes: usize = rows.iter().map(|(_, row)| NAME + row.len()).sum();
        if self.rows.len() + new > self.max || self.bytes + bytes > self.max_bytes {
            return false;
        }
        self.bytes += bytes;
        self.rows.extend(rows);
        true
    }
}

/// The first row from one name on, and before another, that is of no key.
fn next_sum(disk: &Disk, from: &[u8], to: &[u8]) -> Result<Option<(RowName, Bytes)>, StoreError> {
    let mut from = from.to_vec();
    loop {
        let Some((name, row)) = disk.usage_rows(&from, to).next().transpose()? else { return Ok(None) };
        match RowName::read(&name) {
            Some(name) if name.subject.as_key().is_none() => return Ok(Some((name, row))),
            // Keys come before all others of their time.
            Some(name) => from = [&begin(name.span, name.number)[..], &UsageSubject::AFTER_KEYS].concat(),
            None => from = [&name[..], &[0]].concat(),
        }
    }
}

/// Deletes the rows of owners, tenants and the store.
///
/// # Errors
/// The disk fails. Some rows are left then, and that of [`ALL`] is the last one to go.
pub(crate) fn delete_sums(disk: &Disk) -> Result<(), StoreError> {
    let end = begin(RowSpan::Ever, 1);
    let mut from = begin(RowSpan::Steps(Step::Minute), 0).to_vec();
    loop {
        let mut names = Vec::new();
        while names.len() < MANY
            && let Some((name, _)) = next_sum(disk, &from, &end)?
        {
            from = [&name.bytes()[..], &[0]].concat();
            names.push(name);
        }
        let is_end = names.len() < MANY;
        disk.delete_usage_rows(names.into_iter().filter(|name| *name != ALL).map(RowName::bytes))?;
        if is_end {
            return disk.delete_usage_rows([ALL.bytes()].into_iter());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{encode, golden};
    use crate::storage::database::usage_tree::UsageWrites;
    use crate::storage::local::Local;
    use crate::usage::chunk::Counts;

    const OWNER: fn(u128) -> UsageSubject = |id| {
        let mut bytes = [b'o'; UsageSubject::BYTES];
        *bytes.last_chunk_mut().unwrap() = id.to_be_bytes();
        UsageSubject::read(&bytes).unwrap()
    };

    #[test]
    fn the_stored_bytes_stay() {
        let note = MirrorNote { replica: 0x0102_0304_0506_0708, generation: 3, day: 20_000 };
        let frame = encode(&note).unwrap();
        assert_eq!(codec::decode::<MirrorNote>(&frame).unwrap(), note);
        golden::check("usage-mirrored.bin", &frame);
        let row = RowName { span: RowSpan::Steps(Step::Hour), number: 20_000, subject: OWNER(7) };
        let name = tally_name(row, note.replica);
        assert_eq!((name.len(), read_tally_name(&name)), (NAME, Some((row, note.replica))));
        assert_eq!(read_tally_name(&name[1..]), None);
    }

    #[test]
    fn each_change_gets_its_turn() {
        let mut unsent = Unsent::default();
        (1..=3).for_each(|id| unsent.note(5, OWNER(id)));
        assert_eq!(unsent.take(), Some((5, OWNER(1))));
        unsent.note(5, OWNER(1));
        assert_eq!(unsent.take(), Some((5, OWNER(2))));
        unsent.put_back(5, OWNER(2));
        let rest: Vec<_> = std::iter::from_fn(|| unsent.take()).map(|(_, subject)| subject).collect();
        assert_eq!(rest, [OWNER(2), OWNER(3), OWNER(1)]);
        assert!(unsent.is_empty() && unsent.has_none_before(u32::MAX));
    }

    #[test]
    fn of_more_changes_than_it_remembers_the_rows_are_found_on_the_disk() {
        let mut unsent = Unsent::default();
        let many = u128::try_from(MAX_CHANGED).unwrap();
        (0..many).for_each(|id| unsent.note(6, OWNER(id)));
        assert!(unsent.has_none_before(6) && !unsent.has_none_before(7));
        unsent.note(5, OWNER(many));
        assert!(!unsent.has_none_before(5));
        unsent.scan_from(9);
        assert_eq!((unsent.take_rescan(), unsent.take()), (Some(5), None));
    }

    /// A database with rows of these subjects on these days, each with as many uses as the day has.
    fn database(days: &[u32], subjects: &[UsageSubject]) -> Disk {
        let disk = Local::temporary().unwrap().0.disk;
        let mut writes = UsageWrites::default();
        for day in days {
            for subject in subjects {
                for name in rows_of(*day, *subject) {
                    let chunk = Chunk { steps: [(0, Counts::of_uses((*day).into()))].into() };
                    writes.put(&name.bytes(), encode(&chunk).unwrap(), 0);
                }
            }
        }
        disk.write_usage(writes).unwrap();
        disk
    }

    /// The rows of each call of a scan, without that of all.
    fn scan(disk: &Disk, day: u32, now: u32, most: usize) -> Vec<Vec<RowName>> {
        let (mut scan, mut calls) = (Some(Scan::from(day, now * Step::Day.minutes())), Vec::new());
        while scan.is_some() {
            let mut batch = Batch::new(most, 1 << 20);
            batch.add_scanned(disk, &mut scan).unwrap();
            calls.push(batch.rows.into_keys().collect());
        }
        calls
    }

    #[test]
    fn a_scan_finds_every_row_but_those_of_keys() {
        let keys: Vec<_> = (0..50).map(UsageSubject::key).collect();
        let sums = [OWNER(1), OWNER(u128::MAX), UsageSubject::tenant("acme"), UsageSubject::STORE];
        let disk = database(&[100, 109, 110], &[&keys[..], &sums].concat());
        let spans = |calls: &[Vec<RowName>], span| -> Vec<u32> {
            let rows = calls.iter().flatten().filter(|row| row.span == span && row.subject == OWNER(1));
            rows.map(|row| row.number).collect()
        };
        let all = |calls: &[Vec<RowName>]| {
            let mut rows = calls.concat();
            assert!(rows.iter().all(|row| row.subject.as_key().is_none()));
            rows.sort_unstable();
            rows.dedup();
            rows.len()
        };
        let (hours, days) = (RowSpan::Steps(Step::Hour), RowSpan::Steps(Step::Day));
        // Since a day of which there are hours: those, and the rows of days and of all time of the same subjects.
        let calls = scan(&disk, 109, 110, 120);
        assert_eq!((calls.len(), all(&calls), spans(&calls, hours)), (1, 4 * 4, vec![109, 110]));
        // Everything, since there is more than hours tell.
        let calls = scan(&disk, 0, 110, 120);
        assert_eq!((all(&calls), spans(&calls, hours), spans(&calls, days)), (4 * 5, vec![100, 109, 110], vec![3]));
        // The same in small calls.
        for most in [4, 5, 7] {
            let calls = scan(&disk, 109, 110, most);
            assert!(calls.len() > 1 && calls.iter().all(|rows| rows.len() < most), "{calls:?}");
            assert_eq!(all(&calls), 4 * 4);
            assert_eq!(all(&scan(&disk, 0, 110, most)), 4 * 5);
        }
        // Hours that are older than the store keeps them are not sent.
        assert_eq!(spans(&scan(&disk, 0, 120, 120), hours), [109, 110]);
        let mut batch = Batch::new(120, 1 << 20);
        assert!(batch.add(&disk, 110, OWNER(9)).unwrap() && batch.is_empty());
        batch.finish(&disk).unwrap();
        assert_eq!(batch.by_name(7).map(|(name, _)| name).collect::<Vec<_>>(), [tally_name(ALL, 7)]);
        delete_sums(&disk).unwrap();
        assert_eq!(scan(&disk, 0, 110, 120).concat(), []);
        assert!(disk.usage_row(&rows_of(110, keys[0])[0].bytes()).unwrap().is_some());
    }
}
