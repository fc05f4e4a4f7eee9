//! What a row has: the counts of some steps.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::codec::frame::plain_frame;

/// The uses and refusals of one step.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) uses: u64,
    /// Refusals by the [number](crate::usage::code) of their code.
    pub(crate) refusals: BTreeMap<u8, u64>,
}

/// The counts of some steps, by the number of the step in the row. Steps in which nothing happened are missing.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Chunk {
    pub(crate) steps: BTreeMap<u8, Counts>,
}

plain_frame!(Chunk, b'U', "a row of usage");

impl Counts {
    pub(crate) fn of_uses(uses: u64) -> Self {
        Self { uses, refusals: BTreeMap::new() }
    }

    pub(crate) fn refuse(&mut self, code: u8, count: u64) {
        let held = self.refusals.entry(code).or_default();
        *held = held.saturating_add(count);
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.uses = self.uses.saturating_add(other.uses);
        other.refusals.iter().for_each(|(code, count)| self.refuse(*code, *count));
    }

    /// All uses and refusals.
    pub(crate) fn total(&self) -> u64 {
        self.refusals.values().fold(self.uses, |sum, count| sum.saturating_add(*count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{decode, encode, golden};

    #[test]
    fn the_stored_bytes_stay() {
        let mut used = Counts::of_uses(300);
        used.refuse(4, 1);
        used.refuse(11, 70_000);
        let chunk = Chunk { steps: [(0, Counts::of_uses(1)), (59, used)].into() };
        let row = encode(&chunk).unwrap();
        assert_eq!(decode::<Chunk>(&row).unwrap(), chunk);
        golden::check("usage-row.bin", &row);
        golden::check("usage-row-bare.bin", &encode(&Chunk::default()).unwrap());
    }
}
