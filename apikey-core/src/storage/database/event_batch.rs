//! Batches of events, which the database stores as one value under the number of the first.
//!
//! sled keeps some seventeen values in a page, and the costs of writing, reading and opening go by pages, while an
//! event has some 150 bytes.

use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sled::IVec;

use crate::base::codec;
use crate::base::codec::{CodecError, MAX_ENTRIES, plain_frame};
use crate::key::error::StoreError;
use crate::storage::database::overflow;

/// The most bytes of a batch of several events, with the lengths of the frames, so that its value needs no overflow
/// chunks. A longer event has a batch of its own.
const MAX_BYTES: usize = overflow::MAX - AROUND;
/// The most bytes around the frames: the head, their count, and the checksum.
const AROUND: usize = 3 + 3 + 4;
/// The most bytes of the length of such a frame.
const LENGTH: usize = 3;

/// A key of the database and its value.
type Entry = ([u8; 8], Vec<u8>);

/// The frames of events whose numbers follow each other.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventBatch {
    #[serde(with = "codec::entries::list")]
    frames: Vec<ByteBuf>,
}

plain_frame!(EventBatch, b'B', "an event batch");

/// Packs events into values of the database, with their keys. An event that does not follow the one before it begins a
/// new batch.
pub(crate) fn pack<'a>(events: impl IntoIterator<Item = (u64, &'a [u8])>) -> Result<Vec<Entry>, CodecError> {
    let mut values = Vec::new();
    let mut batch = EventBatch::default();
    let (mut first, mut bytes) = (0u64, 0);
    for (number, frame) in events {
        let held = batch.frames.len();
        let follows = u64::try_from(held).is_ok_and(|held| first.checked_add(held) == Some(number));
        if held > 0 && (!follows || held == MAX_ENTRIES || bytes + LENGTH + frame.len() > MAX_BYTES) {
            values.push((first.to_be_bytes(), codec::encode(&std::mem::take(&mut batch))?));
        }
        if batch.frames.is_empty() {
            (first, bytes) = (number, 0);
        }
        bytes += LENGTH + frame.len();
        batch.frames.push(ByteBuf::from(frame));
    }
    if !batch.frames.is_empty() {
        values.push((first.to_be_bytes(), codec::encode(&batch)?));
    }
    Ok(values)
}

/// Unpacks the events of a value, with their numbers. This does not decode the events.
pub(crate) fn unpack(key: &[u8], value: &IVec) -> Result<Vec<(u64, IVec)>, StoreError> {
    let (first, frames) = read(key, value)?;
    Ok((first..).zip(frames).map(|(number, frame)| (number, IVec::from(frame.into_vec()))).collect())
}

/// Returns the numbers of a value's events.
pub(crate) fn numbers(key: &[u8], value: &[u8]) -> Result<RangeInclusive<u64>, StoreError> {
    let (first, frames) = read(key, value)?;
    Ok(first..=first + frames.len() as u64 - 1)
}

