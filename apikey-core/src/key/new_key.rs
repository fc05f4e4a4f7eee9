//! The builder of new keys.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::quota::Quota;
use crate::access::verified_key::VerifiedKey;
use crate::base::json::{from_object, maybe_entries, maybe_time};
use crate::base::patch::Patch;
use crate::key::builder_json::{SpanMs, UncheckedLimit, only_here, or_default, span_ms};
use crate::key::key_info::KeyInfo;
use crate::key::rotation::policy::RotationPolicy;
use crate::token::api_key::ApiKey;
use crate::token::imported::{ImportScheme, Imported};

/// A key to create. [`KeyStore::create`](crate::KeyStore::create) checks its bounds: 1 to 128 bytes for owner and name,
/// at most 64 grants and 32 entries of metadata (64 and 512 bytes), at most 4 labels, no control characters.
///
/// ```
/// use apikey::NewKey;
/// use chrono::TimeDelta;
///
/// let key = NewKey::for_owner("alice")
///     .name("ci")
///     .permissions(["orders:read", "customers:*"])
///     .expires_in(TimeDelta::days(90))
///     .label("plan", "pro")
///     .metadata("team", "blue");
/// ```
///
/// As JSON, times are those of RFC 3339 and spans are milliseconds. All fields but `owner` may be missing, or `null`;
/// `"rotation": null` is [`no_rotation`](Self::no_rotation), and `"idle_after_ms": null` is
/// [`no_idle_after`](Self::no_idle_after). Unknown fields are errors.
///
/// ```
/// use apikey::NewKey;
///
/// let key: NewKey = serde_json::from_str(r#"{
///     "owner": "alice", "name": "ci", "permissions": ["orders:read"], "metadata": {"team": "blue"},
///     "labels": {"plan": "pro"}, "prefix": "acme_test",
///     "not_before": "2031-05-01T00:00:00Z", "expires_at": "2032-05-01T00:00:00Z",
///     "limit": {"count": 100, "per_ms": 60000}, "networks": ["10.0.0.0/8"],
///     "rotation": {"every_ms": 2592000000, "overlap_ms": 86400000}, "idle_after_ms": 7776000000
/// }"#)?;
/// let short: NewKey = serde_json::from_str(r#"{"owner": "alice", "expires_in_ms": 86400000}"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// JSON has no fields for what only the service may set: a cap ([`within`](Self::within)), an idempotency key, an
/// [imported](Self::imported) secret. A builder that has one of these does not serialise. The service must still bound
/// what a caller may request, with `within` or [`KeyStore::of_owner`](crate::KeyStore::of_owner).
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "NewKeyJson")]
#[must_use = "a new key does nothing until the store creates it"]
pub struct NewKey {
    pub(crate) owner: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) permissions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) roles: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<DateTime<Utc>>,
    #[serde(flatten, skip_serializing_if = "Expires::is_never")]
    pub(crate) expires: Expires,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) imported: Option<(Imported, ImportScheme)>,
    #[serde(skip)]
    pub(crate) allow_weak: bool,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) within: Option<VerifiedKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit: Option<UncheckedLimit>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quota: Option<Quota>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) networks: Option<Vec<String>>,
    /// `Keep` means the store's default.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) rotation: Patch<RotationPolicy>,
    /// `Keep` means the acting key's, or the store's default.
    #[serde(rename = "idle_after_ms", skip_serializing_if = "Patch::is_keep")]
    pub(crate) idle_after: Patch<SpanMs>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) idempotency_key: Option<String>,
}

/// The fields of a new key's JSON.
#[derive(Deserialize)]
#[serde(remote = "Self", deny_unknown_fields)]
struct NewKeyJson {
    owner: String,
    name: Option<String>,
    #[serde(default, deserialize_with = "or_default")]
    permissions: Vec<String>,
    #[serde(default, deserialize_with = "or_default")]
    roles: Vec<String>,
    #[serde(default, deserialize_with = "maybe_entries")]
    metadata: BTreeMap<String, String>,
    #[serde(default, deserialize_with = "maybe_entries")]
    labels: BTreeMap<String, String>,
    prefix: Option<String>,
    #[serde(default, deserialize_with = "maybe_time")]
    not_before: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_time")]
    expires_at: Option<DateTime<Utc>>,
    expires_in_ms: Option<SpanMs>,
    limit: Option<UncheckedLimit>,
    quota: Option<Quota>,
    networks: Option<Vec<String>>,
    #[serde(default)]
    rotation: Patch<RotationPolicy>,
    #[serde(default)]
    idle_after_ms: Patch<SpanMs>,
}

from_object!(NewKeyJson, NewKeyJson);

