//! The index, as far as the files under test name it.

pub(crate) use crate::{atomic, hints, home, line, side_table, table};

#[path = "../../apikey-core/src/index/compiled/mod.rs"]
pub(crate) mod compiled;

pub(crate) mod writer_state {
    #[derive(Default)]
    pub(crate) struct WriterState {
        pub(in crate::index) limiters: (),
        pub(in crate::index) named: super::compiled::NamedState,
    }
}

pub(crate) mod quotas {
    /// One more owner than this makes a larger table.
    pub(in crate::index) const SMALLEST: usize = 2;
    pub(in crate::index) const CHUNK: usize = 2;
}

#[path = "../../apikey-core/src/index/quotas/owners.rs"]
mod owners;

/// Nothing has a limit.
#[derive(Default)]
struct Limiters;

impl Limiters {
    fn set(&self, _: &mut (), _: NamedId, _: Option<()>) -> u32 {
        0
    }
}

use std::sync::{Mutex, MutexGuard};

use crate::access::named::NamedId;

/// What a verification reads of a key whose tenant has ended.
pub(crate) const ENDED: u32 = compiled::ENDED;

use compiled::CompiledSets;
use line::LineState;
use owners::OwnerQuotas;
use table::Table;
use writer_state::WriterState;

/// What a verification reads of the grants, and what a change of a role or a tenant writes.
#[derive(Default)]
pub(crate) struct Index {
    compiled: CompiledSets,
    limiters: Limiters,
    owner_quotas: OwnerQuotas,
    /// Only one thread writes.
    writer: Mutex<WriterState>,
}

impl Index {
    fn write(&self) -> (MutexGuard<'_, WriterState>, ()) {
        (self.writer.lock().unwrap(), ())
    }

    /// No tenant has a quota.
    fn set_shared_quota(&self, _: &mut WriterState, _: NamedId, _: Option<()>) -> u32 {
        0
    }

    /// Adds the quota of an owner.
    pub(crate) fn add_owner_quota(&self, id: NamedId, number: u32, id_of: impl Fn(u32) -> Option<NamedId>) {
        self.owner_quotas.add(id, number, id_of);
    }

    /// Finds the number of the quota of the owner in an identity, as a verification does; 0 for none.
    pub(crate) fn quota_of_owner(&self, identity: u32, id_of: impl Fn(u32) -> Option<NamedId>) -> u32 {
        self.owner_quotas.find(identity, id_of)
    }

    /// Compiles a set before a line names it.
    pub(crate) fn add_set(&self, set: u32) {
        self.compile(&mut self.write().0, set);
    }

    /// Reads what the key of a line may do, as `read_consistent` in `index/verify.rs` does; `None` if a writer has changed the
    /// line meanwhile, and a verification begins again.
    pub(crate) fn granted(&self, table: &Table, home: u32, digest: &[u8; 32]) -> Option<u32> {
        let live = table.find(home, digest)?;
        let LineState { control, grants, .. } = live.state;
        let granted = self.compiled.get(grants).grants;
        live.line.is_still(control).then_some(granted)
    }
}
