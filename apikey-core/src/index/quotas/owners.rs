//! The quotas that the keys of an owner share. A verification finds that of a key by the number of the key's identity, without a
//! lock.
//!
//! Nothing happens to a key when it is created or changed, or when its owner gets a quota: the first verification with an
//! identity looks up the owner, and notes what it finds.

use std::sync::OnceLock;

use crate::access::identity::text_of_owner;
use crate::access::named::{Kind, NamedId};
use crate::base::interner::{IDENTITIES, PACKED};
use crate::index::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use crate::index::quotas::{CHUNK, SMALLEST};

/// Doublings of the smallest table: more than there are numbers.
const DOUBLINGS: usize = 32;

/// The quotas of owners, by the ids of the owners' records. None goes away: what an owner has whose quota was removed is a quota
/// without a bound.
#[derive(Default)]
pub(in crate::index) struct OwnerQuotas {
    /// How many owners have, or had, a quota.
    owners: AtomicU32,
    tables: [OnceLock<Table>; DOUBLINGS],
    /// The place of the current table, if there is one.
    current: AtomicUsize,
    notes: Notes,
}

/// The number of each quota, in the place that follows from the id of the owner, or behind it; 0 where there is none.
struct Table(Box<[AtomicU32]>);

/// What verifications have found, by the number of the identity: the number of the quota, below how many owners had one then.
/// That there is none holds until another owner gets one.
#[derive(Default)]
struct Notes([Chunks; 2]);

type Chunks = boxcar::Vec<OnceLock<Box<[AtomicU64]>>>;

impl OwnerQuotas {
    /// Whether any owner has, or had, a quota.
    #[inline]
    pub(in crate::index) fn is_any(&self) -> bool {
        self.owners.load(Ordering::Relaxed) != 0
    }

    /// The number of the quota that the keys of the owner in an identity share; 0 for none. `id_of` is the owner's id of a number.
    pub(in crate::index) fn find(&self, identity: u32, id_of: impl Fn(u32) -> Option<NamedId>) -> u32 {
        // All of these are in the table by now.
        let owners = self.owners.load(Ordering::Acquire);
        if owners == 0 {
            return 0;
        }
        let note = self.notes.get(identity).map_or(0, |note| note.load(Ordering::Relaxed));
        let [as_of, number] = split(note);
        if number != 0 || as_of == owners { number } else { self.look_up(identity, owners, id_of) }
    }

    #[cold]
    fn look_up(&self, identity: u32, owners: u32, id_of: impl Fn(u32) -> Option<NamedId>) -> u32 {
        let id = Kind::Owner.id(text_of_owner(IDENTITIES.text(identity)));
        let number = self.table().map_or(0, |table| table.find(id, id_of));
        if let Some(note) = self.notes.make(identity) {
            note.store(u64::from(owners) << 32 | u64::from(number), Ordering::Relaxed);
        }
        number
    }

    /// Adds the quota of an owner, whose number stays the same. Only the writer calls it.
    pub(in crate::index) fn add(&self, id: NamedId, number: u32, id_of: impl Fn(u32) -> Option<NamedId>) {
        if self.table().is_some_and(|table| table.find(id, &id_of) != 0) {
            return;
        }
        let owners = self.owners.load(Ordering::Relaxed).saturating_add(1);
        if self.table().is_none_or(|table| table.0.len() / 2 < owners as usize) {
            self.grow(&id_of);
        }
        self.table().into_iter().for_each(|table| table.insert(id, number));
        self.owners.store(owners, Ordering::Release);
    }

    fn table(&self) -> Option<&Table> {
        self.tables.get(self.current.load(Ordering::Acquire))?.get()
    }

    /// Replaces the table by a larger one. Readers of the earlier one find what it had.
    fn grow(&self, id_of: impl Fn(u32) -> Option<NamedId>) {
        let held = self.table();
        let larger = Table::with_places(held.map_or(SMALLEST, |table| 2 * table.0.len()));
        for number in held.into_iter().flat_map(|table| &table.0).map(|place| place.load(Ordering::Relaxed)) {
            if let Some(id) = id_of(number) {
                larger.insert(id, number);
            }
        }
        let at = self.current.load(Ordering::Relaxed) + usize::from(held.is_some());
        if let Some(place) = self.tables.get(at) {
            place.get_or_init(|| larger);
            self.current.store(at, Ordering::Release);
        }
    }
}

impl Table {
    fn with_places(places: usize) -> Self {
        Self((0..places).map(|_| AtomicU32::new(0)).collect())
    }

    /// The places for an id. Ids are digests, so they are spread evenly.
    #[allow(clippy::cast_possible_truncation, reason = "the place follows from the lowest bits")]
    fn places(&self, id: NamedId) -> impl Iterator<Item = &AtomicU32> {
        let first = id as usize & (self.0.len() - 1);
        let (before, from) = self.0.split_at_checked(first).unwrap_or_default();
        from.iter().chain(before)
    }

    fn find(&self, id: NamedId, id_of: impl Fn(u32) -> Option<NamedId>) -> u32 {
        let mut numbers = self.places(id).map(|place| place.load(Ordering::Acquire)).take_while(|number| *number != 0);
        numbers.find(|number| id_of(*number) == Some(id)).unwrap_or(0)
    }

    fn insert(&self, id: NamedId, number: u32) {
        let free = self.places(id).find(|place| place.load(Ordering::Relaxed) == 0);
        free.into_iter().for_each(|place| place.store(number, Ordering::Release));
    }
}

impl Notes {
    /// The note of an identity, if there is room for it already.
    fn get(&self, identity: u32) -> Option<&AtomicU64> {
        let (chunks, at) = self.place(identity)?;
        chunks.get(at / CHUNK)?.get()?.get(at % CHUNK)
    }

    /// The note of an identity; `None` if another thread is making room for it.
    fn make(&self, identity: u32) -> Option<&AtomicU64> {
        let (chunks, at) = self.place(identity)?;
        while chunks.count() <= at / CHUNK {
            chunks.push(OnceLock::new());
        }
        let chunk = chunks.get(at / CHUNK)?;
        if chunk.get().is_none() {
            // Allocated before, so that no other thread waits for it.
            let _ = chunk.set((0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        }
        chunk.get()?.get(at % CHUNK)
    }

    /// Numbers of texts begin at 0, and again at [`PACKED`].
    fn place(&self, identity: u32) -> Option<(&Chunks, usize)> {
        let chunks = self.0.get(usize::from(identity & PACKED != 0))?;
        Some((chunks, (identity & !PACKED) as usize))
    }
}

/// Splits a note: how many owners there were, and the number.
#[allow(clippy::cast_possible_truncation, reason = "both split are used")]
fn split(note: u64) -> [u32; 2] {
    [(note >> 32) as u32, note as u32]
}