impl TryFrom<NewKeyJson> for NewKey {
    type Error = &'static str;

    fn try_from(json: NewKeyJson) -> Result<Self, &'static str> {
        let NewKeyJson { owner, name, permissions, roles, metadata, labels, prefix, .. } = json;
        let NewKeyJson { not_before, limit, quota, networks, rotation, idle_after_ms: idle_after, .. } = json;
        let expires = match (json.expires_at, json.expires_in_ms) {
            (None, None) => Expires::Never,
            (Some(end), None) => Expires::At(end),
            (None, Some(SpanMs(span))) => Expires::In(span),
            (Some(_), Some(_)) => return Err("conflicting field `expires_in_ms`: give either this or expires_at"),
        };
        let new = Self { name, permissions, roles, metadata, labels, prefix, ..Self::for_owner(owner) };
        Ok(Self { not_before, expires, limit, quota, networks, rotation, idle_after, ..new })
    }
}

/// The end of a new key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expires {
    /// The key never expires.
    #[default]
    Never,
    /// The key expires this long after its creation.
    #[serde(rename = "expires_in_ms", with = "span_ms")]
    In(TimeDelta),
    /// The key expires at this time.
    #[serde(rename = "expires_at")]
    At(DateTime<Utc>),
}

impl Expires {
    fn is_never(&self) -> bool {
        *self == Self::Never
    }
}

