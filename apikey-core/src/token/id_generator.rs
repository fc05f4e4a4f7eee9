//! Fresh ids: UUIDv7 that strictly increase within a store.

use std::io;

use crate::token::key_id::KeyId;

const RANDOM_BITS: u32 = 74;
const LAST_MILLISECOND: u64 = (1 << 48) - 1;

/// Generates ids from the later of the clock and the last id, so that they increase even when the clock is set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdSource {
    /// Milliseconds, then 74 bits: an id without version and variant.
    last: u128,
}

impl IdSource {
    /// Creates a source whose ids come after `last`.
    pub(crate) fn after(last: Option<KeyId>) -> Self {
        Self { last: last.map_or(0, |id| squeeze(id.as_u128())) }
    }

    /// Continues after an id from elsewhere, if that is later.
    pub(crate) fn pass(&mut self, id: KeyId) {
        self.last = self.last.max(squeeze(id.as_u128()));
    }

    pub(crate) fn next(&mut self, now_ms: i64) -> io::Result<KeyId> {
        let mut random = [0u8; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let random = u128::from_le_bytes(random);
        let now = u64::try_from(now_ms).unwrap_or(0).min(LAST_MILLISECOND);
        // Half of the random space is left above the first id of a millisecond.
        let fresh = (u128::from(now) << RANDOM_BITS) | (random & ((1 << (RANDOM_BITS - 1)) - 1));
        // Within a millisecond, or behind a clock set back: a random step, so that ids stay hard to guess.
        let step = self.last + 1 + (random >> 96);
        self.last = fresh.max(step).min((1 << 122) - 1);
        Ok(KeyId::from_u128(stretch(self.last)))
    }
}

/// Puts version 7 and variant 2 (RFC 9562) into 122 bits; order is kept.
fn stretch(bits: u128) -> u128 {
    let millis = bits >> RANDOM_BITS;
    let high = (bits >> 62) & 0xfff;
    let low = bits & ((1 << 62) - 1);
    (millis << 80) | (7 << 76) | (high << 64) | (2 << 62) | low
}

fn squeeze(id: u128) -> u128 {
    let low = id & ((1 << 62) - 1);
    let high = (id >> 64) & 0xfff;
    ((id >> 80) << RANDOM_BITS) | (high << 62) | low
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ids_are_uuid_version_7() {
        let id = IdSource::after(None).next(1_700_000_000_000).unwrap().as_uuid();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_variant(), uuid::Variant::RFC4122);
        let (seconds, nanos) = id.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos), (1_700_000_000, 0));
    }

    proptest! {
        #[test]
        fn ids_increase_whatever_the_clock_does(times in proptest::collection::vec(-5i64..5, 1..200)) {
            let mut source = IdSource::after(None);
            let mut last = None;
            for time in times {
                let id = source.next(time).unwrap();
                prop_assert!(last < Some(id));
                last = Some(id);
                // Reopened.
                source = IdSource::after(last);
            }
        }

        #[test]
        fn squeezing_undoes_stretching(bits in 0u128..(1 << 122)) {
            prop_assert_eq!(squeeze(stretch(bits)), bits);
        }
    }
}
