//! Reservations: what nodes have taken of something that all of them share, by compare-and-swap.

use std::fmt;

use crate::cluster::ledger::error::LedgerResult;
use crate::cluster::ledger::tally::{Bounds, check, hex};

/// A compare-and-swap of a reservation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Swap<'a> {
    /// The name of the reservation, of at most [`Swap::MAX_NAME`] bytes.
    pub name: &'a [u8],
    /// What it holds before; `None` is one that is not there.
    pub old: Option<&'a [u8]>,
    /// What it holds after; `None` deletes it. It may be what `old` is: then the answer says whether it holds that.
    pub new: Option<&'a [u8]>,
}

impl Swap<'_> {
    /// The most bytes of a name.
    pub const MAX_NAME: usize = 32;
    /// The most swaps of one call.
    pub const MAX: usize = 120;
    /// The most bytes of the names and values of one call.
    pub const MAX_BYTES: usize = 1 << 20;

    /// Checks the swaps of one call.
    ///
    /// # Errors
    /// [`LedgerError::Refused`](crate::cluster::LedgerError::Refused) for more swaps than [`MAX`](Self::MAX), more bytes than
    /// [`MAX_BYTES`](Self::MAX_BYTES), a longer name than [`MAX_NAME`](Self::MAX_NAME), or a name that is there twice.
    pub fn check(swaps: &[Swap<'_>]) -> LedgerResult<()> {
        let length = |value: Option<&[u8]>| value.map_or(0, <[u8]>::len);
        let bytes = swaps.iter().map(|swap| swap.name.len() + length(swap.old) + length(swap.new)).sum();
        check(&SWAPS, swaps.iter().map(|swap| swap.name), bytes)
    }
}

const SWAPS: Bounds =
    Bounds { what: "reservations", max: Swap::MAX, max_bytes: Swap::MAX_BYTES, longest: Swap::MAX_NAME };

impl fmt::Debug for Swap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = |value: Option<&[u8]>| value.map_or_else(|| "none".to_owned(), |value| value.len().to_string());
        write!(f, "Swap({}: {} to {} bytes)", hex(self.name), length(self.old), length(self.new))
    }
}

/// The answer to a swap.
#[derive(Clone, PartialEq, Eq)]
pub enum Reserved {
    /// It was done: the reservation holds what the swap has as `new`.
    Done,
    /// It was not done, and never will be.
    Lost {
        /// What the reservation holds instead; `None` if it is not there.
        held: Option<Vec<u8>>,
    },
}

impl fmt::Debug for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("Done"),
            Self::Lost { held: None } => f.write_str("Lost(none)"),
            Self::Lost { held: Some(held) } => write!(f, "Lost({} bytes)", held.len()),
        }
    }
}
