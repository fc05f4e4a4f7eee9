//! Damage to bytes, chosen by a number, so that the same input always makes the same damage.

/// SplitMix64: small, and good enough to choose places.
pub struct Dice(u64);

impl Dice {
    /// Numbers that depend on the input.
    pub fn of(data: &[u8]) -> Self {
        Self(u64::from(crc32fast::hash(data)) << 32 | data.len() as u64)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }
}

/// The bytes, damaged in one way: bits flipped, bytes changed, a piece removed or doubled, or the end truncated.
pub fn damage(whole: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    if bytes.is_empty() {
        return bytes;
    }
    let at = dice.below(bytes.len());
    let length = 1 + dice.below((bytes.len() - at).min(32));
    match dice.below(5) {
        0 => (0..=dice.below(4)).for_each(|_| {
            let at = dice.below(bytes.len());
            bytes[at] ^= 1 << dice.below(8);
        }),
        1 => bytes[at..at + length].iter_mut().for_each(|byte| *byte = dice.roll() as u8),
        2 => drop(bytes.drain(at..at + length)),
        3 => {
            let piece = bytes[at..at + length].to_vec();
            bytes.splice(at..at, piece);
        }
        _ => bytes.truncate(at),
    }
    bytes
}
