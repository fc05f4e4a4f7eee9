//! Interned texts: identities and sets of grants, each kept once.
//!
//! A verified key names them by number, so it needs neither a lock nor a count that all threads share, and still
//! outlives every change of its key. In return, the text of each identity and of each set of grants that has ever been
//! in use stays in memory for the life of the process.

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard};

use hashbrown::HashTable;

use crate::base::lock::lock;

/// Identities of keys: owners, and what handlers read besides.
pub(crate) static IDENTITIES: Interner = Interner::new();
/// Sets of grants, joined by spaces.
pub(crate) static GRANTS: Interner = Interner::new();

/// Set in the numbers of texts in a chunk. The other numbers count the texts that have an allocation each, from 0.
pub(crate) const PACKED: u32 = 1 << 31;
/// Packed texts begin at multiples of this, in bytes.
const UNIT: usize = 4;
/// Units in a chunk, as a power of two.
const CHUNK_BITS: u32 = 14;
const CHUNK: usize = UNIT << CHUNK_BITS;
/// Characters before a packed text: its length, seven bits in each.
const HEAD: usize = 2;

pub(crate) struct Interner {
    /// Texts interned one by one.
    alone: boxcar::Vec<Box<str>>,
    /// Texts interned with many others, when a store was opened: an allocation for each would cost more than the text.
    chunks: boxcar::Vec<Box<str>>,
    numbers: LazyLock<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    table: HashTable<u32>,
    hasher: RandomState,
    /// The chunk that is being filled. Only the thread that fills it has numbers of texts in it.
    filling: String,
}

/// The error if there are more different texts than numbers.
#[derive(Debug, thiserror::Error)]
#[error("more than 2^31 different owners with their names and labels, or sets of permissions")]
pub(crate) struct Full;

impl From<Full> for std::io::Error {
    fn from(full: Full) -> Self {
        Self::other(full)
    }
}

impl Interner {
    const fn new() -> Self {
        Self { alone: boxcar::Vec::new(), chunks: boxcar::Vec::new(), numbers: LazyLock::new(Mutex::default) }
    }

    /// Returns the number of a text, which is the same for every call.
    pub(crate) fn number(&self, text: &str) -> Result<u32, Full> {
        let mut numbers = self.lock();
        let hash = numbers.hasher.hash_one(text);
        if let Some(number) = self.find(&numbers, hash, text) {
            if self.is_filling(number) {
                self.seal(&mut numbers);
            }
            return Ok(number);
        }
        // The lock is held, so only this thread adds a text.
        let number = u32::try_from(self.alone.count()).ok().filter(|number| *number < PACKED).ok_or(Full)?;
        self.alone.push(text.into());
        self.remember(&mut numbers, hash, number);
        Ok(number)
    }

    /// Works as [`number`](Self::number), for one text of many, which is readable after [`finish`](Self::finish).
    pub(crate) fn pack(&self, text: &str) -> Result<u32, Full> {
        let Some(head) = head(text) else { return self.number(text) };
        let mut numbers = self.lock();
        let hash = numbers.hasher.hash_one(text);
        if let Some(number) = self.find(&numbers, hash, text) {
            return Ok(number);
        }
        let size = (HEAD + text.len()).next_multiple_of(UNIT);
        if numbers.filling.len() + size > CHUNK {
            self.seal(&mut numbers);
        }
        let (chunk, unit) = (self.chunks.count() << CHUNK_BITS, numbers.filling.len() / UNIT);
        let number = u32::try_from(chunk + unit).ok().filter(|number| *number < PACKED).ok_or(Full)? | PACKED;
        let end = numbers.filling.len() + size;
        numbers.filling.extend(head);
        numbers.filling.push_str(text);
        while numbers.filling.len() < end {
            numbers.filling.push('\0');
        }
        self.remember(&mut numbers, hash, number);
        Ok(number)
    }

    /// Makes room for many that will be [packed](Self::pack): a table that grows hashes every text in it again.
    pub(crate) fn expect(&self, texts: usize) {
        let Numbers { table, hasher, filling } = &mut *self.lock();
        table.reserve(texts, |number| hasher.hash_one(self.known(filling, *number)));
    }

    /// Makes everything that was packed readable, and frees unused room.
    pub(crate) fn finish(&self) {
        let mut numbers = self.lock();
        self.seal(&mut numbers);
        let Numbers { table, hasher, filling } = &mut *numbers;
        table.shrink_to_fit(|number| hasher.hash_one(self.known(filling, *number)));
    }

