//! What happened to a key: one event a change, numbered without gaps and chained.

use std::io;

use serde::{Deserialize, Serialize};

use crate::base::codec::{Frame, entries};
use crate::token::digest::Digest;

/// A change as history keeps it. The order of fields is the stored format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// 1 for the first change of the store.
    pub(crate) number: u64,
    /// Milliseconds since 1970 UTC.
    pub(crate) at: i64,
    /// Who did it, where that was told.
    pub(crate) actor: Option<String>,
    pub(crate) key: u128,
    pub(crate) kind: EventKind,
    /// The digest of the event before, zeros for the first.
    pub(crate) previous: Digest,
    /// The pepper under which this event is digested for the next, 0 for none.
    pub(crate) pepper: u32,
}

impl Frame for Event {
    const KIND: u8 = b'E';
}

/// The order of variants is the stored format: new ones go to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum EventKind {
    Created,
    Imported,
    /// Which fields were set.
    Updated(#[serde(with = "entries::list")] Vec<String>),
    /// The version of the new secret; when the old ones end: at once (`None`), at a time, or at the first use.
    Rotated {
        version: u32,
        ends: Option<crate::key::record::SecretEnd>,
    },
    /// A new secret was used for the first time.
    FirstUsed {
        version: u32,
    },
    /// Superseded secrets were erased after their end.
    SecretsErased,
    Revoked {
        reason: String,
    },
    Purged,
    /// The store was restored; `key` is 0. The number its backup had, and that of the store it took the place of.
    Restored {
        backup: u64,
        old: Option<u64>,
    },
    /// A key lost in a restored store what the old one showed it had lost.
    Reapplied {
        revoked: bool,
        disabled: bool,
        /// Versions of secrets that ended.
        #[serde(with = "entries::list")]
        ended: Vec<u32>,
        /// Its permissions, its time, its limit or its networks became less.
        narrowed: bool,
    },
    /// The store was put together from a damaged one; `key` is 0.
    Salvaged {
        records: u64,
        events: u64,
    },
    /// A new secret of a key that rotates itself is good, and waits for its delivery.
    Staged {
        version: u32,
        /// Secrets that waited before it, and are no more.
        #[serde(with = "entries::list")]
        ended: Vec<u32>,
    },
    /// A secret that waited has become the current one.
    Promoted {
        version: u32,
        /// When the one before ends.
        end: crate::key::record::SecretEnd,
        #[serde(with = "entries::list")]
        ended: Vec<u32>,
        /// By its first use, and not by its delivery.
        used: bool,
    },
    /// The key leaked: every secret ended, and a new one was made.
    Replaced {
        version: u32,
        reason: String,
    },
    /// An operator put the store's time back to that of its clock; `key` is 0. The times before and after.
    ClockAccepted {
        from: i64,
        to: i64,
    },
}

/// Where history stands: written with every event, in the same transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Head {
    /// Number of the last event.
    pub(crate) number: u64,
    /// Its digest.
    pub(crate) digest: Digest,
    /// How many records there are.
    pub(crate) records: u64,
    /// Sum, modulo 2^128, of the first 16 bytes of the SHA-256 of every stored record.
    pub(crate) sum: u128,
    /// The highest id ever given.
    pub(crate) last_id: u128,
}

impl Frame for Head {
    const KIND: u8 = b'H';
}

impl Head {
    /// Counts one event more. Only who wrote a number into the files has none left.
    pub(crate) fn count(&mut self) -> io::Result<()> {
        let next = self.number.checked_add(1);
        self.number =
            next.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number is left for another event"))?;
        Ok(())
    }
}

/// The last event that was purged: where the chain of those that are left begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    pub(crate) number: u64,
    pub(crate) digest: Digest,
}

impl Frame for Checkpoint {
    const KIND: u8 = b'P';
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{decode, encode};
    use crate::key::record::SecretEnd;

    #[test]
    fn golden_bytes() {
        let kinds = [
            EventKind::Created,
            EventKind::Imported,
            EventKind::Updated(vec!["name".into()]),
            EventKind::Rotated { version: 2, ends: Some(SecretEnd::FirstUse) },
            EventKind::FirstUsed { version: 2 },
            EventKind::SecretsErased,
            EventKind::Revoked { reason: "leaked".into() },
            EventKind::Purged,
        ];
        let mut all = Vec::new();
        for (number, kind) in (1..).zip(kinds) {
            let event = Event {
                number,
                at: 1_700_000_000_000,
                actor: Some("root".into()),
                key: 1 << 100,
                kind,
                previous: [9; 32],
                pepper: 3,
            };
            let frame = encode(&event).unwrap();
            assert_eq!(decode::<Event>(&frame).unwrap(), event);
            all.extend(frame);
        }
        let head = Head { number: 8, digest: [1; 32], records: 2, sum: u128::MAX, last_id: 1 << 100 };
        all.extend(encode(&head).unwrap());
        assert_eq!(all, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events-v1.bin")));
    }

    /// The kinds of automatic rotation; written by version 0.1.0.
    #[test]
    fn golden_bytes_of_rotation() {
        let kinds = [
            EventKind::Staged { version: 300, ended: vec![2, 299] },
            EventKind::Promoted { version: 300, end: SecretEnd::At(5), ended: vec![3], used: true },
            EventKind::Promoted { version: 4, end: SecretEnd::FirstUse, ended: vec![], used: false },
            EventKind::Replaced { version: 5, reason: "leaked".into() },
        ];
        let mut all = Vec::new();
        for (number, kind) in (1..).zip(kinds) {
            let event = Event { number, at: 1, actor: None, key: 7, kind, previous: [9; 32], pepper: 0 };
            let frame = encode(&event).unwrap();
            assert_eq!(decode::<Event>(&frame).unwrap(), event);
            all.extend(frame);
        }
        assert_eq!(all, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events-v1-rotation.bin")));
    }

    /// Written by version 0.1.0.
    #[test]
    fn golden_bytes_of_the_clock() {
        let kind = EventKind::ClockAccepted { from: 2_000_000_000_000, to: 1_700_000_000_000 };
        let actor = Some("uid:0".into());
        let event = Event { number: 9, at: 1_700_000_000_000, actor, key: 0, kind, previous: [9; 32], pepper: 0 };
        let frame = encode(&event).unwrap();
        assert_eq!(decode::<Event>(&frame).unwrap(), event);
        assert_eq!(frame, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events-v1-clock.bin")));
    }

    /// Kinds that came after the first ones, and the checkpoint; written by version 0.1.0.
    #[test]
    fn golden_bytes_of_later_kinds() {
        let kinds = [
            EventKind::Restored { backup: 300, old: Some(301) },
            EventKind::Reapplied { revoked: true, disabled: false, ended: vec![1, 2], narrowed: true },
            EventKind::Salvaged { records: 5, events: 6 },
        ];
        let mut all = Vec::new();
        for (number, kind) in (1..).zip(kinds) {
            let event = Event { number, at: 1, actor: None, key: 0, kind, previous: [9; 32], pepper: 0 };
            let frame = encode(&event).unwrap();
            assert_eq!(decode::<Event>(&frame).unwrap(), event);
            all.extend(frame);
        }
        all.extend(encode(&Checkpoint { number: 3, digest: [7; 32] }).unwrap());
        assert_eq!(all, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/events-v1-later.bin")));
    }
}
