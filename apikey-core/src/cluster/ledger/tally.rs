//! Tallies: what one writer has counted of something, so that a reader adds up those of all.

use std::collections::HashSet;
use std::fmt;

use crate::cluster::ledger::error::{LedgerError, LedgerResult};

/// What one writer has counted of something, under a name that nobody else writes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tally {
    /// Its name, of at most [`Tally::MAX_NAME`] bytes: what is counted, and who does.
    pub name: Vec<u8>,
    /// What was counted so far, all in all.
    pub value: Vec<u8>,
}

impl Tally {
    /// The most bytes of a name.
    pub const MAX_NAME: usize = 64;
    /// The most tallies that are set by one call, and the most begins of names that one call asks for: so many operations
    /// fit one request to an engine.
    pub const MAX: usize = 120;
    /// The most bytes of the names and values of one call.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Checks what one call sets.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for more tallies than [`MAX`](Self::MAX), more bytes than [`MAX_BYTES`](Self::MAX_BYTES), a
    /// longer name than [`MAX_NAME`](Self::MAX_NAME), or a name that is there twice.
    pub fn check(tallies: &[Self]) -> LedgerResult<()> {
        let names = tallies.iter().map(|tally| tally.name.as_slice());
        check(&TALLIES, names, tallies.iter().map(|tally| tally.name.len() + tally.value.len()).sum())
    }

    /// Checks the begins of names that one call asks for.
    ///
    /// # Errors
    /// [`LedgerError::Refused`] for more than [`MAX`](Self::MAX), a longer one than [`MAX_NAME`](Self::MAX_NAME), or one that
    /// is there twice.
    pub fn check_begins(begins: &[&[u8]]) -> LedgerResult<()> {
        check(&BEGINS, begins.iter().copied(), 0)
    }
}

impl fmt::Debug for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tally({}: {} bytes)", hex(&self.name), self.value.len())
    }
}

/// What one call may have.
pub(super) struct Bounds {
    pub(super) what: &'static str,
    pub(super) max: usize,
    pub(super) max_bytes: usize,
    pub(super) longest: usize,
}

const TALLIES: Bounds =
    Bounds { what: "tallies", max: Tally::MAX, max_bytes: Tally::MAX_BYTES, longest: Tally::MAX_NAME };
const BEGINS: Bounds = Bounds { what: "begins of names of tallies", ..TALLIES };

/// Checks the names of a call, each of which is there once, and the bytes of names and values.
pub(super) fn check<'a>(
    bounds: &Bounds,
    names: impl ExactSizeIterator<Item = &'a [u8]>,
    bytes: usize,
) -> LedgerResult<()> {
    let Bounds { what, max, max_bytes, longest } = bounds;
    let refused = |what: String| Err(LedgerError::refused(what));
    let count = names.len();
    if count > *max {
        return refused(format!("a call has {count} {what}, and at most {max} are allowed"));
    }
    if bytes > *max_bytes {
        return refused(format!("a call has {what} of {bytes} bytes, and at most {max_bytes} are allowed"));
    }
    let mut seen = HashSet::with_capacity(count);
    for name in names {
        if name.len() > *longest {
            let length = name.len();
            return refused(format!("a name among {what} has {length} bytes, and at most {longest} are allowed"));
        }
        if !seen.insert(name) {
            return refused(format!("among {what} the name {} is there twice, and once is allowed", hex(name)));
        }
    }
    Ok(())
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
