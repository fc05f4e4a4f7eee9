//! Texts kept once: owners and sets of grants.
//!
//! A verified key names them by number, so that it needs neither a lock nor a count that all threads share, and still
//! outlives every change to its key. The price: the texts stay in memory for the life of the process. They are bounded
//! by the number of different owners and of different sets of grants that it has seen.

use std::hash::{BuildHasher, RandomState};
use std::sync::{LazyLock, Mutex, PoisonError};

use hashbrown::HashTable;

/// Owners of keys.
pub(crate) static OWNERS: Interner = Interner::new();
/// Sets of grants, joined by spaces.
pub(crate) static GRANTS: Interner = Interner::new();

pub(crate) struct Interner {
    texts: boxcar::Vec<Box<str>>,
    numbers: LazyLock<Mutex<Numbers>>,
}

#[derive(Default)]
struct Numbers {
    table: HashTable<u32>,
    hasher: RandomState,
}

/// More different texts than there are numbers.
#[derive(Debug, thiserror::Error)]
#[error("more than 2^32 different owners, or sets of permissions")]
pub(crate) struct Full;

impl From<Full> for std::io::Error {
    fn from(full: Full) -> Self {
        Self::other(full)
    }
}

impl Interner {
    const fn new() -> Self {
        Self { texts: boxcar::Vec::new(), numbers: LazyLock::new(Mutex::default) }
    }

    /// The number of a text, the same for every call.
    pub(crate) fn number(&self, text: &str) -> Result<u32, Full> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let Numbers { table, hasher } = &mut *numbers;
        let hash = hasher.hash_one(text);
        if let Some(number) = table.find(hash, |number| self.text(*number) == text) {
            return Ok(*number);
        }
        // One at a time: the lock is held.
        let number = u32::try_from(self.texts.count()).map_err(|_| Full)?;
        self.texts.push(text.into());
        table.insert_unique(hash, number, |number| hasher.hash_one(self.text(*number)));
        Ok(number)
    }

    /// The text of a number that [`number`](Self::number) gave.
    #[inline]
    pub(crate) fn text(&self, number: u32) -> &str {
        usize::try_from(number).ok().and_then(|number| self.texts.get(number)).map_or("", |text| text)
    }
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
}
