//! A table of lines: open addressing, linear probing, grown by making a larger one.
#![allow(clippy::indexing_slicing, reason = "slots are below the length by construction")]

use crate::digest::{Digest, Digester};
use crate::imported::ImportForm;
use crate::token::ID_CHARS;

use super::line::{DEAD, Entry, Line, OCCUPIED};

const SMALLEST: usize = 64;

pub(super) struct Table {
    lines: Box<[Line]>,
    extras: boxcar::Vec<Extra>,
    /// The digests that own secrets are held under: one, but for the time in which a pepper is changed.
    pub(super) own: Vec<Digester>,
    /// The forms that imported keys are held in.
    pub(super) imported: Vec<(ImportForm, Digester)>,
}

/// What few secrets have, kept out of the line.
#[derive(Clone)]
pub(super) struct Extra {
    /// The key's id: an imported token does not carry it.
    pub(super) id: u128,
    pub(super) not_before: Option<i64>,
    /// The secret that the first use of this one ends.
    pub(super) ends: Option<(u32, Digest)>,
    /// When the secret ends, where its key ends earlier: the line has room for one time.
    pub(super) secret_end: Option<i64>,
}

impl Table {
    /// A table that takes `keys` entries and some more before it has to grow.
    pub(super) fn for_keys(keys: usize, own: Vec<Digester>, imported: Vec<(ImportForm, Digester)>) -> Self {
        let slots = (keys.saturating_mul(8) / 5).max(SMALLEST);
        let lines = std::iter::repeat_with(Line::default).take(slots).collect();
        Self { lines, extras: boxcar::Vec::new(), own, imported }
    }

    /// How many lines may be filled: three quarters. Above that, clusters grow long.
    pub(super) fn room(&self) -> usize {
        self.lines.len() / 4 * 3
    }

    fn slot(&self, spot: u32) -> usize {
        // Lemire's reduction: no division, any length.
        ((u64::from(spot) * self.lines.len() as u64) >> 32) as usize
    }

    /// The line where the search begins: to be fetched while the digest is computed.
    #[inline]
    pub(super) fn first(&self, spot: u32) -> &Line {
        &self.lines[self.slot(spot)]
    }

    /// The live line with this digest.
    #[inline]
    pub(super) fn find(&self, spot: u32, digest: &Digest) -> Option<&Line> {
        let mut slot = self.slot(spot);
        // A quarter of the lines is empty, so this ends.
        loop {
            let line = &self.lines[slot];
            let control = line.control();
            if control & OCCUPIED == 0 {
                return None;
            }
            if control & DEAD == 0 && line.holds(digest) {
                return Some(line);
            }
            slot += 1;
            if slot == self.lines.len() {
                slot = 0;
            }
        }
    }

    pub(super) fn extra(&self, number: u32) -> Option<&Extra> {
        self.extras.get(usize::try_from(number).ok()?)
    }

    pub(super) fn add_extra(&self, extra: Extra) -> u32 {
        u32::try_from(self.extras.push(extra)).unwrap_or(u32::MAX >> 1)
    }

    /// Puts an entry on the first empty line of its cluster. The caller has seen to the room.
    pub(super) fn insert(&self, entry: &Entry) {
        let mut slot = self.slot(entry.spot);
        while self.lines[slot].control() & OCCUPIED != 0 {
            slot += 1;
            if slot == self.lines.len() {
                slot = 0;
            }
        }
        self.lines[slot].fill(entry);
    }

    pub(super) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Copies what is live into an empty table.
    pub(super) fn copy_to(&self, larger: &Self) {
        for line in &self.lines {
            let Some(mut entry) = line.entry() else { continue };
            if let Some(extra) = self.extra(entry.extra).filter(|_| entry.control & super::line::EXTRA != 0) {
                entry.extra = larger.add_extra(extra.clone());
            }
            larger.insert(&entry);
        }
    }
}

/// Where a secret of the store's own belongs: a mix of the id as written, which needs no decoding.
#[inline]
pub(super) fn own_spot(id: &[u8; ID_CHARS]) -> u32 {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    // Ids are the store's own, so nobody can crowd a cluster; what callers make up is looked for, never put in.
    let a = fold(word(0) ^ 0x9e37_79b9_7f4a_7c15, word(8) ^ 0xbf58_476d_1ce4_e5b9);
    (fold(word(14) ^ 0x94d0_49bb_1331_11eb, a ^ 0xd6e8_feb8_6659_fd93) >> 32) as u32
}

/// Where an imported secret belongs.
#[inline]
pub(super) fn imported_spot(digest: &Digest) -> u32 {
    u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
}

#[allow(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}
