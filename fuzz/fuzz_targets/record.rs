//! Frames: records, events and batches of them, heads, checkpoints, trailers, commit marks, settings, and entries of the
//! write-ahead log. The second byte of an input is the kind.
#![no_main]

use apikey_core::fuzzing::{MAX_FRAME, Stored};
use apikey_fuzz::archive::heal_frame;
use apikey_fuzz::damage::{Dice, damage};
use apikey_fuzz::memory::bounded;
use libfuzzer_sys::fuzz_target;

/// The memory that decoding may have at a time, and allocate in all.
const PEAK: usize = 4 * MAX_FRAME;
const TOTAL: usize = 2 * PEAK;

fuzz_target!(|data: &[u8]| {
    let Some(kind) = data.get(1) else { return };
    check(*kind, data);
    // With a right checksum, the same bytes reach the code behind it.
    let mut healed = data.to_vec();
    heal_frame(&mut healed);
    check(*kind, &healed);
    // As the file of a commit mark: a length before the frame, zeros behind it.
    let mut sector = (healed.len() as u16).to_le_bytes().to_vec();
    sector.extend(&healed);
    sector.resize(512, 0);
    if let Some(mark) = bounded(PEAK, TOTAL, || Stored::mark(&sector)) {
        assert!(healed.len() <= 510 && Stored::decode(b'C', &healed) == Some(mark));
    }
    bounded(PEAK, TOTAL, || Stored::mark(data));
});

fn check(kind: u8, frame: &[u8]) {
    // No frame decodes as another kind.
    for other in Stored::KINDS.into_iter().filter(|other| *other != kind) {
        assert!(decode(other, frame).is_none());
    }
    let carved = carve(kind, frame);
    let Some(value) = decode(kind, frame) else { return };
    assert!(frame.len() <= MAX_FRAME && frame[0] == 0xa9 && frame[2] == 1, "a frame that no version has written");
    assert_eq!(carved.as_ref(), Some(&value), "carved and decoded are not the same");
    // Encoded again it decodes to the same value. The bytes may differ: bincode reads numbers that are longer than needed.
    let again = value.encode().expect("what was decoded is short enough to be written");
    assert!(again.len() <= frame.len());
    assert_eq!(Stored::decode(kind, &again).as_ref(), Some(&value));
    assert_eq!(Stored::carve(kind, &[&again, frame].concat()).as_ref(), Some(&value));
    // Damage does not make another value of it.
    let mut dice = Dice::of(frame);
    for _ in 0..8 {
        let bad = damage(&again, &mut dice);
        for other in Stored::KINDS {
            if let Some(other) = decode(other, &bad) {
                assert!(bad == again && other == value, "damage made another value");
            }
        }
    }
}

fn decode(kind: u8, frame: &[u8]) -> Option<Stored> {
    let (peak, total) = (PEAK, TOTAL);
    bounded(peak, total, || Stored::decode(kind, frame))
}

fn carve(kind: u8, bytes: &[u8]) -> Option<Stored> {
    let (peak, total) = (PEAK, TOTAL);
    bounded(peak, total, || Stored::carve(kind, bytes))
}
