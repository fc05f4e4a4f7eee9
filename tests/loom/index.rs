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
use table::Table;
use writer_state::WriterState;

/// What a verification reads of the grants, and what a change of a role or a tenant writes.
#[derive(Default)]
pub(crate) struct Index {
    compiled: CompiledSets,
    limiters: Limiters,
    /// Only one thread writes.
    writer: Mutex<WriterState>,
}

impl Index {
    fn write(&self) -> (MutexGuard<'_, WriterState>, ()) {
        (self.writer.lock().unwrap(), ())
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