/// Reads the number of the first event, and at least one frame. It checks that no number exceeds the highest possible
/// one.
fn read(key: &[u8], value: &[u8]) -> Result<(u64, Vec<ByteBuf>), StoreError> {
    let invalid = |what| io::Error::new(ErrorKind::InvalidData, what);
    let first = u64::from_be_bytes(key.try_into().map_err(|_| invalid("a number of the wrong length"))?);
    let frames = codec::decode::<EventBatch>(value)?.frames;
    if frames.is_empty() || first.checked_add(MAX_ENTRIES as u64).is_none() {
        return Err(invalid("a batch that was never written").into());
    }
    Ok((first, frames))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::codec::golden;

    fn frame(byte: u8, length: usize) -> Vec<u8> {
        vec![byte; length]
    }

    fn packed(events: &[(u64, Vec<u8>)]) -> Vec<Entry> {
        pack(events.iter().map(|(number, frame)| (*number, &frame[..]))).unwrap()
    }

    fn unpacked(values: &[Entry]) -> Vec<(u64, Vec<u8>)> {
        let events = values.iter().flat_map(|(key, value)| unpack(key, &IVec::from(&value[..])).unwrap());
        events.map(|(number, frame)| (number, frame.to_vec())).collect()
    }

    #[test]
    fn golden_bytes() {
        let values = packed(&[(7, frame(1, 3)), (8, frame(2, 1)), (10, frame(3, 2))]);
        assert_eq!(values.iter().map(|(key, _)| u64::from_be_bytes(*key)).collect::<Vec<_>>(), [7, 10]);
        golden::check("events-together.bin", &values[0].1);
        golden::check("event-alone.bin", &values[1].1);
        assert_eq!(unpacked(&values), [(7, frame(1, 3)), (8, frame(2, 1)), (10, frame(3, 2))]);
    }

    #[test]
    fn a_block_is_bounded_in_bytes_and_in_events() {
        let of = |length, count: u64| packed(&(1..=count).map(|number| (number, frame(0, length))).collect::<Vec<_>>());
        let small = of(0, MAX_ENTRIES as u64 + 2);
        assert_eq!(small.iter().map(|(key, _)| u64::from_be_bytes(*key)).collect::<Vec<_>>(), [1, 513]);
        let usual = of(150, 100);
        assert_eq!(usual.len(), 4);
        for length in 0..200 {
            assert!(of(length, 600).iter().all(|(_, value)| value.len() <= overflow::MAX), "{length}");
        }
        assert_eq!(of(MAX_BYTES - LENGTH, 3).len(), 3);
        assert!(of(MAX_BYTES - LENGTH, 3).iter().all(|(_, value)| value.len() <= overflow::MAX));
        assert_eq!(of(MAX_BYTES, 3).len(), 3, "what is longer has a batch of its own");
        assert_eq!(of(0, 0), []);
    }

    #[test]
    fn what_nobody_wrote_is_an_error() {
        let batch = |frames: Vec<Vec<u8>>| {
            let frames = frames.into_iter().map(ByteBuf::from).collect();
            IVec::from(codec::encode(&EventBatch { frames }).unwrap())
        };
        let key = 7u64.to_be_bytes();
        let good = batch(vec![frame(1, 1), frame(2, 1)]);
        assert_eq!(unpack(&key, &good).unwrap().len(), 2);
        assert_eq!(numbers(&key, &good).unwrap(), 7..=8);
        assert_eq!(numbers(&key, &batch(vec![frame(1, 1)])).unwrap(), 7..=7);
        assert!(unpack(&key[1..], &good).is_err());
        assert!(unpack(&u64::MAX.to_be_bytes(), &good).is_err());
        assert!(unpack(&key, &batch(Vec::new())).is_err());
        assert!(unpack(&key, &frame(1, 1)[..].into()).is_err(), "no batch");
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            assert!(unpack(&key, &bad.into()).is_err(), "{at}");
            assert!(unpack(&key, &good[..at].into()).is_err(), "{at}");
        }
        let sealed = |head: &[u8]| IVec::from([head, &crc32fast::hash(head).to_le_bytes()].concat());
        let newer = unpack(&key, &sealed(&[codec::frame::MAGIC, b'B', 2])).unwrap_err().to_string();
        assert!(newer.contains("format 2"), "{newer}");
        let old = unpack(&key, &sealed(b"B\x01")).unwrap_err().to_string();
        assert!(old.contains("before 0.1.0"), "{old}");
    }

    proptest! {
        #[test]
        fn events_come_back(events in proptest::collection::btree_map(0u64..600, (0u8..4, 0usize..900), 0..300)) {
            let events: Vec<_> = events.into_iter().map(|(number, (byte, length))| (number, frame(byte, length))).collect();
            let values = packed(&events);
            prop_assert!(values.is_sorted_by(|one, next| one.0 < next.0));
            prop_assert_eq!(unpacked(&values), events);
        }
    }
}
