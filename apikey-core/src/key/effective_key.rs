//! What a record gives: the part of it that verification looks at.

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::base::interner::{Full, GRANTS, OWNERS};
use crate::key::lifetime::Lifetime;
use crate::key::record::{Record, SecretEnd, SecretForm, StoredSecret};
use crate::token::digest::Digest;
use crate::token::imported::ImportForm;

#[derive(Clone)]
pub(crate) struct EffectiveKey {
    pub(crate) id: u128,
    /// Number in [`OWNERS`].
    pub(crate) owner: u32,
    /// Number in [`GRANTS`].
    pub(crate) grants: u32,
    pub(crate) revoked: bool,
    pub(crate) disabled: bool,
    pub(crate) expires_at: Option<i64>,
    pub(crate) not_before: Option<i64>,
    pub(crate) limit: Option<Limit>,
    /// The number of its set of networks.
    pub(crate) networks: u32,
    pub(crate) secrets: Vec<EffectiveSecret>,
}

#[derive(Clone)]
pub(crate) struct EffectiveSecret {
    pub(crate) digest: Digest,
    pub(crate) pepper: u32,
    /// How to read it, if it was issued elsewhere.
    pub(crate) imported: Option<ImportForm>,
    pub(crate) version: u32,
    pub(crate) end: SecretEnd,
    /// When the store's bound on lifetimes ends it: told as the end of its key.
    pub(crate) latest: Option<i64>,
    /// Its first use is to be recorded.
    pub(crate) unused: bool,
    /// The secret that its first use ends.
    pub(crate) ends: Option<Digest>,
}

impl EffectiveKey {
    pub(crate) fn of(record: &Record, lifetime: Lifetime) -> Result<Self, Full> {
        Self::with_owner(record, lifetime, OWNERS.number(&record.owner)?)
    }

    /// The same for one record of many; owners can be read after [`Interner::finish`](crate::base::interner::Interner::finish).
    pub(crate) fn of_many(record: &Record, lifetime: Lifetime) -> Result<Self, Full> {
        Self::with_owner(record, lifetime, OWNERS.pack(&record.owner)?)
    }

    fn with_owner(record: &Record, lifetime: Lifetime, owner: u32) -> Result<Self, Full> {
        let secrets = record.secrets.iter().enumerate().map(|(at, secret)| {
            let older = record.secrets.get(..at).unwrap_or_default();
            let unused = !secret.used && (!older.is_empty() || secret.is_pending());
            EffectiveSecret {
                digest: secret.digest,
                pepper: secret.pepper,
                imported: match secret.form {
                    SecretForm::Own { .. } => None,
                    SecretForm::Imported(form) => Some(form),
                },
                version: secret.version,
                end: secret.end,
                latest: lifetime.end_of(record, secret),
                unused,
                ends: ended_by(secret, older).filter(|_| unused).map(|older| older.digest),
            }
        });
        Ok(Self {
            id: record.id,
            owner,
            grants: GRANTS.number(&grants::join(&record.permissions))?,
            revoked: record.revoked.is_some(),
            disabled: record.disabled,
            expires_at: record.expires_at,
            not_before: record.not_before,
            limit: record.limit.as_ref().map(Limit::stored),
            networks: network::number(&record.networks)?,
            secrets: secrets.collect(),
        })
    }

    /// At most what both give. What a later change takes away is gone at once; what it gives waits for the disk.
    pub(crate) fn common(&self, later: &Self) -> Result<Self, Full> {
        // Only a rotation moves an end, and that waits until its new secret is on disk.
        let kept = |secret: &&EffectiveSecret| later.secrets.iter().any(|kept| kept.digest == secret.digest);
        let secrets = self.secrets.iter().filter(kept).cloned();
        let grants = if self.grants == later.grants {
            self.grants
        } else {
            GRANTS.number(&grants::common(GRANTS.text(self.grants), GRANTS.text(later.grants)))?
        };
        Ok(Self {
            id: self.id,
            owner: self.owner,
            grants,
            revoked: self.revoked || later.revoked,
            disabled: self.disabled || later.disabled,
            expires_at: match (self.expires_at, later.expires_at) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            },
            not_before: self.not_before.max(later.not_before),
            limit: Limit::common_of(self.limit, later.limit),
            networks: network::common(self.networks, later.networks)?,
            secrets: secrets.collect(),
        })
    }

    /// Whether `after` takes anything away.
    pub(crate) fn loses(&self, after: &Self) -> bool {
        let narrower = || grants::lose(GRANTS.text(self.grants), GRANTS.text(after.grants));
        (after.revoked && !self.revoked)
            || (after.disabled && !self.disabled)
            || after.expires_at.is_some_and(|end| self.expires_at.is_none_or(|old| end < old))
            || self.secrets.iter().any(|old| !after.secrets.iter().any(|new| new.digest == old.digest))
            || Limit::common_of(self.limit, after.limit) != self.limit
            || network::lose(self.networks, after.networks)
            || narrower()
    }

    /// When a secret's key ends for it.
    pub(crate) fn end_for(&self, secret: &EffectiveSecret) -> Option<i64> {
        match (self.expires_at, secret.latest) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.secrets.iter().map(|secret| secret.digest).collect()
    }
}

/// The older secret that the first use of this one ends.
fn ended_by<'r>(secret: &StoredSecret, older: &'r [StoredSecret]) -> Option<&'r StoredSecret> {
    match secret.end {
        // A use makes it the current one, and begins the overlap that it was staged with.
        SecretEnd::Pending { overlap_ms: None } => older.iter().rfind(|older| !older.is_pending()),
        SecretEnd::Pending { overlap_ms: Some(_) } => None,
        _ => older.last().filter(|older| older.end == SecretEnd::FirstUse),
    }
}
