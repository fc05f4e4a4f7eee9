//! How often keys are used and refused, counted in memory.
//!
//! A verification raises a count in a table of its own thread ([`table`]), so that threads that use one key do not wait for
//! each other. Each second, and before somebody reads the counts, they move to what is [`pending`]: by minute and key, until
//! the store writes it to the disk.

pub(crate) mod pending;
mod table;

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::access::verified_key::IdForm;
use crate::base::base62;
use crate::base::lock::lock;
use crate::index::counts::pending::Pending;
use crate::index::counts::table::{Full, IdWords, ThreadTable, chars, words};

const MINUTE_MS: i64 = 60_000;
/// The slots of a thread's first table, and of the largest. A slot takes 36 bytes.
const FIRST_SLOTS: usize = 64;
const MAX_SLOTS: usize = 1 << 18;
/// The slots of all tables together: 28 MB. Beyond it no table grows, and a new thread has its first one only.
const MAX_ALL_SLOTS: usize = 800_000;

/// Counts the uses of one store's keys.
pub(crate) struct UseCounter {
    /// The number of the store.
    store: u64,
    threads: Mutex<Vec<Arc<ThreadCounts>>>,
    /// The slots of the tables of all threads.
    slots: AtomicUsize,
    pending: Mutex<Pending>,
    /// Refusals of requests without the secret of a key that are in `pending`, by their code: guesses come in floods, so
    /// others count them.
    unknown: Mutex<Vec<(&'static str, u64)>>,
    /// Uses and refusals that could not be kept, since the disk is full.
    dropped: AtomicU64,
}

/// The table of one thread, and what is taken of it.
struct ThreadCounts {
    table: ThreadTable,
    /// By slot, the count that is taken already. Whoever holds it reads the table.
    taken: Mutex<Vec<u32>>,
}

thread_local! {
    /// The tables of this thread, by the number of the store.
    static TABLES: RefCell<Vec<(u64, Arc<ThreadCounts>)>> = const { RefCell::new(Vec::new()) };
}

impl UseCounter {
    pub(crate) fn new(store: u64) -> Self {
        Self {
            store,
            threads: Mutex::default(),
            slots: AtomicUsize::new(0),
            pending: Mutex::default(),
            unknown: Mutex::default(),
            dropped: AtomicU64::new(0),
        }
    }

    /// Counts a use of a key at a time in milliseconds, which matters when a table is full. `home` spreads the keys over
    /// a table.
    #[inline]
    pub(crate) fn count(&self, home: u32, id: &IdForm, identity: u32, now: impl FnOnce() -> i64) {
        let id = match id {
            IdForm::Written(id) => words(id),
            IdForm::Known(id) => imported(u128::from_be_bytes(*id)),
        };
        let counted = TABLES.try_with(|tables| {
            if let Ok(tables) = tables.try_borrow()
                && let Some((_, counts)) = tables.iter().find(|(store, _)| *store == self.store)
            {
                return counts.table.count(home, id, identity);
            }
            Err(Full)
        });
        if !matches!(counted, Ok(Ok(()))) {
            self.count_elsewhere(home, id, identity, now());
        }
    }

