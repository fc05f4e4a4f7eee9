//! A key as callers see it: everything except the secret and its digest.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::idle;
use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::base::base62;
use crate::base::time::from_ms;
use crate::key::builder_json::SpanMs;
use crate::key::lifetime::Lifetime;
use crate::key::record::{Record, Revocation, SecretEnd, StoredEnded};
use crate::key::rotation::overlap::OverlapEnd;
use crate::key::rotation::policy::Rotation;
use crate::token::key_id::KeyId;

/// A key without its secret and its digest. It serialises with the [`state`](Self::state) that the key had when the
/// store read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInfo {
    id: KeyId,
    tenant: Option<String>,
    owner: String,
    name: Option<String>,
    permissions: Vec<String>,
    roles: Vec<String>,
    metadata: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    created_at: DateTime<Utc>,
    not_before: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    secret_expires_at: Option<DateTime<Utc>>,
    disabled: bool,
    revoked: Option<Revoked>,
    last_used_at: Option<DateTime<Utc>>,
    #[serde(default)]
    uses_total: u64,
    version: u32,
    ended_secret: Option<EndedSecret>,
    has_secret: bool,
    secret_until: Option<DateTime<Utc>>,
    overlap: Option<OverlapEnd>,
    rotation: Option<Rotation>,
    hint: String,
    prefix: Option<String>,
    keeps_prefix: bool,
    limit: Option<Limit>,
    quota: Option<Quota>,
    networks: Vec<String>,
    #[serde(rename = "idle_after_ms")]
    idle_after: Option<SpanMs>,
    idle_at: Option<DateTime<Utc>>,
    #[serde(default)]
    last_event: u64,
    /// The state at the time of the read, by the store's clock.
    state: KeyState,
}

/// The revocation of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    at: DateTime<Utc>,
    reason: String,
}

impl Revoked {
    pub(crate) fn of(revocation: Revocation) -> Self {
        Self { at: from_ms(revocation.at), reason: revocation.reason }
    }

    /// Returns the time of the revocation.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Returns the reason, as the first call gave it.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// The newest secret of a key that has ended by a rotation, as long as the store keeps its digest: see
/// [`keep_ended_secrets`](crate::KeyStoreBuilder::keep_ended_secrets).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndedSecret {
    version: u32,
    ended_at: DateTime<Utc>,
    until: DateTime<Utc>,
}

impl EndedSecret {
    fn of(ended: StoredEnded) -> Self {
        Self { version: ended.version, ended_at: from_ms(ended.ended_at), until: from_ms(ended.until) }
    }

    /// Returns the number of the secret.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns when it ended.
    #[must_use]
    pub fn ended_at(&self) -> DateTime<Utc> {
        self.ended_at
    }

    /// Returns until when the store tells its holder from a stranger.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }
}

/// The state of a key at a time. If several apply, the state is the first in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// The key is revoked, which is final.
    Revoked,
    /// The key is disabled.
    Disabled,
    /// The key has ended, or the store's bound on lifetimes has ended its newest secret.
    Expired,
    /// Nobody has used the key for as long as it may be idle ([`NewKey::idle_after`](crate::NewKey::idle_after)).
    Idle,
    /// The key has no valid secret, so nobody can use it until it is [rotated](crate::KeyStore::rotate). This is the
    /// state of a key that was [imported](crate::KeyStore::import) without digests. It is also the state of a key that
    /// was rotated after a backup, once the backup is restored: the new secret is lost, and the old one has ended.
    NoSecret,
    /// The key's `not_before` is in the future.
    #[serde(rename = "inactive")]
    NotYetValid,
    /// The key is valid.
    Active,
}

impl KeyState {
    /// All states, in the order in which the first that applies is the state.
    pub const ALL: [Self; 7] =
        [Self::Revoked, Self::Disabled, Self::Expired, Self::Idle, Self::NoSecret, Self::NotYetValid, Self::Active];

