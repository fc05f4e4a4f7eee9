//! A node of a later version: each change that it appends has a critical field that this version does not know.

use std::time::Instant;

use apikey_core::cluster::{
    Appended, Cell, CellKind, CellName, Entry, Fence, Ledger, LedgerResult, Logged, Look, Piece, Position, Reserved,
    Sight, Standing, Step, Swap, Tally, Woken,
};
use sha2::{Digest, Sha256};

/// The tag of the field, as it is stored: number 127, critical.
pub(super) const TAG: u8 = 255;
/// A tail of one field of one byte, behind its length.
const TAIL: [u8; 4] = [3, TAG, 1, 7];
const EMPTY_TAIL: [u8; 1] = [0];
const CRC: usize = 4;
const CODE: usize = 32;
const DOMAIN: &[u8] = b"apikey: an entry of a cluster's log";

/// A ledger as that version uses it.
pub(crate) struct Newer<L>(pub(crate) L);

/// An entry with another tail of each change: `docs/reference/format.md` has the bytes.
fn with_tails(entry: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut rest = &entry[..entry.len() - CODE];
    let mut bytes = Vec::new();
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().unwrap();
        let (frame, after) = after.split_at(usize::try_from(u32::from_le_bytes(*length)).unwrap());
        rest = after;
        let mut body = frame[..frame.len() - CRC].to_vec();
        if frame[1] == b'W' {
            let without = body.strip_suffix(from).expect("the tail of a change");
            body = [without, to].concat();
        }
        let crc = crc32fast::hash(&body).to_le_bytes();
        body.extend(crc);
        bytes.extend(u32::try_from(body.len()).unwrap().to_le_bytes());
        bytes.extend(body);
    }
    let code = Sha256::new().chain_update(DOMAIN).chain_update(&bytes).finalize();
    bytes.extend(code);
    bytes
}

impl<L: Ledger> Ledger for Newer<L> {
    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        let bytes = with_tails(entry.bytes, &EMPTY_TAIL, &TAIL);
        self.0.append(&Entry { bytes: &bytes, ..*entry }, fence, by)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        let mut entries = self.0.read(generation, after, max_bytes, by)?;
        for entry in &mut entries {
            // The last byte of the last change, before its CRC and the code.
            let tail = entry.bytes[..entry.bytes.len() - CODE - CRC].ends_with(&TAIL);
            if tail {
                entry.bytes = with_tails(&entry.bytes, &TAIL, &EMPTY_TAIL);
            }
        }
        Ok(entries)
    }

    fn name(&self) -> String {
        self.0.name()
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        self.0.sight(generation, by)
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        self.0.look(generation, standing, by)
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        self.0.begin(generation, head, by)
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        self.0.load(generation, by, take)
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        self.0.advance(step, fence, by)
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.0.trim(generation, through, by)
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        self.0.wait(generation, after, by)
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.0.cells(generation, kinds, by)
    }

    fn glance(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.0.glance(generation, kinds, by)
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        self.0.swap(cell, old, new, by)
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        self.0.note(cell, value, by)
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        self.0.tally(generation, tallies, by)
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        self.0.tallies(generation, begins, by)
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        self.0.forget_tallies(generation, from, to, by)
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        self.0.reserve(generation, swaps, by)
    }

    fn close(&self) {
        self.0.close();
    }
}