    /// Makes room in the thread's table, or a larger one, or the first one.
    #[cold]
    #[inline(never)]
    fn count_elsewhere(&self, home: u32, id: IdWords, identity: u32, now: i64) {
        let counted = TABLES.try_with(|tables| {
            let Ok(mut tables) = tables.try_borrow_mut() else { return Err(Full) };
            let place = tables.iter().position(|(store, _)| *store == self.store);
            let held = place.and_then(|at| tables.get(at)).map_or(0, |(_, counts)| counts.table.slots());
            let slots = (held * 2).clamp(FIRST_SLOTS, MAX_SLOTS);
            let fits = self.slots.load(Ordering::Relaxed) + slots <= MAX_ALL_SLOTS;
            match place.and_then(|at| tables.get_mut(at)) {
                // What the old one has counted is taken before it is forgotten.
                Some((_, counts)) if slots > held && fits => *counts = self.add_table(slots),
                Some((_, counts)) => {
                    let mut taken = lock(&counts.taken);
                    self.take_from(counts, &mut taken, now);
                    counts.table.clear();
                    taken.fill(0);
                }
                None => {
                    // Stores that are closed leave theirs behind.
                    tables.retain(|(_, counts)| Arc::strong_count(counts) > 1);
                    tables.push((self.store, self.add_table(slots)));
                }
            }
            let counts = tables.iter().find(|(store, _)| *store == self.store);
            counts.map_or(Err(Full), |(_, counts)| counts.table.count(home, id, identity))
        });
        // The thread ends.
        if !matches!(counted, Ok(Ok(()))) {
            self.pending().add_uses(minute(now), key(id), identity, 1);
        }
    }

    fn add_table(&self, slots: usize) -> Arc<ThreadCounts> {
        let counts = Arc::new(ThreadCounts { table: ThreadTable::new(slots), taken: Mutex::new(vec![0; slots]) });
        lock(&self.threads).push(counts.clone());
        self.slots.fetch_add(slots, Ordering::Relaxed);
        counts
    }

    /// Counts the refusal of a caller with the secret of a key.
    pub(crate) fn refuse(&self, key: u128, identity: u32, code: &'static str, now: i64) {
        self.pending().add_refusal(minute(now), key, identity, code);
    }

    /// Takes what every thread has counted since the last time, and of refusals without the secret of a key what is new in
    /// these totals. Returns whether there is so much that it belongs on the disk.
    pub(crate) fn collect(&self, unknown: impl IntoIterator<Item = (&'static str, u64)>, now: i64) -> bool {
        let mut threads = lock(&self.threads);
        threads.retain(|counts| {
            // The thread has ended, or has a larger table: nothing is counted here any more.
            let is_last = Arc::strong_count(counts) == 1;
            // What the thread counted before it gave its table up is visible here.
            fence(Ordering::Acquire);
            let mut taken = lock(&counts.taken);
            self.take_from(counts, &mut taken, now);
            if is_last {
                self.slots.fetch_sub(counts.table.slots(), Ordering::Relaxed);
            }
            !is_last
        });
        drop(threads);
        let mut held = lock(&self.unknown);
        for (code, total) in unknown {
            if !held.iter().any(|(known, _)| *known == code) {
                held.push((code, 0));
            }
            for (_, before) in held.iter_mut().filter(|(known, before)| *known == code && *before < total) {
                self.pending().add_unknown(minute(now), code, total - *before);
                *before = total;
            }
        }
        self.pending().is_large()
    }

    fn take_from(&self, counts: &ThreadCounts, taken: &mut [u32], now: i64) {
        let mut pending = self.pending();
        for (slot, counted) in counts.table.read() {
            let Some(taken) = taken.get_mut(slot) else { continue };
            let new = counted.count.wrapping_sub(*taken);
            if new > 0 {
                pending.add_uses(minute(now), key(counted.id), counted.identity, new.into());
                *taken = counted.count;
            }
        }
    }

    /// What is not on the disk yet.
    pub(crate) fn pending(&self) -> MutexGuard<'_, Pending> {
        lock(&self.pending)
    }

    /// Notes that counts were dropped.
    pub(crate) fn drop_counts(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// How many uses and refusals were dropped since the store was opened.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The minute of a time in milliseconds.
pub(crate) fn minute(now: i64) -> u32 {
    u32::try_from(now / MINUTE_MS).unwrap_or(0)
}

#[cold]
fn imported(id: u128) -> IdWords {
    words(&base62::encode_u128(id))
}

fn key(id: IdWords) -> u128 {
    // The digest of a token covers these characters, and it matched that of an encoded id, so they decode.
    base62::decode_u128(&chars(id)).unwrap_or_default()
}
