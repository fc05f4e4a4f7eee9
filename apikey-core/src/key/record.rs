//! A key in its stored form.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::idle::{IdleEnd, StoredIdle};
use crate::access::limit::StoredLimit;
use crate::access::owner::OwnerRef;
use crate::access::quota::StoredQuota;
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::tail::{Field, Tag, TailReader, TailWriter, Unknown, critical, ignorable};
use crate::base::codec::{CodecError, Frame, MAX_ENTRIES, entries};
use crate::token::digest::Digest;
use crate::token::imported::ImportForm;

/// Everything about a key except the secret itself. Times are milliseconds since 1970 UTC.
///
/// The fixed fields are, in this order: id, owner, permissions, creation, disabled, version, secrets. The tail has the
/// rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) id: u128,
    /// The tenant of the owner; `None` for an owner of none.
    pub(crate) tenant: Option<String>,
    pub(crate) owner: String,
    pub(crate) name: Option<String>,
    pub(crate) permissions: Vec<String>,
    /// The names of its roles.
    pub(crate) roles: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) created_at: i64,
    pub(crate) not_before: Option<i64>,
    pub(crate) expires_at: Option<i64>,
    pub(crate) disabled: bool,
    pub(crate) revoked: Option<Revocation>,
    /// The number of the newest secret; the first is 1.
    pub(crate) version: u32,
    /// The live secrets, oldest first: at most two, and a third while it is unknown whether a delivery succeeded. The
    /// format allows more.
    pub(crate) secrets: Vec<StoredSecret>,
    /// The last known use of an earlier secret than the current ones.
    pub(crate) used_before: Option<i64>,
    pub(crate) policy: Option<StoredPolicy>,
    pub(crate) limit: Option<StoredLimit>,
    pub(crate) quota: Option<StoredQuota>,
    /// Networks in CIDR notation; an empty list means anywhere.
    pub(crate) networks: Vec<String>,
    pub(crate) idle: Option<StoredIdle>,
    pub(crate) labels: BTreeMap<String, String>,
    /// The prefix of its tokens, if it was created with one; else each new secret has the store's default.
    pub(crate) prefix: Option<String>,
    /// The newest secret that has ended by a rotation.
    pub(crate) ended: Option<StoredEnded>,
    /// The number of the event that left it so; 0 if an earlier version wrote it.
    pub(crate) last_event: u64,
    /// Fields of later versions.
    pub(crate) unknown: Unknown,
}

const NAME: Tag = ignorable(1);
const METADATA: Tag = ignorable(2);
const NOT_BEFORE: Tag = critical(3);
const EXPIRES_AT: Tag = critical(4);
const REVOKED: Tag = critical(5);
const USED_BEFORE: Tag = ignorable(6);
const ROTATION: Tag = ignorable(7);
const LIMIT: Tag = critical(8);
const NETWORKS: Tag = critical(9);
const LABELS: Tag = critical(11);
const PREFIX: Tag = ignorable(12);
const IDLE: Tag = critical(13);
const ROLES: Tag = critical(14);
const TENANT: Tag = critical(15);
const ENDED: Tag = ignorable(16);
const QUOTA: Tag = critical(17);
const LAST_EVENT: Tag = ignorable(24);

#[derive(Serialize)]
struct Fixed<'a> {
    id: u128,
    owner: &'a str,
    #[serde(serialize_with = "entries::list::serialize")]
    permissions: &'a Vec<String>,
    created_at: i64,
    disabled: bool,
    version: u32,
}

#[derive(Deserialize)]
struct FixedRead {
    id: u128,
    owner: String,
    #[serde(with = "entries::list")]
    permissions: Vec<String>,
    created_at: i64,
    disabled: bool,
    version: u32,
}

