//! A key as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::limit::StoredLimit;
use crate::base::codec::{Frame, entries};
use crate::token::digest::Digest;
use crate::token::imported::ImportForm;

/// Everything about a key but the secret itself. Times are milliseconds since 1970 UTC.
///
/// The order of fields is the stored format (bincode): it changes only with the format version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) id: u128,
    pub(crate) owner: String,
    pub(crate) name: Option<String>,
    #[serde(with = "entries::list")]
    pub(crate) permissions: Vec<String>,
    #[serde(with = "entries::map")]
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: i64,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) disabled: bool,
    pub(crate) revoked: Option<Revocation>,
    /// The number of the newest secret; the first is 1.
    pub(crate) version: u32,
    /// The live secrets, oldest first: at most two, and a third while a delivery is in doubt. The format takes more.
    #[serde(with = "entries::list")]
    pub(crate) secrets: Vec<StoredSecret>,
    /// Last known time of use before the current secrets.
    pub(crate) used_before: Option<i64>,
    pub(crate) policy: Option<StoredPolicy>,
    pub(crate) limit: Option<StoredLimit>,
    /// Networks in CIDR notation; none means anywhere.
    #[serde(with = "entries::list")]
    pub(crate) networks: Vec<String>,
}

impl Frame for Record {
    const KIND: u8 = b'K';
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) at: i64,
    pub(crate) reason: String,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredSecret {
    pub(crate) version: u32,
    pub(crate) digest: Digest,
    /// The number of the pepper under the digest, 0 for none.
    pub(crate) pepper: u32,
    pub(crate) form: SecretForm,
    pub(crate) created_at: i64,
    pub(crate) end: SecretEnd,
    /// Whether it was presented since it succeeded another.
    pub(crate) used: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretForm {
    /// One of the store's own, written with this prefix.
    Own { prefix: String },
    /// Issued elsewhere.
    Imported(ImportForm),
}

/// When a secret stops being good, apart from the end of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretEnd {
    /// It is the current one.
    Never,
    /// It is superseded, and good before this time.
    At(i64),
    /// It is superseded, and good until its successor is used.
    FirstUse,
    /// It is not the current one yet: it waits for its delivery, see [`crate::key::pending`]. How long its predecessor stays
    /// good from then on; `None`: until its first use.
    ///
    /// A variant here, and not a field beside: records have no room for one, and bytes without it stay what they were. The
    /// overlap is in it, so that what was staged ends as it began, whatever becomes of the policy.
    Pending { overlap_ms: Option<i64> },
}

/// Automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPolicy {
    pub(crate) every_ms: i64,
    /// `None`: until the first use of the successor.
    pub(crate) overlap_ms: Option<i64>,
}

/// What a record, as it is stored, adds to the head's sum.
pub(crate) fn record_hash(frame: &[u8]) -> u128 {
    let digest: Digest = Sha256::digest(frame).into();
    digest.split_first_chunk().map_or(0, |(half, _)| u128::from_le_bytes(*half))
}

impl Record {
    /// The secrets that are good at `now`, oldest first; the last that is not pending is the current one.
    pub(crate) fn live(&self, now: i64) -> impl DoubleEndedIterator<Item = &StoredSecret> {
        self.secrets.iter().filter(move |secret| secret.is_live(now))
    }

    pub(crate) fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

impl StoredSecret {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.end, SecretEnd::Pending { .. })
    }

    /// Whether it has a successor, and an end or a condition for one.
    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self.end, SecretEnd::At(_) | SecretEnd::FirstUse)
    }

    pub(crate) fn is_live(&self, now: i64) -> bool {
        !matches!(self.end, SecretEnd::At(end) if end <= now)
    }
}

/// The digest stays out of logs: with a weak imported key it could be guessed from.
impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSecret").field("version", &self.version).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{decode, encode};
    use crate::token::imported::{ImportHash, ImportScheme};

    /// A record with every field set.
    fn full() -> Record {
        Record {
            id: 0x0193_1a4e_7c3b_7def_8123_4567_89ab_cdef,
            owner: "alice".into(),
            name: Some("ci".into()),
            permissions: vec!["orders:*".into(), "customers:read".into()],
            metadata: [("team".into(), "blue".into())].into(),
            created_at: 1_700_000_000_000,
            not_before: Some(-1),
            expires_at: Some(1_800_000_000_000),
            disabled: true,
            revoked: Some(Revocation { at: 1_750_000_000_000, reason: "leaked".into() }),
            version: 2,
            secrets: vec![
                StoredSecret {
                    version: 1,
                    digest: [1; 32],
                    pepper: 0,
                    form: SecretForm::Imported(ImportForm {
                        scheme: ImportScheme::AfterPipe,
                        hash: ImportHash::Sha512,
                    }),
                    created_at: 1_700_000_000_000,
                    end: SecretEnd::At(1_750_000_000_000),
                    used: true,
                },
                StoredSecret {
                    version: 2,
                    digest: [2; 32],
                    pepper: 7,
                    form: SecretForm::Own { prefix: "ak".into() },
                    created_at: 1_740_000_000_000,
                    end: SecretEnd::Never,
                    used: false,
                },
            ],
            used_before: Some(1_745_000_000_000),
            policy: Some(StoredPolicy { every_ms: 1, overlap_ms: None }),
            limit: Some(StoredLimit { count: 10, per_ms: 1000 }),
            networks: vec!["10.0.0.0/8".into()],
        }
    }

    /// The stored format, for ever: these bytes were written by version 0.1.0.
    #[test]
    fn golden_bytes() {
        let golden = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/record-v1.bin"));
        assert_eq!(encode(&full()).unwrap(), golden);
        assert_eq!(decode::<Record>(golden).unwrap(), full());
    }

    /// What version 0.1.0 writes for a secret that waits for its delivery: the end of a secret, in its two forms.
    #[test]
    fn golden_bytes_of_pending() {
        let ends = |end: SecretEnd| {
            let mut record = full();
            record.secrets[1].end = end;
            let frame = encode(&record).unwrap();
            assert_eq!(decode::<Record>(&frame).unwrap(), record);
            frame
        };
        let mut all = ends(SecretEnd::Pending { overlap_ms: Some(86_400_000) });
        all.extend(ends(SecretEnd::Pending { overlap_ms: None }));
        assert_eq!(all, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/record-v1-pending.bin")));
    }

    #[test]
    fn debug_hides_digests() {
        assert!(!format!("{:?}", full()).contains("digest"));
    }
}
