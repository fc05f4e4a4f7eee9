//! The keys in memory: all that a verification reads.
//!
//! Readers take no lock and count nothing. A reader reads the current table, and accepts what it has read if no writer
//! has changed the line meanwhile. One writer at a time, the holder of the [`WriterState`], changes lines in place. A
//! table that has become too small stays until the index is dropped, since readers may use it; tables double, so the
//! earlier ones together are no larger than the current one. `docs/reference/performance.md` says what that saves.
//!
//! `verify.rs` has the operations of readers; `publish.rs`, `restriction.rs`, `first_use.rs` and `uses.rs` have those
//! of writers. Both rely on the order of the steps in `line.rs`, `table.rs` and `side_table.rs`, of which `tests/loom`
//! tries every interleaving.

mod atomic;
mod compiled;
pub(crate) mod counts;
pub(crate) mod first_use;
mod hints;
mod home;
mod idle_ends;
mod limiter;
mod limiters;
mod line;
mod locate;
mod publish;
pub(crate) mod quotas;
#[cfg(feature = "cluster")]
mod reconcile;
pub(crate) mod refused;
pub(crate) mod restriction;
mod rotated;
mod side_table;
mod table;
#[cfg(test)]
mod tests;
mod uses;
pub(crate) mod verify;
mod writer_state;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};

use crate::base::lock::lock;
use crate::index::compiled::CompiledSets;
use crate::index::idle_ends::IdleEnds;
use crate::index::limiters::Limiters;
use crate::index::line::Line;
use crate::index::locate::secret_home;
use crate::index::quotas::Quotas;
use crate::index::quotas::owners::OwnerQuotas;
use crate::index::rotated::RotatedSecrets;
use crate::index::side_table::SideTable;
use crate::index::table::Table;
use crate::index::writer_state::WriterState;
use crate::key::effective_key::EffectiveKey;
use crate::token::digest::Digester;
use crate::token::imported::ImportForm;

const _: () = assert!(size_of::<Line>() == 64, "a line is one cache line");

/// Doublings of the smallest table: more than memory has room for.
const DOUBLINGS: usize = 48;

pub(crate) struct Index {
    first: Table,
    /// The tables that came after the first.
    later: [OnceLock<Table>; DOUBLINGS],
    /// The number of later tables: the last of them is current.
    current: AtomicUsize,
    side_table: SideTable,
    limiters: Limiters,
    quotas: Quotas,
    owner_quotas: OwnerQuotas,
    compiled: CompiledSets,
    idle_ends: IdleEnds,
    rotated: RotatedSecrets,
    writer: Mutex<WriterState>,
    /// The number of the store, for the keys that it verifies.
    store: u64,
    /// A digester for each pepper, the newest first, and one without a pepper.
    digesters: Box<[DigesterSlot]>,
    /// The forms of imported keys, each with the number of its digester. The index hashes a token in another than the
    /// store's own form only if there is one.
    imported: boxcar::Vec<(ImportForm, usize)>,
    track_use: bool,
    closed: AtomicBool,
}

struct DigesterSlot {
    digester: Digester,
    /// Whether the store has own secrets under this digester. One digester has all of them, except during a change of
    /// peppers.
    own: AtomicBool,
}

impl Index {
    /// An empty index with room for `keys`. The last of `digesters` is the one for new secrets.
    pub(crate) fn new(store: u64, keys: usize, digesters: Vec<Digester>, track_use: bool) -> Self {
        let slots = digesters.into_iter().rev().enumerate();
        let digesters = slots.map(|(at, digester)| DigesterSlot { digester, own: AtomicBool::new(at == 0) }).collect();
        Self {
            first: Table::for_keys(keys),
            later: [const { OnceLock::new() }; DOUBLINGS],
            current: AtomicUsize::new(0),
            side_table: SideTable::default(),
            limiters: Limiters::default(),
            quotas: Quotas::default(),
            owner_quotas: OwnerQuotas::default(),
            compiled: CompiledSets::default(),
            idle_ends: IdleEnds::default(),
            rotated: RotatedSecrets::default(),
            writer: Mutex::default(),
            store,
            digesters,
            imported: boxcar::Vec::new(),
            track_use,
            closed: AtomicBool::new(false),
        }
    }

    #[inline]
    fn table(&self) -> &Table {
        let later = self.current.load(Ordering::Acquire).checked_sub(1);
        later.and_then(|at| self.later.get(at)?.get()).unwrap_or(&self.first)
    }

    /// Whether the index records the times of use.
    pub(crate) fn tracks_use(&self) -> bool {
        self.track_use
    }

    /// The number of the store whose index this is.
    pub(crate) fn store(&self) -> u64 {
        self.store
    }

    /// Makes the caller the writer, and returns its state and the table, which stays current until the state is
    /// released.
    fn write(&self) -> (MutexGuard<'_, WriterState>, &Table) {
        // The table is readable after a panic, since it is so after every single store.
        let writer = lock(&self.writer);
        (writer, self.table())
    }

    /// Makes a table the current one.
    fn add_table(&self, table: Table) {
        let at = self.current.load(Ordering::Relaxed);
        if let Some(place) = self.later.get(at) {
            place.get_or_init(|| table);
            self.current.store(at + 1, Ordering::Release);
        }
    }

    /// Whether the index lacks a secret of the key.
    pub(crate) fn lacks_any(&self, key: &EffectiveKey) -> bool {
        let table = self.table();
        key.secrets.iter().any(|secret| table.find(secret_home(key.id, secret), &secret.digest).is_none())
    }

    /// Removes every key, so that each verification fails from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        let (mut writer, _) = self.write();
        writer.filled = 0;
        self.add_table(Table::for_keys(0));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}
