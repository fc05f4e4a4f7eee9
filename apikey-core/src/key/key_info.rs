//! A key as callers see it: everything but the secret and its digest.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::access::limit::Limit;
use crate::base::base62;
use crate::base::time::from_ms;
use crate::key::lifetime::Lifetime;
use crate::key::record::{Record, SecretEnd, SecretForm};
use crate::key::rotation::overlap::OverlapEnd;
use crate::key::rotation::policy::Rotation;
use crate::token::key_id::KeyId;

/// What is known of a key. It serialises, and holds neither secret nor digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    id: KeyId,
    owner: String,
    name: Option<String>,
    permissions: Vec<String>,
    metadata: BTreeMap<String, String>,
    created_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    secret_expires_at: Option<DateTime<Utc>>,
    disabled: bool,
    revoked: Option<Revoked>,
    last_used_at: Option<DateTime<Utc>>,
    version: u32,
    has_secret: bool,
    secret_until: Option<DateTime<Utc>>,
    overlap: Option<OverlapEnd>,
    rotation: Option<Rotation>,
    hint: String,
    limit: Option<Limit>,
    networks: Vec<String>,
}

/// When and why a key was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    at: DateTime<Utc>,
    reason: String,
}

impl Revoked {
    /// When.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Why, as given to the first call.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// How a key stands at a time. Where several hold, the first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// Revoked, for ever.
    Revoked,
    /// Switched off.
    Disabled,
    /// Its time is over, or that of its newest secret.
    Expired,
    /// None of its secrets is good any more, so nobody can use it until it is [rotated](crate::KeyStore::rotate). So stands
    /// a key that was [imported](crate::KeyStore::import) without digests; or one that was rotated after a backup, once
    /// that is restored: the new secret is lost, and the old one has ended.
    NoSecret,
    /// Its `not_before` lies ahead.
    #[serde(rename = "inactive")]
    NotYetValid,
    /// Good.
    Active,
}

impl KeyState {
    /// All of them, in the order in which the first that holds is the state.
    pub const ALL: [Self; 6] =
        [Self::Revoked, Self::Disabled, Self::Expired, Self::NoSecret, Self::NotYetValid, Self::Active];

    /// Its name, as it is serialised: `no_secret`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::NoSecret => "no_secret",
            Self::NotYetValid => "inactive",
            Self::Active => "active",
        }
    }
}

impl KeyInfo {
    pub(crate) fn new(record: Record, last_used: Option<i64>, now: i64, lifetime: Lifetime) -> Self {
        let id = KeyId::from_u128(record.id);
        let overlap = record.live(now).rev().skip(1).find_map(|secret| OverlapEnd::of(secret.end));
        let ends = record.live(now).map(|secret| match secret.end {
            SecretEnd::At(end) => Some(end),
            SecretEnd::Never | SecretEnd::FirstUse | SecretEnd::Pending { .. } => None,
        });
        // Of several the last; none has an end if one has none.
        let secret_until = ends.reduce(|one, other| Some(one?.max(other?)));
        let rotation = Rotation::of(&record);
        let hint = hint(&record);
        let latest = record.secrets.last().and_then(|secret| lifetime.end_of(&record, secret));
        let latest = latest.filter(|latest| record.expires_at.is_none_or(|end| *latest < end));
        Self {
            id,
            hint,
            overlap,
            rotation,
            owner: record.owner,
            name: record.name,
            permissions: record.permissions,
            metadata: record.metadata,
            created_at: from_ms(record.created_at),
            not_before: record.not_before.map(from_ms),
            expires_at: record.expires_at.map(from_ms),
            secret_expires_at: latest.map(from_ms),
            disabled: record.disabled,
            revoked: record.revoked.map(|revoked| Revoked { at: from_ms(revoked.at), reason: revoked.reason }),
            last_used_at: last_used.max(record.used_before).map(from_ms),
            version: record.version,
            has_secret: secret_until.is_some(),
            secret_until: secret_until.flatten().map(from_ms),
            limit: record.limit.as_ref().map(Limit::stored),
            networks: record.networks,
        }
    }

    /// The id, the same for the key's whole life.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Whose key it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// What it is for, if that was said.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its grants, in the order given.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Your own entries, by name.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// When it was created, to the millisecond.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// From when on it is good.
    #[must_use]
    pub fn not_before(&self) -> Option<DateTime<Utc>> {
        self.not_before
    }

    /// Until when it is good; at that time it is not.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// When its newest secret ends by the store's [`max_lifetime`](crate::KeyStoreBuilder::max_lifetime), if that is before
    /// the key's own end: it is refused as expired from then on, until it is rotated.
    #[must_use]
    pub fn secret_expires_at(&self) -> Option<DateTime<Utc>> {
        self.secret_expires_at
    }

    /// Whether it is switched off.
    #[must_use]
    pub fn disabled(&self) -> bool {
        self.disabled
    }

    /// When and why it was revoked.
    #[must_use]
    pub fn revoked(&self) -> Option<&Revoked> {
        self.revoked.as_ref()
    }

    /// When one of its secrets was last verified, to the second. A crash may lose the last half minute.
    #[must_use]
    pub fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.last_used_at
    }

    /// The number of its newest secret, 1 for the first.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Whether one of its secrets was good when this was read; see [`KeyState::NoSecret`].
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.has_secret
    }

    /// When the last of its secrets ends, if that has an end: its successor is lost, and the key is to be rotated before.
    #[must_use]
    pub fn secret_until(&self) -> Option<DateTime<Utc>> {
        self.secret_until
    }

    /// While two secrets are good: when the older one ends.
    #[must_use]
    pub fn overlap(&self) -> Option<OverlapEnd> {
        self.overlap
    }

    /// How often it may be used; `None`: as often as one likes.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// The networks that it may be used from, as `10.0.0.0/8`; none means anywhere.
    #[must_use]
    pub fn networks(&self) -> &[String] {
        &self.networks
    }

    /// By what policy it rotates itself, and when it is due; `None` if it does not.
    #[must_use]
    pub fn rotation(&self) -> Option<Rotation> {
        self.rotation
    }

    /// Prefix and the last 4 characters of the id, such as `ak_…r7JX`: to tell keys apart on a screen.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// How the key stands at `now`.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.disabled {
            KeyState::Disabled
        } else if [self.expires_at, self.secret_expires_at].into_iter().flatten().any(|end| end <= now) {
            KeyState::Expired
        } else if !self.has_secret || self.secret_until.is_some_and(|end| end <= now) {
            KeyState::NoSecret
        } else if self.not_before.is_some_and(|start| now < start) {
            KeyState::NotYetValid
        } else {
            KeyState::Active
        }
    }
}

fn hint(record: &Record) -> String {
    // One that awaits its first secret, or its next, has no prefix yet.
    let none = if record.secrets.is_empty() { "" } else { "imported_" };
    let id = base62::encode_u128(record.id);
    let (_, end) = id.split_last_chunk::<4>().unwrap_or((&[], b"0000"));
    let prefix = record.secrets.iter().rev().find_map(|secret| match &secret.form {
        SecretForm::Own { prefix } => Some(prefix.as_str()),
        SecretForm::Imported(_) => None,
    });
    let end: String = end.iter().copied().map(char::from).collect();
    prefix.map_or_else(|| format!("{none}…{end}"), |prefix| format!("{prefix}_…{end}"))
}