    /// Returns the text of a number from [`number`](Self::number) or [`pack`](Self::pack).
    #[inline]
    pub(crate) fn text(&self, number: u32) -> &str {
        let found = if number & PACKED == 0 {
            usize::try_from(number).ok().and_then(|number| self.alone.get(number)).map(|text| &**text)
        } else {
            let (chunk, at) = place(number);
            self.chunks.get(chunk).and_then(|chunk| read(chunk, at))
        };
        found.unwrap_or("")
    }

    fn find(&self, numbers: &Numbers, hash: u64, text: &str) -> Option<u32> {
        numbers.table.find(hash, |number| self.known(&numbers.filling, *number) == text).copied()
    }

    fn remember(&self, numbers: &mut Numbers, hash: u64, number: u32) {
        let Numbers { table, hasher, filling } = numbers;
        table.insert_unique(hash, number, |number| hasher.hash_one(self.known(filling, *number)));
    }

    /// The text of a number, also of one in the chunk that is being filled.
    fn known<'a>(&'a self, filling: &'a str, number: u32) -> &'a str {
        if self.is_filling(number) { read(filling, place(number).1).unwrap_or("") } else { self.text(number) }
    }

    fn is_filling(&self, number: u32) -> bool {
        number & PACKED != 0 && place(number).0 == self.chunks.count()
    }

    fn seal(&self, numbers: &mut Numbers) {
        if !numbers.filling.is_empty() {
            self.chunks.push(std::mem::take(&mut numbers.filling).into_boxed_str());
        }
    }

    fn lock(&self) -> MutexGuard<'_, Numbers> {
        lock(&self.numbers)
    }
}

/// Chunk, and the byte in it.
#[inline]
fn place(number: u32) -> (usize, usize) {
    let number = (number & !PACKED) as usize;
    (number >> CHUNK_BITS, (number & ((1 << CHUNK_BITS) - 1)) * UNIT)
}

/// A text's length as two characters; `None` if it is too long for that.
fn head(text: &str) -> Option<[char; HEAD]> {
    let digit = |number: usize| u8::try_from(number).ok().filter(u8::is_ascii).map(char::from);
    Some([digit(text.len() >> 7)?, digit(text.len() & 0x7f)?])
}

#[inline]
fn read(chunk: &str, at: usize) -> Option<&str> {
    let head: &[u8; HEAD] = chunk.as_bytes().get(at..)?.first_chunk()?;
    let length = usize::from(head[0]) << 7 | usize::from(head[1]);
    chunk.get(at + HEAD..at + HEAD + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number() {
        let interner = Interner::new();
        let numbers: Vec<u32> = (0..1000).map(|at| interner.number(&format!("owner {}", at % 100)).unwrap()).collect();
        assert_eq!(numbers[..100], (0..100).collect::<Vec<u32>>());
        assert_eq!(numbers[..100], numbers[900..]);
        assert_eq!(interner.text(7), "owner 7");
        assert_eq!(interner.text(100), "");
    }

    #[test]
    fn packed_or_alone_a_text_has_one_number() {
        let interner = Interner::new();
        let text = |at: usize| format!("{at:0width$} é", width = at % 200);
        let alone: Vec<u32> = (0..50).map(|at| interner.number(&text(at)).unwrap()).collect();
        let packed: Vec<u32> = (0..3000).map(|at| interner.pack(&text(at)).unwrap()).collect();
        assert_eq!(alone, packed[..50]);
        // In the chunk that is still being filled: the next caller can read it at once.
        let last = interner.number(&text(2999)).unwrap();
        assert_eq!((last, interner.text(last)), (packed[2999], &*text(2999)));
        let more: Vec<u32> = (2000..4000).map(|at| interner.pack(&text(at)).unwrap()).collect();
        interner.finish();
        interner.expect(1000);
        interner.finish();
        assert_eq!(packed[2000..], more[..1000]);
        assert!((0..3000).all(|at| interner.text(packed[at]) == text(at)));
        assert!((2000..4000).all(|at| interner.text(more[at - 2000]) == text(at)));
        assert_eq!(interner.pack("").map(|number| interner.text(number)).ok(), Some(""));
        let long = "x".repeat(20_000);
        assert_eq!(interner.pack(&long).map(|number| interner.text(number)).ok(), Some(&*long));
    }
}