    /// Returns the name of the state, as it serialises: `no_secret`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Disabled => "disabled",
            Self::Expired => "expired",
            Self::Idle => "idle",
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
        // The last of their ends; none if one of them has none.
        let secret_until = ends.reduce(|one, other| Some(one?.max(other?)));
        let rotation = Rotation::of(&record);
        let prefix = prefix_of(&record).map(str::to_owned);
        let hint = hint(&record, prefix.as_deref());
        let latest = record.secrets.last().and_then(|secret| lifetime.end_of(&record, secret));
        let latest = latest.filter(|latest| record.expires_at.is_none_or(|end| *latest < end));
        let idle_at = record.idle_end(lifetime.is_shared).map(|idle| idle.with_use(last_used));
        let info = Self {
            id,
            hint,
            keeps_prefix: record.prefix.is_some(),
            prefix: prefix.or(record.prefix),
            overlap,
            rotation,
            tenant: record.tenant,
            owner: record.owner,
            name: record.name,
            permissions: record.permissions,
            roles: record.roles,
            metadata: record.metadata,
            labels: record.labels,
            created_at: from_ms(record.created_at),
            not_before: record.not_before.map(from_ms),
            expires_at: record.expires_at.map(from_ms),
            secret_expires_at: latest.map(from_ms),
            disabled: record.disabled,
            revoked: record.revoked.map(Revoked::of),
            last_used_at: last_used.max(record.used_before).map(from_ms),
            uses_total: 0,
            version: record.version,
            ended_secret: record.ended.filter(|ended| now < ended.until).map(EndedSecret::of),
            has_secret: secret_until.is_some(),
            secret_until: secret_until.flatten().map(from_ms),
            limit: record.limit.as_ref().map(Limit::stored),
            quota: record.quota.as_ref().map(Quota::stored),
            networks: record.networks,
            idle_after: record.idle.map(|idle| SpanMs(idle::span(idle.after_ms))),
            idle_at: idle_at.map(from_ms),
            last_event: record.last_event,
            // The other fields determine it, below.
            state: KeyState::Active,
        };
        Self { state: info.state(from_ms(now)), ..info }
    }

    /// Returns the id, which never changes.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Returns the tenant of the key; `None` for a key of no tenant.
    #[must_use]
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// Returns the owner of the key, who is one of its tenant.
    #[must_use]
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Returns the name of the key, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the grants, in the order in which the caller gave them.
    #[must_use]
    pub fn permissions(&self) -> &[String] {
        &self.permissions
    }

    /// Returns the names of the roles, in the order in which the caller gave them. What they grant is not among the
    /// [`permissions`](Self::permissions).
    #[must_use]
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// Returns the service's own metadata entries, by name.
    #[must_use]
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Returns the labels, by name. See [`NewKey::label`](crate::NewKey::label).
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Returns the time of creation, to the millisecond.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// Returns the time from which on the key is valid; `None` if it has no such bound.
    #[must_use]
    pub fn not_before(&self) -> Option<DateTime<Utc>> {
        self.not_before
    }

    /// Returns the time at which the key ends: it is valid before this time, and not at it. `None` if it never ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Returns the time at which the store's [`max_lifetime`](crate::KeyStoreBuilder::max_lifetime) ends the newest
    /// secret, if that is before the key's own end. From then on the store refuses the key as expired, until it is
    /// rotated.
    #[must_use]
    pub fn secret_expires_at(&self) -> Option<DateTime<Utc>> {
        self.secret_expires_at
    }

    /// Returns the time for which nobody may use the key ([`NewKey::idle_after`](crate::NewKey::idle_after)); `None` if it
    /// may be any.
    #[must_use]
    pub fn idle_after(&self) -> Option<TimeDelta> {
        self.idle_after.map(|SpanMs(span)| span)
    }

    /// Returns the time at which the key ends if nobody uses it until then, by the uses that this store knows: it is valid
    /// before this time, and not at it. `None` if it has no [`idle_after`](Self::idle_after).
    #[must_use]
    pub fn idle_at(&self) -> Option<DateTime<Utc>> {
        self.idle_at
    }

    /// Returns the number of the event that left the key as it is: see [`Event::number`](crate::Event::number). It grows with
    /// every change of the key, and is the same on every node of a cluster, so it tells two states apart:
    /// [`KeyUpdate::only_if`](crate::KeyUpdate::only_if). It is 0 for a key that nobody has changed since an earlier version of
    /// the format, which did not keep it.
    #[must_use]
    pub fn last_event(&self) -> u64 {
        self.last_event
    }

    /// Returns whether the key is disabled.
    #[must_use]
    pub fn disabled(&self) -> bool {
        self.disabled
    }

    /// Returns the time and the reason of the revocation, if the key is revoked.
    #[must_use]
    pub fn revoked(&self) -> Option<&Revoked> {
        self.revoked.as_ref()
    }

    /// Returns the time of the last verification of one of the key's secrets, to the second. A crash may lose the uses
    /// of the last 30 seconds.
    #[must_use]
    pub fn last_used_at(&self) -> Option<DateTime<Utc>> {
        self.last_used_at
    }

    /// Returns how often one of the key's secrets was verified, since the store [counts](crate::KeyStoreBuilder::count_use)
    /// uses; 0 if it does not. The last two seconds may be missing. In a cluster it has the uses on this node alone.
    #[must_use]
    pub fn uses_total(&self) -> u64 {
        self.uses_total
    }

    pub(crate) fn used(self, uses_total: u64) -> Self {
        Self { uses_total, ..self }
    }

    /// Returns the number of the newest secret; the first is 1.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Returns the newest secret that has ended by a rotation, if the store still knows it. Callers who present it are counted
    /// in [`refusals_of`](crate::KeyStore::refusals_of), under `rotated_api_key`.
    #[must_use]
    pub fn ended_secret(&self) -> Option<&EndedSecret> {
        self.ended_secret.as_ref()
    }

    /// Returns whether one of the key's secrets was valid when the store read the key; see [`KeyState::NoSecret`].
    #[must_use]
    pub fn has_secret(&self) -> bool {
        self.has_secret
    }

    /// Returns the time at which the last secret ends, if it has an end: its successor is lost, so rotate the key
    /// before then.
    #[must_use]
    pub fn secret_until(&self) -> Option<DateTime<Utc>> {
        self.secret_until
    }

    /// Returns when the older secret ends, while two secrets are valid.
    #[must_use]
    pub fn overlap(&self) -> Option<OverlapEnd> {
        self.overlap
    }

    /// Returns the rate limit; `None` if there is none.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }

    /// Returns the quota. [`KeyStore::quota_status`](crate::KeyStore::quota_status) has what is left of it.
    #[must_use]
    pub fn quota(&self) -> Option<Quota> {
        self.quota
    }

    /// Returns the networks from which the key is valid, in CIDR notation (`10.0.0.0/8`); an empty list means anywhere.
    #[must_use]
    pub fn networks(&self) -> &[String] {
        &self.networks
    }

    /// Returns the rotation policy and the time of the next rotation; `None` if the key has no policy.
    #[must_use]
    pub fn rotation(&self) -> Option<Rotation> {
        self.rotation
    }

    /// Returns the prefix of the key's newest token; before its first, that of its next one, if it
    /// [keeps](Self::keeps_prefix) a prefix. `None` for a key that has only secrets from another system, or none.
    #[must_use]
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Returns whether rotations keep the prefix, since the key was created with it
    /// ([`NewKey::prefix`](crate::NewKey::prefix)). Otherwise each new secret has the prefix that is the store's first then.
    #[must_use]
    pub fn keeps_prefix(&self) -> bool {
        self.keeps_prefix
    }

    /// Returns the prefix and the last 4 characters of the id, such as `ak_…r7JX`, to distinguish keys on a screen.
    ///
    /// In the token these are the last 4 of the 22 characters between the prefix and the secret, and not the token's
    /// end: the store keeps no part of a secret, so it cannot show the end.
    #[must_use]
    pub fn hint(&self) -> &str {
        &self.hint
    }

    /// Returns the state of the key at `now`.
    #[must_use]
    pub fn state(&self, now: DateTime<Utc>) -> KeyState {
        if self.revoked.is_some() {
            KeyState::Revoked
        } else if self.disabled {
            KeyState::Disabled
        } else if [self.expires_at, self.secret_expires_at].into_iter().flatten().any(|end| end <= now) {
            KeyState::Expired
        } else if self.idle_at.is_some_and(|end| end <= now) {
            KeyState::Idle
        } else if !self.has_secret || self.secret_until.is_some_and(|end| end <= now) {
            KeyState::NoSecret
        } else if self.not_before.is_some_and(|start| now < start) {
            KeyState::NotYetValid
        } else {
            KeyState::Active
        }
    }
}

/// The prefix of the newest token of the store's own form.
fn prefix_of(record: &Record) -> Option<&str> {
    record.secrets.iter().rev().find_map(|secret| secret.form.prefix())
}

fn hint(record: &Record, prefix: Option<&str>) -> String {
    // A key that waits for a secret has no prefix yet.
    let none = if record.secrets.is_empty() { "" } else { "imported_" };
    let id = base62::encode_u128(record.id);
    let (_, end) = id.split_last_chunk::<4>().unwrap_or((&[], b"0000"));
    let end: String = end.iter().copied().map(char::from).collect();
    prefix.map_or_else(|| format!("{none}…{end}"), |prefix| format!("{prefix}_…{end}"))
}
