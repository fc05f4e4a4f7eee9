//! The home of a line: its position in a table.
//!
//! A *home* is a number of 31 bits that stays the same in tables of every length. A table maps it to a slot of its own,
//! the line's home slot; the line lies there or after it.
#![allow(clippy::indexing_slicing, reason = "arrays of known length")]

use crate::token::api_key::ID_CHARS;
use crate::token::digest::DigestPrefix;

/// Bits of a home: as many as a line has room for beside the second of use.
pub(super) const HOME_BITS: u32 = 31;
pub(super) const HOME_MASK: u32 = (1 << HOME_BITS) - 1;

/// The home of one of the store's own secrets: a mix of the id as written, which needs no decoding.
#[inline]
pub(super) fn own_home(id: &[u8; ID_CHARS]) -> u32 {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&id[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    // The store chooses its ids, so nobody can crowd a cluster; it searches for ids that callers make up, but never
    // inserts them.
    let a = fold(word(0) ^ 0x9e37_79b9_7f4a_7c15, word(8) ^ 0xbf58_476d_1ce4_e5b9);
    (fold(word(14) ^ 0x94d0_49bb_1331_11eb, a ^ 0xd6e8_feb8_6659_fd93) >> 33) as u32
}

/// The home of an imported secret.
#[inline]
pub(super) fn imported_home(prefix: &DigestPrefix) -> u32 {
    u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) & HOME_MASK
}

#[allow(clippy::cast_possible_truncation, reason = "both halves of the product are used")]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product >> 64) as u64 ^ product as u64
}