impl Frame for Record {
    const KIND: u8 = b'K';

    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        payload.put(&Fixed {
            id: self.id,
            owner: &self.owner,
            permissions: &self.permissions,
            created_at: self.created_at,
            disabled: self.disabled,
            version: self.version,
        })?;
        if self.secrets.len() > MAX_ENTRIES {
            return Err(CodecError::TooLong(self.secrets.len()));
        }
        payload.length(self.secrets.len())?;
        self.secrets.iter().try_for_each(|secret| secret.put(payload))?;
        let mut tail = TailWriter::new(&self.unknown);
        self.name.put(NAME, &mut tail)?;
        self.metadata.put(METADATA, &mut tail)?;
        tail.put_some(NOT_BEFORE, self.not_before.as_ref())?;
        tail.put_some(EXPIRES_AT, self.expires_at.as_ref())?;
        tail.put_some(REVOKED, self.revoked.as_ref())?;
        tail.put_some(USED_BEFORE, self.used_before.as_ref())?;
        tail.put_some(ROTATION, self.policy.as_ref())?;
        tail.put_some(LIMIT, self.limit.as_ref())?;
        self.networks.put(NETWORKS, &mut tail)?;
        self.labels.put(LABELS, &mut tail)?;
        self.prefix.put(PREFIX, &mut tail)?;
        tail.put_some(IDLE, self.idle.as_ref())?;
        self.roles.put(ROLES, &mut tail)?;
        self.tenant.put(TENANT, &mut tail)?;
        tail.put_some(ENDED, self.ended.as_ref())?;
        tail.put_some(QUOTA, self.quota.as_ref())?;
        tail.put_some(LAST_EVENT, Some(&self.last_event).filter(|number| **number != 0))?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let FixedRead { id, owner, permissions, created_at, disabled, version } = payload.take()?;
        let count = payload.length()?;
        if count > MAX_ENTRIES {
            return Err(CodecError::Payload(None));
        }
        let mut secrets = Vec::new();
        for _ in 0..count {
            secrets.push(StoredSecret::take(payload)?);
        }
        let mut tail = TailReader::new(payload)?;
        Ok(Self {
            id,
            tenant: Field::take(TENANT, &mut tail)?,
            owner,
            name: Field::take(NAME, &mut tail)?,
            permissions,
            roles: Field::take(ROLES, &mut tail)?,
            metadata: Field::take(METADATA, &mut tail)?,
            created_at,
            not_before: tail.take(NOT_BEFORE)?,
            expires_at: tail.take(EXPIRES_AT)?,
            disabled,
            revoked: tail.take(REVOKED)?,
            version,
            secrets,
            used_before: tail.take(USED_BEFORE)?,
            policy: tail.take(ROTATION)?,
            limit: tail.take(LIMIT)?,
            networks: Field::take(NETWORKS, &mut tail)?,
            labels: Field::take(LABELS, &mut tail)?,
            prefix: Field::take(PREFIX, &mut tail)?,
            idle: tail.take(IDLE)?,
            ended: tail.take(ENDED)?,
            quota: tail.take(QUOTA)?,
            last_event: tail.take(LAST_EVENT)?.unwrap_or(0),
            unknown: tail.end("a record")?,
        })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Revocation {
    pub(crate) at: i64,
    pub(crate) reason: String,
}

/// A secret's slot in its record. The tail has what came later.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct StoredSecret {
    pub(crate) version: u32,
    pub(crate) digest: Digest,
    /// The number of the pepper under the digest, 0 for none.
    pub(crate) pepper: u32,
    pub(crate) form: SecretForm,
    pub(crate) created_at: i64,
    pub(crate) end: SecretEnd,
    /// Whether a caller has presented it since it succeeded another.
    pub(crate) used: bool,
    /// Whether it is an imported secret that is known to be too long to guess.
    pub(crate) is_strong: bool,
    /// Fields of later versions.
    pub(crate) unknown: Unknown,
}

/// The tag of a secret's slot.
const STRONG: Tag = ignorable(1);

impl StoredSecret {
    fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let Self { version, digest, pepper, form, created_at, end, used, is_strong, unknown } = self;
        payload.put(&(version, digest, pepper, form, created_at, end, used))?;
        let mut tail = TailWriter::new(unknown);
        is_strong.put(STRONG, &mut tail)?;
        tail.end(payload)
    }

    fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (version, digest, pepper, form, created_at, end, used) = payload.take()?;
        let mut tail = TailReader::new(payload)?;
        let is_strong = Field::take(STRONG, &mut tail)?;
        let unknown = tail.end("a secret")?;
        Ok(Self { version, digest, pepper, form, created_at, end, used, is_strong, unknown })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretForm {
    /// A secret that the store generated, in a token with this prefix.
    Own { prefix: String },
    /// A secret that another system issued.
    Imported(ImportForm),
}

impl SecretForm {
    /// The prefix of the token; an external key has none.
    pub(crate) fn prefix(&self) -> Option<&str> {
        match self {
            Self::Own { prefix } => Some(prefix),
            Self::Imported(_) => None,
        }
    }
}

/// When a secret ends, apart from the end of its key. The order of variants is the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum SecretEnd {
    /// The secret is the current one.
    Never,
    /// The secret is superseded, and valid before this time.
    At(i64),
    /// The secret is superseded, and valid until its successor is used.
    FirstUse,
    /// The secret is not the current one yet, since it waits for its delivery (see [`crate::key::rotation::pending`]).
    /// After the delivery its predecessor stays valid for `overlap_ms`, or until the first use if that is `None`. A
    /// later change of the policy does not change this.
    Pending { overlap_ms: Option<i64> },
}

