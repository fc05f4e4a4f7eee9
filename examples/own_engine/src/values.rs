//! The forms of values. Use any that you like: nobody but your engine reads them.

use apikey_core::cluster::{LedgerResult, Logged, Position};
use apikey_engine::{OwnedEntry, damaged};

pub(crate) fn encode_position(position: &Position) -> Vec<u8> {
    [&position.number.to_be_bytes()[..], &position.digest].concat()
}

pub(crate) fn position(value: &[u8]) -> LedgerResult<Position> {
    let parts = value.split_first_chunk().and_then(|(number, digest)| Some((*number, digest.try_into().ok()?)));
    let (number, digest) = parts.ok_or_else(|| damaged("a position is none"))?;
    Ok(Position { number: u64::from_be_bytes(number), digest })
}

pub(crate) fn number(value: &[u8]) -> LedgerResult<u64> {
    value.try_into().map(u64::from_be_bytes).map_err(|_| damaged("a number is none"))
}

/// An entry as it lies in the log. Where it ends is in its key, too.
pub(crate) fn encode_entry(entry: &OwnedEntry) -> Vec<u8> {
    [&entry.op[..], &entry.first().to_be_bytes(), &encode_position(&entry.last), &entry.bytes].concat()
}

pub(crate) fn entry(value: &[u8]) -> LedgerResult<Logged> {
    let parts = || {
        let (op, rest) = value.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        let (last, bytes) = rest.split_at_checked(40)?;
        Some((*op, u64::from_be_bytes(*first), last, bytes.to_vec()))
    };
    let (op, first, last, bytes) = parts().ok_or_else(|| damaged("an entry is none"))?;
    Ok(Logged { first, last: position(last)?, op, bytes })
}
