//! The forms of values. Each begins with the number of its form, so that a later release can have another.

use apikey_core::cluster::{LedgerError, LedgerResult, Position};
use apikey_engine::damaged;

const FORM: u8 = 1;

/// How many bytes of an entry lie in its own value: more are in chunks. A read asks for many entries at once, and so never
/// gets much more than it asked for.
pub(super) const INLINE: usize = 16 << 10;
/// The bytes of a chunk. etcd takes requests of 1.5 MiB.
pub(super) const CHUNK: usize = 1 << 20;
/// The most chunks of an entry.
const MAX_CHUNKS: usize = 1 << 12;

/// A number and a digest.
pub(super) fn encode_position(position: &Position) -> Vec<u8> {
    let mut value = vec![FORM];
    value.extend(position.number.to_be_bytes());
    value.extend(position.digest);
    value
}

/// A position that lies in etcd.
pub(crate) fn position(value: &[u8]) -> LedgerResult<Position> {
    let wrong = || damaged("a position has another form than this release knows");
    let (form, rest) = value.split_first().ok_or_else(wrong)?;
    let (number, digest) = rest.split_first_chunk().ok_or_else(wrong)?;
    match (form, digest.try_into()) {
        (&FORM, Ok(digest)) => Ok(Position { number: u64::from_be_bytes(*number), digest }),
        _ => Err(wrong()),
    }
}

pub(super) fn encode_floor(number: u64) -> Vec<u8> {
    let mut value = vec![FORM];
    value.extend(number.to_be_bytes());
    value
}

pub(super) fn floor(value: &[u8]) -> LedgerResult<u64> {
    match value.split_first() {
        Some((&FORM, number)) => number.try_into().ok().map(u64::from_be_bytes),
        _ => None,
    }
    .ok_or_else(|| damaged("the floor of a log has another form than this release knows"))
}

/// An entry as it lies in the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredEntry {
    pub(super) op: [u8; 16],
    pub(super) last: Position,
    pub(super) bytes: StoredBytes,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum StoredBytes {
    Inline(Vec<u8>),
    /// The number of chunks, and of all their bytes.
    InChunks(usize, usize),
}

/// How many chunks an entry of so many bytes has; `None` if its bytes lie in its own value.
pub(super) fn chunks_of(bytes: usize) -> LedgerResult<Option<usize>> {
    let chunks = bytes.div_ceil(CHUNK);
    if chunks > MAX_CHUNKS {
        let what = format!("an entry has {bytes} bytes, and at most {} are allowed", MAX_CHUNKS * CHUNK);
        return Err(LedgerError::refused(what));
    }
    Ok((bytes > INLINE).then_some(chunks))
}

pub(super) fn encode_entry(op: &[u8; 16], last: &Position, bytes: &[u8]) -> LedgerResult<Vec<u8>> {
    let chunks = chunks_of(bytes.len())?;
    let mut value = vec![FORM];
    value.extend(op);
    value.extend(last.number.to_be_bytes());
    value.extend(last.digest);
    value.extend(u16::try_from(chunks.unwrap_or(0)).unwrap_or(u16::MAX).to_be_bytes());
    match chunks {
        None => value.extend(bytes),
        Some(_) => value.extend((bytes.len() as u64).to_be_bytes()),
    }
    Ok(value)
}

pub(super) fn entry(value: &[u8]) -> LedgerResult<StoredEntry> {
    let wrong = || damaged("an entry of the log has another form than this release knows");
    let rest = value.strip_prefix(&[FORM]).ok_or_else(wrong)?;
    let (op, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let (number, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let (digest, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let (chunks, rest) = rest.split_first_chunk().ok_or_else(wrong)?;
    let bytes = match u16::from_be_bytes(*chunks) {
        0 => StoredBytes::Inline(rest.to_vec()),
        chunks => {
            let bytes = rest.try_into().map_err(|_| wrong())?;
            let bytes = usize::try_from(u64::from_be_bytes(bytes)).map_err(|_| wrong())?;
            let chunks = usize::from(chunks);
            if chunks_of(bytes).ok() != Some(Some(chunks)) {
                return Err(wrong());
            }
            StoredBytes::InChunks(chunks, bytes)
        }
    };
    Ok(StoredEntry { op: *op, last: Position { number: u64::from_be_bytes(*number), digest: *digest }, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Position = Position { number: 300, digest: [7; 32] };

    #[test]
    fn values_are_read_back() {
        assert_eq!(position(&encode_position(&AT)), Ok(AT));
        assert_eq!(floor(&encode_floor(300)), Ok(300));
        for size in [0, 1, INLINE] {
            let bytes = vec![5; size];
            let stored = StoredEntry { op: [9; 16], last: AT, bytes: StoredBytes::Inline(bytes.clone()) };
            assert_eq!(entry(&encode_entry(&[9; 16], &AT, &bytes).unwrap()), Ok(stored));
        }
        for (size, chunks) in [(INLINE + 1, 1), (CHUNK, 1), (CHUNK + 1, 2), (3 * CHUNK, 3)] {
            let stored = StoredEntry { op: [9; 16], last: AT, bytes: StoredBytes::InChunks(chunks, size) };
            assert_eq!(entry(&encode_entry(&[9; 16], &AT, &vec![5; size]).unwrap()), Ok(stored));
        }
    }

    #[test]
    fn golden_bytes() {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let at = format!("000000000000012c{}", "07".repeat(32));
        assert_eq!(hex(&encode_position(&AT)), format!("01{at}"));
        assert_eq!(hex(&encode_floor(300)), "01000000000000012c");
        let op = "09".repeat(16);
        assert_eq!(hex(&encode_entry(&[9; 16], &AT, b"ab").unwrap()), format!("01{op}{at}00006162"));
        let large = encode_entry(&[9; 16], &AT, &vec![0; CHUNK + 1]).unwrap();
        assert_eq!(hex(&large), format!("01{op}{at}00020000000000100001"));
    }

    #[test]
    fn what_is_cut_or_of_a_later_form_is_damaged() {
        fn check<T>(value: &[u8], fixed: usize, decode: impl Fn(&[u8]) -> LedgerResult<T>) {
            assert!(decode(value).is_ok());
            for length in 0..fixed {
                let error = decode(&value[..length]).err().unwrap_or_else(|| panic!("{length} bytes are taken"));
                assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
            }
            assert!(decode(&[&[2], &value[1..]].concat()).is_err());
        }
        check(&encode_position(&AT), 41, position);
        check(&encode_floor(300), 9, floor);
        check(&encode_entry(&[9; 16], &AT, b"ab").unwrap(), 59, entry);
        let large = encode_entry(&[9; 16], &AT, &vec![5; CHUNK]).unwrap();
        check(&large, large.len(), entry);
        for value in [encode_position(&AT), encode_floor(300), large.clone()] {
            let longer = [&value[..], &[0]].concat();
            assert!(position(&longer).is_err() && floor(&longer).is_err() && entry(&longer).is_err());
        }
        let too_many = [&large[..large.len() - 10], &[0, 9], &large[large.len() - 8..]].concat();
        assert!(entry(&too_many).is_err(), "its chunks do not fit its bytes");
        assert!(chunks_of(MAX_CHUNKS * CHUNK + 1).is_err());
    }
}