/// A secret that was superseded, and has ended. Nobody can use it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEnded {
    pub(crate) version: u32,
    pub(crate) digest: Digest,
    pub(crate) pepper: u32,
    /// The form of an imported secret.
    pub(crate) imported: Option<ImportForm>,
    pub(crate) ended_at: i64,
    /// Until when the store keeps it.
    pub(crate) until: i64,
}

impl StoredEnded {
    pub(crate) fn of(secret: &StoredSecret, ended_at: i64, keep_ms: i64) -> Self {
        let imported = match secret.form {
            SecretForm::Own { .. } => None,
            SecretForm::Imported(form) => Some(form),
        };
        let StoredSecret { version, digest, pepper, .. } = *secret;
        Self { version, digest, pepper, imported, ended_at, until: ended_at.saturating_add(keep_ms) }
    }
}

/// The policy of automatic rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredPolicy {
    pub(crate) every_ms: i64,
    /// `None` means until the first use of the successor.
    pub(crate) overlap_ms: Option<i64>,
}

/// Returns what a stored record adds to the head's sum.
pub(crate) fn record_hash(frame: &[u8]) -> u128 {
    let digest: Digest = Sha256::digest(frame).into();
    digest.split_first_chunk().map_or(0, |(half, _)| u128::from_le_bytes(*half))
}

impl Record {
    /// Returns the secrets that are valid at `now`, oldest first; the last that is not pending is the current one.
    pub(crate) fn live(&self, now: i64) -> impl DoubleEndedIterator<Item = &StoredSecret> {
        self.secrets.iter().filter(move |secret| secret.is_live(now))
    }

    /// The owner, with the tenant.
    pub(crate) fn owner(&self) -> OwnerRef<'_> {
        OwnerRef { tenant: self.tenant.as_deref(), name: &self.owner }
    }

    pub(crate) fn expired(&self, now: i64) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// The idle end, as far as the record knows uses; `is_shared` says whether other stores have the key, too.
    pub(crate) fn idle_end(&self, is_shared: bool) -> Option<IdleEnd> {
        self.idle.map(|idle| idle.end(self.not_before, self.used_before, is_shared))
    }
}

impl StoredSecret {
    pub(crate) fn is_pending(&self) -> bool {
        matches!(self.end, SecretEnd::Pending { .. })
    }

    /// Whether it has a successor, and so an end or a condition that ends it.
    pub(crate) fn is_superseded(&self) -> bool {
        matches!(self.end, SecretEnd::At(_) | SecretEnd::FirstUse)
    }

    /// Whether the store keeps its digest for some time after its end: nobody can guess the secret by it.
    pub(crate) fn is_kept(&self) -> bool {
        matches!(self.form, SecretForm::Own { .. }) || self.is_strong
    }

    pub(crate) fn is_live(&self, now: i64) -> bool {
        !matches!(self.end, SecretEnd::At(end) if end <= now)
    }
}

/// Keeps the digest out of logs, as that of a secret in use.
impl std::fmt::Debug for StoredEnded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredEnded")
            .field("version", &self.version)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

