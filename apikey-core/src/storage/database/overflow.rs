//! Large records and event batches, with overflow chunks.
//!
//! Up to seventeen values share a page of sled, and a page of more than 128 KiB goes into a file of its own. sled does
//! not sync that file before the log that names it, and recovery skips a name whose file is damaged, so a power cut
//! could leave half of a transaction. So values stay small enough for small pages: of a record or an event batch of
//! more than [`MAX`] bytes, its own value has only the first bytes, after a byte with which no frame begins, the length
//! and the checksum; the others are in chunks.

use std::io;

use crate::base::codec::MAX_FRAME;

/// The most bytes of one value.
pub(crate) const MAX: usize = 4096;
/// The first byte of such a value; no frame begins with it.
const MARK: u8 = b'k';
const HEAD: usize = 1 + 4 + 4;

/// The id of an event batch among the chunks. No key has such an id, since a key's id begins with a time.
pub(crate) fn id_of_batch(first: u64) -> [u8; 16] {
    (u128::from(u64::MAX) << 64 | u128::from(first)).to_be_bytes()
}

/// Returns the value under the record's own key.
pub(crate) fn inline(frame: &[u8]) -> Vec<u8> {
    let Some((head, _)) = frame.split_at_checked(MAX).filter(|(_, rest)| !rest.is_empty()) else {
        return frame.to_vec();
    };
    // A frame is far shorter than this.
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
    [&[MARK], &length.to_le_bytes()[..], &crc32fast::hash(frame).to_le_bytes(), head].concat()
}

/// Returns the overflow chunks, with their keys.
pub(crate) fn chunks(id: [u8; 16], frame: &[u8]) -> impl Iterator<Item = ([u8; 17], &[u8])> {
    let rest = frame.get(MAX..).unwrap_or_default();
    (1..).map_while(move |number| Some(key(id, number))).zip(rest.chunks(MAX))
}

/// Returns the keys of the overflow chunks that belong to a record's value.
pub(crate) fn keys(id: [u8; 16], first: &[u8]) -> impl Iterator<Item = [u8; 17]> + use<> {
    let chunks = length(first).map_or(0, |length| length.min(MAX_FRAME).div_ceil(MAX));
    (1..chunks).filter_map(move |number| Some(key(id, u8::try_from(number).ok()?)))
}

/// Joins a frame from its value and its chunks; `None` if the value is the whole frame.
pub(crate) fn join<E: From<io::Error>, B: AsRef<[u8]>>(
    id: [u8; 16],
    first: &[u8],
    mut chunk: impl FnMut([u8; 17]) -> Result<Option<B>, E>,
) -> Result<Option<Vec<u8>>, E> {
    let Some(length) = length(first) else { return Ok(None) };
    let damaged = |what: &str| E::from(io::Error::new(io::ErrorKind::InvalidData, what));
    if length > MAX_FRAME {
        return Err(damaged("a value with overflow chunks is too long"));
    }
    let mut frame = Vec::with_capacity(length);
    frame.extend_from_slice(first.get(HEAD..).unwrap_or_default());
    for key in keys(id, first) {
        frame.extend_from_slice(chunk(key)?.ok_or_else(|| damaged("an overflow chunk is missing"))?.as_ref());
    }
    // The chunks can be of two states of the record, if it changes during the read.
    let checksum = first.get(5..HEAD).is_some_and(|checksum| *checksum == crc32fast::hash(&frame).to_le_bytes());
    if frame.len() == length && checksum { Ok(Some(frame)) } else { Err(damaged("the parts of a record do not fit")) }
}

fn key(id: [u8; 16], number: u8) -> [u8; 17] {
    let mut key = [number; 17];
    key[..16].copy_from_slice(&id);
    key
}

/// Returns the length of the whole frame, if the value is the first of several parts.
fn length(first: &[u8]) -> Option<usize> {
    let (mark, rest) = first.split_first()?;
    let length = rest.first_chunk::<4>().filter(|_| *mark == MARK)?;
    usize::try_from(u32::from_le_bytes(*length)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const ID: [u8; 16] = [7; 16];

    fn frame(length: usize) -> Vec<u8> {
        std::iter::once(b'K').chain((1..=250).cycle().take(length - 1)).collect()
    }

    #[test]
    fn a_frame_of_any_length_is_whole_again() {
        for length in [1, 100, MAX - 1, MAX, MAX + 1, 2 * MAX, 2 * MAX + 1, 32 * 1024, MAX_FRAME] {
            let frame = frame(length);
            let place = inline(&frame);
            assert!(place.len() <= MAX + HEAD);
            let parts: BTreeMap<_, _> = chunks(ID, &frame).map(|(key, part)| (key, part.to_vec())).collect();
            assert!(parts.values().all(|part| part.len() <= MAX));
            assert_eq!(parts.keys().copied().collect::<Vec<_>>(), keys(ID, &place).collect::<Vec<_>>());
            let joined = join(ID, &place, |key| Ok::<_, io::Error>(parts.get(&key))).unwrap();
            assert_eq!(joined.unwrap_or(place), frame);
        }
    }

    #[test]
    fn what_does_not_fit_is_damage() {
        let frame = frame(3 * MAX);
        let place = inline(&frame);
        let parts: BTreeMap<_, _> = chunks(ID, &frame).map(|(key, part)| (key, part.to_vec())).collect();
        let kind = |place: &[u8], part: &dyn Fn([u8; 17]) -> Option<Vec<u8>>| {
            join(ID, place, |key| Ok::<_, io::Error>(part(key))).unwrap_err().kind()
        };
        assert_eq!(kind(&place, &|_| None), io::ErrorKind::InvalidData);
        assert_eq!(kind(&place, &|key| parts.get(&key).map(|part| part[1..].to_vec())), io::ErrorKind::InvalidData);
        let swapped = |key: [u8; 17]| parts.values().find(|part| *part != &parts[&key]).cloned();
        assert_eq!(kind(&place, &swapped), io::ErrorKind::InvalidData);
        assert_eq!(kind(&[MARK, 255, 255, 255, 255], &|_| Some(vec![0])), io::ErrorKind::InvalidData);
        assert_eq!(join(ID, &[MARK, 1], |_| Ok::<_, io::Error>(None::<Vec<u8>>)).unwrap(), None, "no frame, no parts");
    }
}
