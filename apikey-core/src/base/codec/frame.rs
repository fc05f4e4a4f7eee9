//! A frame: a magic byte, a kind, a format, a payload, and a CRC-32 over all of it.

use crate::base::codec::error::{CodecError, FORMAT, MAX_FRAME, Newer};
use crate::base::codec::payload::{Reader, Writer};

/// The first byte of a frame: neither ASCII, nor the first byte of any text in UTF-8.
pub(crate) const MAGIC: u8 = 0xa9;
const HEAD_BYTES: usize = 3;
const CHECK_BYTES: usize = 4;
const USUAL_FRAME: usize = 512;
/// The kinds of frames before 0.1.0. Those began with the kind, and with a format that was called 1, too.
const OLD_KINDS: &[u8; 10] = b"BCEHIJKMPT";

/// A value that is stored in a frame.
pub(crate) trait Frame: Sized {
    /// The kind, so that a frame of one kind cannot be read as another.
    const KIND: u8;

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError>;

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// Implements frames for a type whose fields are written one after the other, before a tail that is empty so far. The
/// name is for errors.
macro_rules! plain_frame {
    ($type:ty, $kind:literal, $name:literal) => {
        impl $crate::base::codec::frame::Frame for $type {
            const KIND: u8 = $kind;

            fn put(
                &self,
                payload: &mut $crate::base::codec::payload::Writer,
            ) -> Result<(), $crate::base::codec::error::CodecError> {
                payload.put(self)?;
                $crate::base::codec::tail::TailWriter::new(&Default::default()).end(payload)
            }

            fn take(
                payload: &mut $crate::base::codec::payload::Reader<'_>,
            ) -> Result<Self, $crate::base::codec::error::CodecError> {
                let value = payload.take()?;
                // This drops ignorable fields: the store replaces these frames as a whole.
                $crate::base::codec::tail::TailReader::new(payload)?.end($name)?;
                Ok(value)
            }
        }
    };
}
pub(crate) use plain_frame;

pub(crate) fn encode<T: Frame>(value: &T) -> Result<Vec<u8>, CodecError> {
    // Most frames are shorter, so this does not grow.
    let mut frame = Vec::with_capacity(USUAL_FRAME);
    frame.extend([MAGIC, T::KIND, FORMAT]);
    let mut payload = Writer::after(frame);
    value.put(&mut payload)?;
    let mut frame = payload.into_bytes();
    frame.extend(crc32fast::hash(&frame).to_le_bytes());
    if frame.len() > MAX_FRAME { Err(CodecError::TooLong(frame.len())) } else { Ok(frame) }
}

pub(crate) fn decode<T: Frame>(frame: &[u8]) -> Result<T, CodecError> {
    let length = || CodecError::Length(frame.len());
    if frame.len() > MAX_FRAME {
        return Err(length());
    }
    let (framed, check) = frame.split_last_chunk::<CHECK_BYTES>().ok_or_else(length)?;
    if crc32fast::hash(framed) != u32::from_le_bytes(*check) {
        return Err(CodecError::Checksum);
    }
    if is_old(framed) {
        return Err(CodecError::Old);
    }
    let (&[magic, kind, format], payload) = framed.split_first_chunk::<HEAD_BYTES>().ok_or_else(length)?;
    if magic != MAGIC {
        return Err(CodecError::Magic);
    }
    if kind != T::KIND {
        return Err(CodecError::Kind(kind));
    }
    match format {
        0 => return Err(CodecError::FormatZero),
        1..=FORMAT => {}
        newer => return Err(CodecError::Newer(Newer::Format(newer))),
    }
    let mut payload = Reader::new(payload);
    let value = T::take(&mut payload)?;
    payload.end()?;
    Ok(value)
}

fn is_old(framed: &[u8]) -> bool {
    matches!(framed, [kind, 1, ..] if OLD_KINDS.contains(kind))
}

/// Whether a frame of this kind may begin here: for a search that tries every place.
pub(crate) fn may_begin<T: Frame>(bytes: &[u8]) -> bool {
    matches!(bytes, [MAGIC, kind, 1..=FORMAT, ..] if *kind == T::KIND)
}

/// Finds a frame at the beginning of bytes that continue after it, in what is left of a damaged file. Returns the value
/// and the frame.
pub(crate) fn carve<T: Frame>(bytes: &[u8]) -> Option<(T, &[u8])> {
    if !may_begin::<T>(bytes) {
        return None;
    }
    let bytes = bytes.get(..MAX_FRAME).unwrap_or(bytes);
    let mut payload = Reader::new(bytes.get(HEAD_BYTES..)?);
    let value = T::take(&mut payload).ok()?;
    let (framed, rest) = bytes.split_at_checked(bytes.len().checked_sub(payload.left())?)?;
    let (check, _) = rest.split_first_chunk::<CHECK_BYTES>()?;
    let is_whole = crc32fast::hash(framed) == u32::from_le_bytes(*check);
    is_whole.then_some((value, bytes.get(..framed.len() + CHECK_BYTES)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Clone, Serialize, Deserialize)]
    struct Sample {
        text: String,
        list: Vec<u64>,
        map: BTreeMap<String, String>,
    }

    plain_frame!(Sample, b'S', "a sample");

    #[derive(Debug, Serialize, Deserialize)]
    struct Other {}

    plain_frame!(Other, b'O', "another");

    fn sample() -> Sample {
        Sample { text: "text".into(), list: vec![1, 300, u64::MAX], map: [("a".into(), "b".into())].into() }
    }

    /// A frame with a right checksum around any payload.
    fn seal(kind: u8, format: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![MAGIC, kind, format];
        frame.extend(payload);
        check(frame)
    }

    fn check(mut frame: Vec<u8>) -> Vec<u8> {
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
        assert_eq!(carve::<Sample>(&longer), Some((sample(), &frame[..])));
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
        let payload = &frame[3..frame.len() - 4];
        assert!(matches!(decode::<Sample>(&seal(b'S', 2, payload)), Err(CodecError::Newer(Newer::Format(2)))));
        assert!(matches!(decode::<Sample>(&seal(b'S', 0, payload)), Err(CodecError::FormatZero)));
        assert_eq!(carve::<Sample>(&seal(b'S', 0, payload)), None);
        let longer = [payload, &[0]].concat();
        assert!(matches!(decode::<Sample>(&seal(b'S', 1, &longer)), Err(CodecError::Payload(None))));
        assert!(encode(&Sample { text: "x".repeat(MAX_FRAME), ..sample() }).is_err());
    }

    #[test]
    fn frames_of_the_time_before_have_a_name() {
        for kind in *OLD_KINDS {
            assert!(matches!(decode::<Sample>(&check(vec![kind, 1, 7])), Err(CodecError::Old)), "{kind}");
            let mut damaged = check(vec![kind, 1, 7]);
            damaged[2] ^= 1;
            assert!(matches!(decode::<Sample>(&damaged), Err(CodecError::Checksum)));
            assert!(matches!(decode::<Sample>(&check(vec![kind, 2, 7])), Err(CodecError::Magic)));
        }
        assert!(!OLD_KINDS.contains(&MAGIC));
        assert!(matches!(decode::<Sample>(&check(b"a text".to_vec())), Err(CodecError::Magic)));
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
            let _ = carve::<Sample>(&[&[MAGIC, b'S', 1], &bytes[..]].concat());
        }
    }
}
