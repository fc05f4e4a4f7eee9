//! Adds counts to the rows on the disk.

use std::collections::{BTreeMap, HashMap};

use crate::access::identity::owner_of;
use crate::access::owner::OwnerRef;
use crate::base::codec;
use crate::index::counts::pending::{KeyCount, MinuteCounts, Pending};
use crate::key::error::StoreError;
use crate::storage::database::disk::Disk;
use crate::storage::database::usage_tree::UsageWrites;
use crate::usage::chunk::{Chunk, Counts};
use crate::usage::code;
use crate::usage::row::{RowName, RowSpan};
use crate::usage::step::Step;
use crate::usage::subject::UsageSubject;

/// The keys that have minutes, of those in one write.
const BUSIEST: usize = 1000;
/// The rows that one write to the database has.
const ROWS: usize = 1024;

/// Adds counts to the rows of their keys, part after part, and at the end to those of owners, tenants and the store.
pub(crate) struct UsageWriter<'d> {
    rows: Rows<'d>,
    minutes: BTreeMap<u32, Minute>,
}

/// What is known of a minute of which parts are written.
#[derive(Default)]
struct Minute {
    busiest: Busiest,
    sums: Sums,
}

impl<'d> UsageWriter<'d> {
    pub(crate) fn new(disk: &'d Disk, pending: &Pending) -> Self {
        let minute = |counts: &MinuteCounts| Minute { busiest: Busiest::of(&counts.uses), sums: Sums::default() };
        let minutes = pending.minutes.iter().map(|(at, counts)| (*at, minute(counts))).collect();
        Self { rows: Rows { disk, writes: UsageWrites::default(), unsettled: 0 }, minutes }
    }

    /// Writes a part of what was counted in a minute. The caller then calls [`throttle`](Self::throttle).
    ///
    /// # Errors
    /// The disk fails. Some rows may have their counts then, and others not.
    pub(crate) fn add(&mut self, minute: u32, counts: MinuteCounts) -> Result<(), StoreError> {
        let MinuteCounts { uses, other_uses, refusals, other_refusals } = counts;
        let Minute { busiest, sums } = self.minutes.entry(minute).or_default();
        sums.store.uses += other_uses;
        other_refusals.into_iter().for_each(|(code, count)| sums.store.refuse(code::number(code), count));
        for (key, KeyCount { identity, count }) in uses {
            let counts = Counts::of_uses(count);
            sums.add(identity, &counts);
            self.rows.add(minute, UsageSubject::key(key), &counts, busiest.has(count))?;
        }
        // A key that was used, too, is read again: refusals are few.
        self.rows.flush()?;
        let mut refused: BTreeMap<u128, (u32, Counts)> = BTreeMap::new();
        for ((key, code), KeyCount { identity, count }) in refusals {
            refused.entry(key).or_insert_with(|| (identity, Counts::default())).1.refuse(code::number(code), count);
        }
        for (key, (identity, counts)) in refused {
            sums.add(identity, &counts);
            self.rows.add(minute, UsageSubject::key(key), &counts, false)?;
        }
        self.rows.flush()
    }

    /// Keeps the disk from falling far behind what was written. It may wait for a sync.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn throttle(&mut self) -> Result<(), StoreError> {
        self.rows.disk.throttle_usage(std::mem::take(&mut self.rows.unsettled))
    }

    /// Writes the sums, and passes the minute and the subject of each to `note`.
    ///
    /// # Errors
    /// The disk fails.
    pub(crate) fn finish(mut self, mut note: impl FnMut(u32, UsageSubject)) -> Result<(), StoreError> {
        for (minute, Minute { sums, .. }) in self.minutes {
            let sums: Vec<_> = sums.into_all().collect();
            let added = sums.iter().try_for_each(|(subject, counts)| self.rows.add(minute, *subject, counts, true));
            // The next minute adds to the same rows.
            let written = added.and_then(|()| self.rows.flush());
            // Also of those that were written before an error.
            sums.iter().for_each(|(subject, _)| note(minute, *subject));
            written?;
            self.rows.disk.throttle_usage(std::mem::take(&mut self.rows.unsettled))?;
        }
        Ok(())
    }
}

/// The busiest keys: those that were used more often than `least`, and some that were used as often.
#[derive(Default)]
struct Busiest {
    least: u64,
    /// How many more of those that were used as often as `least` there is room for.
    room: usize,
}

impl Busiest {
    fn of(uses: &BTreeMap<u128, KeyCount>) -> Self {
        let mut counts: Vec<u64> = uses.values().map(|uses| uses.count).collect();
        if counts.len() <= BUSIEST {
            return Self { least: 0, room: 0 };
        }
        let (above, least, _) = counts.select_nth_unstable_by(BUSIEST - 1, |one, other| other.cmp(one));
        let above = above.iter().filter(|count| *count > least).count();
        Self { least: *least, room: BUSIEST - above }
    }

    fn has(&mut self, count: u64) -> bool {
        let has_room = count == self.least && self.room > 0;
        self.room -= usize::from(has_room);
        count > self.least || has_room
    }
}

/// The sums of a minute by owner and tenant, and of all keys.
#[derive(Default)]
struct Sums {
    /// By the number of an identity: many keys of an owner share one.
    identities: HashMap<u32, Counts>,
    store: Counts,
}

impl Sums {
    fn add(&mut self, identity: u32, counts: &Counts) {
        self.identities.entry(identity).or_default().add(counts);
    }

    fn into_all(self) -> impl Iterator<Item = (UsageSubject, Counts)> {
        let Self { identities, mut store } = self;
        let mut sums: BTreeMap<UsageSubject, Counts> = BTreeMap::new();
        for (identity, counts) in identities {
            let owner @ OwnerRef { tenant, .. } = owner_of(identity);
            let tenant = tenant.map(UsageSubject::tenant);
            for subject in tenant.into_iter().chain([UsageSubject::owner(owner)]) {
                sums.entry(subject).or_default().add(&counts);
            }
            store.add(&counts);
        }
        sums.into_iter().chain((store.total() > 0).then_some((UsageSubject::STORE, store)))
    }
}

/// The rows that wait to be written.
struct Rows<'d> {
    disk: &'d Disk,
    writes: UsageWrites,
    /// The rows that were written since the last time the disk was given time.
    unsettled: usize,
}

impl Rows<'_> {
    fn add(
        &mut self,
        minute: u32,
        subject: UsageSubject,
        counts: &Counts,
        has_minutes: bool,
    ) -> Result<(), StoreError> {
        for span in RowSpan::ALL.into_iter().filter(|span| has_minutes || *span != RowSpan::Steps(Step::Minute)) {
            let (name, offset) = RowName::of(span, minute, subject);
            let name = name.bytes();
            let held = self.disk.usage_row(&name)?;
            // A damaged row begins anew: it is not worth more than the counts.
            let mut chunk: Chunk = held.as_ref().and_then(|held| codec::decode(held).ok()).unwrap_or_default();
            chunk.steps.entry(offset).or_default().add(counts);
            self.writes.put(&name, codec::encode(&chunk)?, held.map_or(0, |held| held.len()));
        }
        if self.writes.len() >= ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        self.unsettled += self.disk.write_usage(std::mem::take(&mut self.writes))?;
        Ok(())
    }
}