impl NewKey {
    /// Creates the builder of a key that belongs to this owner, a user or an application. A key's owner never changes.
    pub fn for_owner(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into(),
            name: None,
            permissions: Vec::new(),
            roles: Vec::new(),
            metadata: BTreeMap::new(),
            labels: BTreeMap::new(),
            prefix: None,
            not_before: None,
            expires: Expires::Never,
            imported: None,
            allow_weak: false,
            within: None,
            limit: None,
            quota: None,
            networks: None,
            rotation: Patch::Keep,
            idle_after: Patch::Keep,
            idempotency_key: None,
        }
    }

    /// Sets the name, such as `ci`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the grants: permissions (`orders:read`) or wildcards (`orders:*`). Another call replaces the grants. A key
    /// without grants is valid, but meets no requirement that names a permission.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect();
        self
    }

    /// Gives the key roles, at most 16: it has what they grant besides its own grants, as they grant it at each
    /// verification. Another call replaces the roles. The store must have them: see
    /// [`KeyStore::put_role`](crate::KeyStore::put_role).
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Role};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_role(Role::new("reader").permissions(["orders:read"]))?;
    /// let created = store.create(NewKey::for_owner("alice").roles(["reader"]).permissions(["stock:read"]))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// assert!(key.allows("orders:read") && key.allows("stock:read"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn roles<T: AsRef<str>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.roles = roles.into_iter().map(|role| role.as_ref().to_owned()).collect();
        self
    }

    /// Makes the key expire this long after its creation; the span is one millisecond or more.
    pub fn expires_in(mut self, span: TimeDelta) -> Self {
        self.expires = Expires::In(span);
        self
    }

    /// Makes the key expire at this time: the key is valid before it, and not at it.
    pub fn expires_at(mut self, end: DateTime<Utc>) -> Self {
        self.expires = Expires::At(end);
        self
    }

    /// Makes the key valid from this time on.
    pub fn not_before(mut self, start: DateTime<Utc>) -> Self {
        self.not_before = Some(start);
        self
    }

    /// Adds a metadata entry of the service's own; another entry with the same name replaces it.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Sets a label, which handlers read from the verified key without a look-up:
    /// [`VerifiedKey::label`](crate::VerifiedKey::label). Another label with the same name replaces it. A key has at most
    /// 4 labels. A name is 1 to 32 bytes of `a` to `z`, digits, `_`, `.` and `-`; a value is 1 to 64 bytes without control
    /// characters.
    ///
    /// A label is a right, as a permission is: under a cap ([`within`](Self::within)) a key has only labels that the actor
    /// has. So write handlers that give less to a key without the label: while a change of a label waits for the disk,
    /// the key has neither its old value nor its new one. What is only for people belongs into
    /// [`metadata`](Self::metadata).
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").label("plan", "pro"))?;
    /// assert_eq!(store.verify(created.key.expose_secret())?.label("plan"), Some("pro"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.insert(name.into(), value.into());
        self
    }

    /// Sets the prefix of the key's tokens: one of the store's [`prefixes`](crate::KeyStoreBuilder::prefixes). The key
    /// keeps it when it is rotated. Without this, each new secret has the prefix that is the store's first then, or under
    /// a cap ([`within`](Self::within)) the one that the actor was created with.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::builder().prefixes(["acme_live", "acme_test"]).temporary()?;
    /// let test = store.create(NewKey::for_owner("alice").prefix("acme_test"))?;
    /// assert!(test.key.expose_secret().starts_with("acme_test_"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Sets the rate limit: `count` requests at once, and as many more, evenly spread, in each period. Allowed are 1 to
    /// 1,000,000 requests per 1 millisecond to 366 days. See [`Limit`](crate::Limit).
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").limit(2, TimeDelta::minutes(1)))?;
    /// let token = created.key.expose_secret();
    /// assert!(store.verify(token).is_ok() && store.verify(token).is_ok());
    /// assert_eq!(store.verify(token).unwrap_err().code(), "rate_limited");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn limit(mut self, count: u32, per: TimeDelta) -> Self {
        self.limit = Some(UncheckedLimit { count, per });
        self
    }

    /// Sets the quota: how much the key may use in a calendar day or month, or ever. It holds beside the
    /// [rate limit](Self::limit). Beyond it the store answers 429 `quota_exceeded` until the period ends, and 403
    /// `no_uses_left` for a quota in all; a request that the store refuses uses nothing.
    ///
    /// The store writes what was used after a second, or after a hundredth of the quota: a crash gives back at most that.
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Binds the key to networks: 1 to 32 of them, such as `10.0.0.0/8` and `2001:db8::/32`, or single addresses. By
    /// default every network is allowed. An empty list is an error, so that it never opens a key to every network.
    ///
    /// The store refuses such a key if it does not know the caller's address: see
    /// [`Attempt::peer`](crate::Attempt::peer). An IPv4-mapped IPv6 address (`::ffff:10.0.0.1`) counts as IPv4, and
    /// `::/0` matches IPv6 only.
    ///
    /// ```
    /// use std::net::IpAddr;
    /// use apikey::{Attempt, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").networks(["10.0.0.0/8", "::1"]))?;
    /// let attempt = Attempt::new(created.key.expose_secret());
    /// assert!(store.check(&attempt.peer(IpAddr::from([10, 1, 2, 3]))).is_ok());
    /// assert_eq!(store.check(&attempt.peer(IpAddr::from([8, 8, 8, 8]))).unwrap_err().code(), "address_not_allowed");
    /// assert_eq!(store.check(&attempt).unwrap_err().code(), "address_not_allowed");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn networks<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks = Some(networks.into_iter().map(|network| network.as_ref().to_owned()).collect());
        self
    }

    /// Imports a key that another system issued, instead of generating a secret. `scheme` says which part of the key is
    /// the secret. Callers go on presenting the key as it is; [`rotate`](crate::KeyStore::rotate) replaces it with a
    /// token of this store.
    ///
    /// ```
    /// use apikey::{ImportScheme, Imported, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let old = "legacy-7f3a9c1e5b2d4860";
    /// store.create(NewKey::for_owner("alice").imported(Imported::raw(old), ImportScheme::Whole))?;
    /// assert_eq!(store.verify(old)?.owner(), "alice");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn imported(mut self, key: Imported, scheme: ImportScheme) -> Self {
        self.imported = Some((key, scheme));
        self
    }

    /// Allows an imported raw key whose secret has fewer than 20 bytes.
    pub fn allow_weak(mut self) -> Self {
        self.allow_weak = true;
        self
    }

    /// Sets the rotation policy, which a [`Rotator`](crate::Rotator) carries out, in place of the store's
    /// [`default_rotation`](crate::KeyStoreBuilder::default_rotation).
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = Patch::Set(policy);
        self
    }

    /// Gives the key no rotation policy, whatever the store's default is.
    pub fn no_rotation(mut self) -> Self {
        self.rotation = Patch::Clear;
        self
    }

    /// Ends the key when nobody uses it for this long, 1 hour to 366 days: from then on the store refuses it as
    /// [`Idle`](crate::AuthError::Idle). Every successful use of any of its secrets moves the end
    /// ([`KeyInfo::idle_at`](crate::KeyInfo::idle_at)). The time counts from the creation of the key, from its
    /// [`not_before`](Self::not_before), and from each time when an update sets it again or enables the key, which is how
    /// an idle key becomes valid again.
    ///
    /// The store knows uses to the second. A crash may lose the uses of the last 30 seconds, so the end can come earlier by
    /// that. In a cluster, where each node has its own times of use, a key of which other nodes have seen the last use ends
    /// up to a quarter of the time later. The store must [track uses](crate::KeyStoreBuilder::track_use).
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore, ManualClock, NewKey};
    /// use chrono::{TimeDelta, Utc};
    ///
    /// let clock = ManualClock::new(Utc::now());
    /// let store = KeyStore::builder().clock(clock.clone()).temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").idle_after(TimeDelta::days(90)))?;
    /// clock.advance(TimeDelta::days(80));
    /// assert!(store.verify(created.key.expose_secret()).is_ok());
    /// clock.advance(TimeDelta::days(80));
    /// assert!(store.verify(created.key.expose_secret()).is_ok());
    /// clock.advance(TimeDelta::days(90));
    /// assert_eq!(store.verify(created.key.expose_secret()).unwrap_err(), AuthError::Idle);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_after(mut self, span: TimeDelta) -> Self {
        self.idle_after = Patch::Set(SpanMs(span));
        self
    }

    /// Keeps the key valid however long nobody uses it, whatever the store's
    /// [`default_idle_after`](crate::KeyStoreBuilder::default_idle_after) is.
    pub fn no_idle_after(mut self) -> Self {
        self.idle_after = Patch::Clear;
        self
    }

    /// Caps the new key by `actor`, which must still be valid. Use it wherever a caller creates keys. The store checks
    /// the cap when it creates the key, against the actor's record at that time:
    ///
    /// | field of the new key | must | default | unless the actor has |
    /// |---|---|---|---|
    /// | permissions, and what roles grant | each be covered by one of the actor's | none | |
    /// | permissions that manage keys (`keys:create`, `*:create`) | be none | none | `keys:delegate` |
    /// | owner | be the actor's | | `keys:any_owner` |
    /// | labels | each be the actor's, with its value | none | `*` |
    /// | prefix | be the actor's | the actor's | `*` |
    /// | end | not be later than the actor's | the actor's | `keys:outlive` |
    /// | idle time | not be longer than the actor's | the actor's, or the store's if that is shorter | `keys:outlive` |
    /// | networks | each be in one of the actor's | the actor's | `keys:anywhere` |
    /// | rate limit | let through no more than the actor's | the actor's | `*` |
    ///
    /// The grant `*` includes everything in the last column, and `keys:*` everything but what takes `*`.
    ///
    /// ```
    /// use apikey::{CapViolation, KeyStore, NewKey, StoreError};
    /// use chrono::TimeDelta;
    ///
    /// let store = KeyStore::temporary()?;
    /// let new = NewKey::for_owner("alice").permissions(["orders:*"]).expires_in(TimeDelta::days(30));
    /// let actor = store.verify(store.create(new)?.key.expose_secret())?;
    /// let capped = |key: NewKey| store.create(key.within(&actor));
    ///
    /// let created = capped(NewKey::for_owner("alice").permissions(["orders:read"]))?;
    /// assert_eq!(created.info.expires_at(), store.get(actor.id())?.and_then(|info| info.expires_at()));
    /// let error = capped(NewKey::for_owner("bob")).unwrap_err();
    /// assert!(matches!(error, StoreError::Exceeds(CapViolation::Owner { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn within(mut self, actor: &VerifiedKey) -> Self {
        self.within = Some(actor.clone());
        self
    }

    /// Makes the creation idempotent: a caller that received no answer repeats the request with the same idempotency
    /// key (1 to 255 bytes, no control characters, chosen by the caller for this one request).
    ///
    /// The store cannot return a secret twice. So within 24 hours, a repeat of the same request
    ///
    /// - replaces the secret of the first key, if nobody has used it: the id stays, and the version is 2;
    /// - fails with [`Conflict::Repeated`](crate::Conflict::Repeated) if somebody has used it.
    ///
    /// It never creates a second key. A different request with the same idempotency key fails with
    /// [`Conflict::OtherRequest`](crate::Conflict::OtherRequest). Each acting key ([`within`](Self::within)), each
    /// [`TenantStore`](crate::TenantStore) and each [`OwnerStore`](crate::OwnerStore) has idempotency keys of its own. The store keeps only the SHA-256 of the idempotency
    /// key, and no backup contains that. Only [`create`](crate::KeyStore::create) accepts an idempotency key, and not
    /// for imported keys.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let request = || NewKey::for_owner("alice").name("ci").idempotency_key("5d1a7c0b");
    /// let lost = store.create(request())?; // and no answer came
    /// let created = store.create(request())?;
    /// assert_eq!(created.info.id(), lost.info.id());
    /// assert!(store.verify(lost.key.expose_secret()).is_err());
    /// assert!(store.verify(created.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

/// A key that a call has just created or rotated. Only this value contains its secret; the store does not keep it.
#[derive(Debug)]
#[non_exhaustive]
pub struct CreatedKey {
    /// The token. It is empty for a key that was imported by its digest, whose token the store never had.
    pub key: ApiKey,
    /// The key without its secret.
    pub info: KeyInfo,
}