/// Keeps the digest out of logs: an attacker could guess a weak imported key from it.
impl std::fmt::Debug for StoredSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredSecret").field("version", &self.version).field("end", &self.end).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::codec::{Newer, decode, encode, golden};
    use crate::token::imported::{ImportHash, ImportScheme};

    fn ended() -> StoredEnded {
        let form = ImportForm { scheme: ImportScheme::Whole, hash: ImportHash::Sha256 };
        let (ended_at, until) = (1_730_000_000_000, 1_732_592_000_000);
        StoredEnded { version: 1, digest: [3; 32], pepper: 7, imported: Some(form), ended_at, until }
    }

    /// A record with every field set, but for those that have golden files of their own.
    fn full() -> Record {
        Record {
            id: 0x0193_1a4e_7c3b_7def_8123_4567_89ab_cdef,
            tenant: Some("acme".into()),
            owner: "alice".into(),
            name: Some("ci".into()),
            permissions: vec!["orders:*".into(), "customers:read".into()],
            roles: vec!["reader".into()],
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
                    is_strong: true,
                    unknown: Unknown::default(),
                },
                StoredSecret {
                    version: 2,
                    digest: [2; 32],
                    pepper: 7,
                    form: SecretForm::Own { prefix: "ak".into() },
                    created_at: 1_740_000_000_000,
                    end: SecretEnd::Never,
                    used: false,
                    is_strong: false,
                    unknown: Unknown::default(),
                },
            ],
            used_before: Some(1_745_000_000_000),
            policy: Some(StoredPolicy { every_ms: 1, overlap_ms: None }),
            limit: Some(StoredLimit { count: 10, per_ms: 1000 }),
            quota: None,
            networks: vec!["10.0.0.0/8".into()],
            idle: None,
            labels: BTreeMap::new(),
            prefix: None,
            ended: Some(ended()),
            last_event: 0,
            unknown: Unknown::default(),
        }
    }

    /// A record without a tail.
    fn bare() -> Record {
        let mut record = full();
        record.secrets.remove(0);
        Record {
            ended: None,
            name: None,
            roles: Vec::new(),
            metadata: BTreeMap::new(),
            not_before: None,
            expires_at: None,
            disabled: false,
            revoked: None,
            used_before: None,
            policy: None,
            limit: None,
            quota: None,
            networks: Vec::new(),
            ..record
        }
    }

    fn frame(record: &Record) -> Vec<u8> {
        let frame = encode(record).unwrap();
        assert_eq!(decode::<Record>(&frame).unwrap(), *record);
        frame
    }

    #[test]
    fn golden_bytes_of_no_tail_one_field_and_all() {
        golden::check("record-bare.bin", &frame(&bare()));
        golden::check("record-one.bin", &frame(&Record { expires_at: Some(1_800_000_000_000), ..bare() }));
        golden::check("record-all.bin", &frame(&full()));
    }

    #[test]
    fn golden_bytes_of_an_idle_end() {
        let idle = Some(StoredIdle { after_ms: 7_776_000_000, since: 1_700_000_000_000 });
        golden::check("record-idle.bin", &frame(&Record { idle, ..bare() }));
    }

    #[test]
    fn golden_bytes_of_quotas() {
        let of = |count, period, offset_minutes| {
            let quota = Some(StoredQuota { count, period, offset_minutes });
            frame(&Record { quota, ..bare() })
        };
        let all = [of(10_000, 1, 0), of(1_000_000_000_000, 2, -330), of(500, 3, 0)];
        golden::check("record-quota.bin", &all.concat());
    }

    #[test]
    fn golden_bytes_of_the_last_event() {
        let all = [1, 250, u64::MAX].map(|last_event| frame(&Record { last_event, ..bare() }));
        golden::check("record-last-event.bin", &all.concat());
    }

    #[test]
    fn golden_bytes_of_labels_and_of_a_prefix() {
        let label = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let labels = BTreeMap::from([("plan", "pro"), ("region", "eu")].map(label));
        golden::check("record-labels.bin", &frame(&Record { labels, ..full() }));
        golden::check("record-prefix.bin", &frame(&Record { prefix: Some("acme_test".into()), ..bare() }));
    }

    #[test]
    fn golden_bytes_of_unknown_fields() {
        let later = |record: Record| Record { unknown: Unknown::field(ignorable(120), b"later"), ..record };
        golden::check("record-ignorable.bin", &frame(&later(full())));
        let newer = Record { unknown: Unknown::field(critical(10), b"acme"), ..bare() };
        let frame = encode(&newer).unwrap();
        golden::check("record-critical.bin", &frame);
        let error = decode::<Record>(&frame).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "a record", tag: 21 })), "{error}");
    }

    /// The four ends of a secret, and tails with an ignorable field and with a critical one.
    #[test]
    fn golden_bytes_of_secrets() {
        let ends = [
            SecretEnd::Never,
            SecretEnd::At(1_800_000_000_000),
            SecretEnd::FirstUse,
            SecretEnd::Pending { overlap_ms: Some(86_400_000) },
            SecretEnd::Pending { overlap_ms: None },
        ];
        let with = |secret: StoredSecret| Record { secrets: vec![secret], ..bare() };
        let secret = bare().secrets.remove(0);
        let all = ends.iter().flat_map(|end| frame(&with(StoredSecret { end: *end, ..secret.clone() })));
        golden::check("secret-ends.bin", &all.collect::<Vec<_>>());
        let unknown = |tag| with(StoredSecret { unknown: Unknown::field(tag, b"later"), ..secret.clone() });
        golden::check("secret-ignorable.bin", &frame(&unknown(ignorable(120))));
        let newer = encode(&unknown(critical(120))).unwrap();
        golden::check("secret-critical.bin", &newer);
        let error = decode::<Record>(&newer).unwrap_err();
        assert!(matches!(error, CodecError::Newer(Newer::Field { of: "a secret", tag: 241 })), "{error}");
    }

    /// A reader must understand every field that restricts a key.
    #[test]
    fn what_narrows_is_critical() {
        for tag in [NOT_BEFORE, EXPIRES_AT, REVOKED, LIMIT, NETWORKS, LABELS, IDLE, QUOTA] {
            assert_eq!(tag & 1, 1, "{tag}");
        }
    }

    #[test]
    fn debug_hides_digests() {
        assert!(!format!("{:?}", full()).contains("digest"));
    }
}
