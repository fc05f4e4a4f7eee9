//! What a record gives to each of its secrets: the part of the record that a verification needs.

use crate::access::identity;
use crate::access::identity::Identity;
use crate::base::interner::{Full, IDENTITIES};
use crate::base::time::earlier;
use crate::key::allowance::Allowance;
use crate::key::lifetime::Lifetime;
use crate::key::record::{Record, SecretEnd, SecretForm, StoredEnded, StoredSecret};
use crate::key::rotation::ended;
use crate::token::digest::Digest;
use crate::token::imported::ImportForm;

/// A key as its record gives it: its allowance and its secrets.
#[derive(Clone)]
pub(crate) struct EffectiveKey {
    pub(crate) id: u128,
    pub(crate) allowance: Allowance,
    pub(crate) secrets: Vec<EffectiveSecret>,
    /// The newest secret that has ended by a rotation, and the newest that will at a known time. They give nothing.
    pub(crate) ended: Vec<StoredEnded>,
}

/// One secret of an effective key.
#[derive(Clone)]
pub(crate) struct EffectiveSecret {
    pub(crate) digest: Digest,
    pub(crate) pepper: u32,
    /// The form of an imported secret.
    pub(crate) imported: Option<ImportForm>,
    /// The number in [`IDENTITIES`] of what a handler reads of the key, with the prefix of this secret.
    pub(crate) identity: u32,
    pub(crate) version: u32,
    pub(crate) end: SecretEnd,
    /// When the store's bound on lifetimes ends the secret, as if its key expired.
    pub(crate) latest: Option<i64>,
    /// The history does not have the secret's first use yet.
    pub(crate) unused: bool,
    /// The predecessor, if the secret's first use ends it.
    pub(crate) ends: Option<Digest>,
}

impl EffectiveKey {
    /// `default` is the store's prefix of new tokens.
    pub(crate) fn of(record: &Record, lifetime: Lifetime, default: Option<&str>) -> Result<Self, Full> {
        Self::with(record, lifetime, default, |identity| IDENTITIES.number(identity))
    }

    /// The same for one record of many. The identities are readable after
    /// [`Interner::finish`](crate::base::interner::Interner::finish).
    pub(crate) fn of_many(record: &Record, lifetime: Lifetime, default: Option<&str>) -> Result<Self, Full> {
        Self::with(record, lifetime, default, |identity| IDENTITIES.pack(identity))
    }

    fn with(
        record: &Record,
        lifetime: Lifetime,
        default: Option<&str>,
        number: impl Fn(&str) -> Result<u32, Full>,
    ) -> Result<Self, Full> {
        let identity_with = |prefix: Option<&str>| {
            let Record { name, labels, .. } = record;
            number(&Identity { owner: record.owner(), prefix, name: name.as_deref(), labels }.text())
        };
        let newest = record.secrets.last().and_then(|secret| prefix_of(secret, default));
        let identity = identity_with(newest)?;
        let secrets = record.secrets.iter().enumerate().map(|(at, secret)| {
            let older = record.secrets.get(..at).unwrap_or_default();
            let unused = !secret.used && (!older.is_empty() || secret.is_pending());
            let prefix = prefix_of(secret, default);
            Ok(EffectiveSecret {
                digest: secret.digest,
                pepper: secret.pepper,
                imported: match secret.form {
                    SecretForm::Own { .. } => None,
                    SecretForm::Imported(form) => Some(form),
                },
                // The secrets of most keys have one prefix.
                identity: if prefix == newest { identity } else { identity_with(prefix)? },
                version: secret.version,
                end: secret.end,
                latest: lifetime.end_of(record, secret),
                unused,
                ends: ended_by(secret, older).filter(|_| unused).map(|older| older.digest),
            })
        });
        let secrets = secrets.collect::<Result<_, Full>>()?;
        let allowance = Allowance::of(record, lifetime, identity)?;
        let ended = record.ended.iter().cloned().chain(ended::upcoming(record, lifetime.keep_ended)).collect();
        Ok(Self { id: record.id, allowance, secrets, ended })
    }

    /// Returns what this and a later state of the same key both allow. The index restricts a key to this at once; what
    /// the later state adds waits for the disk.
    pub(crate) fn meet(&self, later: &Self) -> Result<Self, Full> {
        // Only a rotation moves the end of a secret, and the end moves once the new secret is on disk.
        let kept = |secret: &EffectiveSecret| {
            let kept = later.secrets.iter().find(|kept| kept.digest == secret.digest)?;
            let met = identity::meet(secret.identity, kept.identity);
            Some(met.map(|identity| EffectiveSecret { identity, ..secret.clone() }))
        };
        Ok(Self {
            id: self.id,
            allowance: self.allowance.meet(&later.allowance)?,
            secrets: self.secrets.iter().filter_map(kept).collect::<Result<_, Full>>()?,
            ended: self.ended.clone(),
        })
    }

    /// Whether this allows anything that `after` does not.
    pub(crate) fn loses(&self, after: &Self) -> bool {
        self.secrets.iter().any(|old| !after.secrets.iter().any(|new| new.digest == old.digest))
            || self.allowance.loses(&after.allowance)
    }

    /// When the key ends for one of its secrets.
    pub(crate) fn end_for(&self, secret: &EffectiveSecret) -> Option<i64> {
        earlier(self.allowance.expires_at, secret.latest)
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.secrets.iter().map(|secret| secret.digest).collect()
    }
}

/// The prefix of a secret in its identity: see [`Identity::prefix`].
fn prefix_of<'r>(secret: &'r StoredSecret, default: Option<&str>) -> Option<&'r str> {
    match &secret.form {
        SecretForm::Own { prefix } => Some(prefix.as_str()).filter(|prefix| Some(*prefix) != default),
        SecretForm::Imported(_) => Some(""),
    }
}

/// The older secret that the first use of this one ends.
fn ended_by<'r>(secret: &StoredSecret, older: &'r [StoredSecret]) -> Option<&'r StoredSecret> {
    match secret.end {
        // The first use makes it the current secret, and begins the overlap with which it was staged.
        SecretEnd::Pending { overlap_ms: None } => older.iter().rfind(|older| !older.is_pending()),
        SecretEnd::Pending { overlap_ms: Some(_) } => None,
        _ => older.last().filter(|older| older.end == SecretEnd::FirstUse),
    }
}
