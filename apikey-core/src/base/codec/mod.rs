//! How things are written: a kind byte, a format version, a bincode payload and a CRC-32 over all of it.
//!
//! Decoding never panics and never holds more than four times [`MAX_FRAME`], whatever the bytes; what decodes is what was
//! written. The fuzz target `record` tests both.

pub(crate) mod entries;

use serde::{Serialize, de::DeserializeOwned};

/// The newest format this version writes and reads.
pub(crate) const FORMAT: u8 = 1;
/// The longest frame read or written, in bytes.
pub(crate) const MAX_FRAME: usize = 64 * 1024;
/// Most entries of one list or map in a frame; far above what a key may have.
pub(crate) const MAX_ENTRIES: usize = 512;
const CHECK_BYTES: usize = 4;
const USUAL_FRAME: usize = 512;

/// What a frame holds, so that one kind cannot be read as another.
pub(crate) trait Frame: Serialize + DeserializeOwned {
    const KIND: u8;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("{0} bytes are no frame")]
    Length(usize),
    #[error("the checksum does not match")]
    Checksum,
    #[error("kind {0} where another is expected")]
    Kind(u8),
    #[error("format {0} is newer than this version reads ({FORMAT})")]
    Newer(u8),
    #[error("format 0 was never written")]
    FormatZero,
    #[error("the payload does not decode")]
    Payload(#[source] Option<bincode::error::DecodeError>),
    #[error("it does not encode")]
    Encode(#[source] bincode::error::EncodeError),
    #[error("{0} bytes are more than a frame may have ({MAX_FRAME})")]
    TooLong(usize),
}

fn config() -> impl bincode::config::Config {
    // Without the limit one corrupt length aborts the process.
    bincode::config::standard().with_limit::<MAX_FRAME>()
}

pub(crate) fn encode<T: Frame>(value: &T) -> Result<Vec<u8>, CodecError> {
    // Most are shorter: it does not grow.
    let mut frame = Vec::with_capacity(USUAL_FRAME);
    frame.extend([T::KIND, FORMAT]);
    bincode::serde::encode_into_std_write(value, &mut frame, config()).map_err(CodecError::Encode)?;
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    if frame.len() > MAX_FRAME { Err(CodecError::TooLong(frame.len())) } else { Ok(frame) }
}

pub(crate) fn decode<T: Frame>(frame: &[u8]) -> Result<T, CodecError> {
    if frame.len() > MAX_FRAME {
        return Err(CodecError::Length(frame.len()));
    }
    let (framed, check) = frame.split_last_chunk::<CHECK_BYTES>().ok_or(CodecError::Length(frame.len()))?;
    let (&[kind, format], payload) = framed.split_first_chunk().ok_or(CodecError::Length(frame.len()))?;
    if crc32fast::hash(framed) != u32::from_le_bytes(*check) {
        return Err(CodecError::Checksum);
    }
    if kind != T::KIND {
        return Err(CodecError::Kind(kind));
    }
    match format {
        0 => return Err(CodecError::FormatZero),
        1..=FORMAT => {}
        newer => return Err(CodecError::Newer(newer)),
    }
    let (value, read) =
        bincode::serde::decode_from_slice(payload, config()).map_err(|error| CodecError::Payload(Some(error)))?;
    // bincode accepts trailing bytes; a frame has none.
    if read == payload.len() { Ok(value) } else { Err(CodecError::Payload(None)) }
}

/// Finds a frame at the beginning of bytes that go on behind it: for what is left of a damaged file.
pub(crate) fn carve<T: Frame>(bytes: &[u8]) -> Option<T> {
    let bytes = bytes.get(..MAX_FRAME).unwrap_or(bytes);
    let (&[kind, format], payload) = bytes.split_first_chunk()?;
    if kind != T::KIND || !(1..=FORMAT).contains(&format) {
        return None;
    }
    let (value, read) = bincode::serde::decode_from_slice(payload, config()).ok()?;
    let (framed, rest) = bytes.split_at_checked(read.checked_add(2)?)?;
    let (check, _) = rest.split_first_chunk::<CHECK_BYTES>()?;
    (crc32fast::hash(framed) == u32::from_le_bytes(*check)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Sample {
        text: String,
        list: Vec<u64>,
        map: BTreeMap<String, String>,
    }

    impl Frame for Sample {
        const KIND: u8 = b'S';
    }

    #[derive(Debug, Serialize, Deserialize)]
    struct Other {}

    impl Frame for Other {
        const KIND: u8 = b'O';
    }

    fn sample() -> Sample {
        Sample { text: "text".into(), list: vec![1, 300, u64::MAX], map: [("a".into(), "b".into())].into() }
    }

    /// A frame with a right checksum around any payload.
    fn seal(kind: u8, format: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![kind, format];
        frame.extend(payload);
        frame.extend(crc32fast::hash(&frame).to_le_bytes());
        frame
    }

    #[test]
    fn values_come_back() {
        assert_eq!(decode::<Sample>(&encode(&sample()).unwrap()).unwrap(), sample());
    }

    #[test]
    fn a_frame_is_found_where_more_follows_it() {
        let frame = encode(&sample()).unwrap();
        let longer = [&frame[..], b"more"].concat();
        assert_eq!(carve::<Sample>(&longer), Some(sample()));
        assert_eq!(carve::<Sample>(&frame[..frame.len() - 1]), None);
        assert_eq!(carve::<Sample>(&longer[1..]), None);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let frame = encode(&sample()).unwrap();
        for bit in 0..frame.len() * 8 {
            let mut bad = frame.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(decode::<Sample>(&bad).is_err(), "{bit}");
        }
        for length in 0..frame.len() {
            assert!(decode::<Sample>(&frame[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn kinds_formats_and_rests_are_told_apart() {
        let frame = encode(&sample()).unwrap();
        assert!(matches!(decode::<Other>(&frame), Err(CodecError::Kind(b'S'))));
        let payload = &frame[2..frame.len() - 4];
        assert!(matches!(decode::<Sample>(&seal(b'S', 2, payload)), Err(CodecError::Newer(2))));
        assert!(matches!(decode::<Sample>(&seal(b'S', 0, payload)), Err(CodecError::FormatZero)));
        assert_eq!(carve::<Sample>(&seal(b'S', 0, payload)), None);
        let longer = [payload, &[0]].concat();
        assert!(matches!(decode::<Sample>(&seal(b'S', 1, &longer)), Err(CodecError::Payload(None))));
        assert!(encode(&Sample { text: "x".repeat(MAX_FRAME), ..sample() }).is_err());
    }

    #[test]
    fn a_hostile_length_is_an_error() {
        // A text of 2^64-1 bytes: without the limit the process would abort.
        let payload = [0xfd, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert!(decode::<Sample>(&seal(b'S', 1, &payload)).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(decode::<Sample>(&bytes).is_err());
            let _ = decode::<Sample>(&seal(b'S', 1, &bytes));
            let _ = carve::<Sample>(&[b"S\x01", &bytes[..]].concat());
        }
    }
}
