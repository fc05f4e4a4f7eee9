//! What the one writer of an index knows in addition to its table.

use crate::access::control_word::SIDE_ENTRY;
use crate::index::compiled::NamedState;
use crate::index::limiters::KeyNumbers;
use crate::index::line::Line;
use crate::index::locate::secret_home;
use crate::index::side_table::FreeList;
use crate::index::table::Table;
use crate::key::effective_key::EffectiveKey;
use crate::token::digest::Digest;

/// The holder of this is the writer.
#[derive(Default)]
pub(super) struct WriterState {
    /// Lines that are not empty.
    pub(super) filled: usize,
    pub(super) free_list: FreeList,
    pub(super) limiters: KeyNumbers,
    pub(super) quotas: KeyNumbers,
    pub(super) idle_ends: KeyNumbers,
    pub(super) named: NamedState,
}

/// The numbers of what all secrets of a key share; 0 for none.
#[derive(Clone, Copy, Default)]
pub(super) struct Shared {
    pub(super) limiter: u32,
    pub(super) quota: u32,
    pub(super) idle: u32,
}

impl WriterState {
    /// Removes every secret of a key.
    pub(super) fn remove_all(&mut self, table: &Table, key: &EffectiveKey) {
        key.secrets.iter().for_each(|secret| self.remove(table, secret_home(key.id, secret), &secret.digest));
    }

    /// Frees what a key no longer has.
    pub(super) fn give_back(&mut self, id: u128, Shared { limiter, quota, idle }: Shared) {
        if limiter == 0 {
            self.limiters.give_back(id);
        }
        if quota == 0 {
            self.quotas.give_back(id);
        }
        if idle == 0 {
            self.idle_ends.give_back(id);
        }
    }

    /// Removes a secret: no verification that begins after this finds it.
    pub(super) fn remove(&mut self, table: &Table, home: u32, digest: &Digest) {
        let Some(slot) = table.slot_of(home, digest) else { return };
        let side = table.lines().get(slot).filter(|line| line.control() & SIDE_ENTRY != 0).map(Line::side);
        table.remove(slot);
        self.filled = self.filled.saturating_sub(1);
        if let Some(side) = side {
            self.free_list.give_back(side);
        }
    }
}
