//! The selection of keys to list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use crate::access::grants;
use crate::access::owner::{OwnerRef, Owners, Seen, Tenants};
use crate::access::permission::{PermissionError, check_permission};
use crate::base::json::{entries, from_object, maybe_time, maybe_whole};
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::key_info::{KeyInfo, KeyState, Revoked};
use crate::key::role::record::RoleRecord;
use crate::token::api_key::{PREFIXES, is_prefix};
use crate::token::key_id::KeyId;

/// The most keys, or events, on one page. A filter without a limit gives 100.
pub const MAX_PAGE: usize = 1000;
pub(crate) const DEFAULT_PAGE: usize = 100;

/// Selects the keys to list. An empty filter selects all of them. The page has the keys in the order of their creation.
///
/// ```
/// use apikey::{KeyFilter, KeyStore, NewKey};
///
/// let store = KeyStore::temporary()?;
/// store.create_many((0..5).map(|_| NewKey::for_owner("alice")))?;
/// let mut filter = KeyFilter::owner("alice").limit(2);
/// let mut seen = 0;
/// loop {
///     let page = store.list(&filter)?;
///     seen += page.keys.len();
///     let Some(next) = page.next else { break };
///     filter = filter.after(next);
/// }
/// assert_eq!(seen, 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It deserialises from JSON, and from a query string (with axum's `Query`, for example). The names are those of its
/// methods, each at most once: `?state=active&limit=20`. `metadata` is an object, which a query string cannot express.
/// Other names are errors.
#[derive(Debug, Clone, Default, serde::Serialize)]
#[must_use]
pub struct KeyFilter {
    owner: Option<String>,
    tenant: Option<String>,
    no_tenant: bool,
    any_tenant: bool,
    state: Option<KeyState>,
    permission: Option<String>,
    text: Option<String>,
    expiring_before: Option<DateTime<Utc>>,
    idle_since: Option<DateTime<Utc>>,
    never_used: bool,
    metadata: BTreeMap<String, String>,
    prefix: Option<String>,
    role: Option<String>,
    rotation_due_before: Option<DateTime<Utc>>,
    purgeable_before: Option<DateTime<Utc>>,
    pub(crate) after: Option<KeyId>,
    limit: Option<usize>,
    #[serde(skip)]
    pub(crate) max_reads: Option<usize>,
}

/// How a caller writes it.
#[derive(serde::Deserialize)]
#[serde(remote = "KeyFilter", deny_unknown_fields)]
struct KeyFilterJson {
    owner: Option<String>,
    tenant: Option<String>,
    #[serde(default)]
    no_tenant: bool,
    #[serde(default)]
    any_tenant: bool,
    state: Option<KeyState>,
    permission: Option<String>,
    #[serde(default, deserialize_with = "lower_case")]
    text: Option<String>,
    #[serde(default, deserialize_with = "maybe_time")]
    expiring_before: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_time")]
    idle_since: Option<DateTime<Utc>>,
    #[serde(default)]
    never_used: bool,
    #[serde(default, deserialize_with = "entries")]
    metadata: BTreeMap<String, String>,
    prefix: Option<String>,
    role: Option<String>,
    #[serde(default, deserialize_with = "maybe_time")]
    rotation_due_before: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_time")]
    purgeable_before: Option<DateTime<Utc>>,
    after: Option<KeyId>,
    #[serde(default, deserialize_with = "maybe_whole")]
    limit: Option<usize>,
    #[serde(skip)]
    max_reads: Option<usize>,
}

from_object!(KeyFilter, KeyFilterJson);

fn lower_case<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = <Option<String> as serde::Deserialize>::deserialize(from)?;
    Ok(text.map(|text| text.to_lowercase()))
}

/// A page of the keys that a filter selects.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Page {
    /// The keys, in order of creation.
    pub keys: Vec<KeyInfo>,
    /// If there may be more keys: the id for [`KeyFilter::after`] that selects the next page.
    pub next: Option<KeyId>,
}

impl KeyFilter {
    /// Selects the keys of exactly this owner: of the one of no tenant, unless the filter [names a tenant](Self::tenant), or
    /// [any](Self::any_tenant). Through a [`TenantStore`](crate::TenantStore) it is the tenant's own.
    pub fn owner(owner: impl Into<String>) -> Self {
        Self { owner: Some(owner.into()), ..Self::default() }
    }

    /// Selects the keys of this tenant.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create(NewKey::for_owner("alice"))?;
    /// store.tenant("acme")?.create(NewKey::for_owner("alice"))?;
    /// let count = |filter: KeyFilter| store.list(&filter).map(|page| page.keys.len());
    /// assert_eq!(count(KeyFilter::default())?, 2);
    /// assert_eq!(count(KeyFilter::owner("alice"))?, 1); // the one of no tenant
    /// assert_eq!(count(KeyFilter::owner("alice").tenant("acme"))?, 1);
    /// assert_eq!(count(KeyFilter::owner("alice").any_tenant())?, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        (self.tenant, self.no_tenant, self.any_tenant) = (Some(tenant.into()), false, false);
        self
    }

    /// Selects the keys of no tenant.
    pub fn no_tenant(mut self) -> Self {
        (self.tenant, self.no_tenant, self.any_tenant) = (None, true, false);
        self
    }

    /// Selects the keys of every tenant and of none, also where the filter names an owner: then these are the keys of every
    /// owner of that name. To find them, the store reads every key.
    pub fn any_tenant(mut self) -> Self {
        (self.tenant, self.no_tenant, self.any_tenant) = (None, false, true);
        self
    }

    /// Selects the keys that are in this state now.
    pub fn state(mut self, state: KeyState) -> Self {
        self.state = Some(state);
        self
    }

    /// Selects the keys whose grants, including wildcards and what their roles grant now, give this permission.
    pub fn permission(mut self, permission: impl AsRef<str>) -> Self {
        self.permission = Some(permission.as_ref().to_owned());
        self
    }

    /// Selects the keys with this text in owner, name, hint or metadata, ignoring case.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.text = Some(text.into().to_lowercase());
        self
    }

    /// Selects the keys that end before this time, also those that do so only if nobody uses them until then
    /// ([`KeyInfo::idle_at`]); keys without an end are not among them.
    pub fn expiring_before(mut self, time: DateTime<Utc>) -> Self {
        self.expiring_before = Some(time);
        self
    }

    /// Selects the keys that nobody has used at this time or later. A key that was never used counts from its creation.
    /// Revoked and expired keys are among them, unless [`state`](Self::state) excludes them. The store knows times of
    /// use to the second, including the most recent ones; a crash may lose those of the last 30 seconds, and with
    /// [`track_use(false)`](crate::KeyStoreBuilder::track_use) it records none.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyState, KeyStore, NewKey};
    /// use chrono::{TimeDelta, Utc};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create(NewKey::for_owner("alice"))?;
    /// let idle = KeyFilter::default().idle_since(Utc::now() - TimeDelta::days(90)).state(KeyState::Active);
    /// assert!(store.list(&idle)?.keys.is_empty());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_since(mut self, time: DateTime<Utc>) -> Self {
        self.idle_since = Some(time);
        self
    }

    /// Selects the keys that were never used. With [`track_use(false)`](crate::KeyStoreBuilder::track_use) these are
    /// all keys.
    pub fn never_used(mut self) -> Self {
        self.never_used = true;
        self
    }

    /// Selects the keys with exactly this metadata entry. Several calls with different names select the keys that have
    /// all of them.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), value.into());
        self
    }

    /// Selects the keys with this [prefix](KeyInfo::prefix).
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::builder().prefixes(["acme_live", "acme_test"]).temporary()?;
    /// store.create(NewKey::for_owner("alice"))?;
    /// store.create(NewKey::for_owner("alice").prefix("acme_test"))?;
    /// assert_eq!(store.list(&KeyFilter::default().prefix("acme_test"))?.keys.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = Some(prefix.into());
        self
    }

    /// Selects the keys that have this [role](KeyInfo::roles). There need be no such role.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey, Role};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_role(Role::new("reader").permissions(["orders:read"]))?;
    /// store.create(NewKey::for_owner("alice").roles(["reader"]))?;
    /// store.create(NewKey::for_owner("bob").permissions(["orders:read"]))?;
    /// assert_eq!(store.list(&KeyFilter::default().role("reader"))?.keys.len(), 1);
    /// assert_eq!(store.list(&KeyFilter::default().permission("orders:read"))?.keys.len(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn role(mut self, role: impl Into<String>) -> Self {
        self.role = Some(role.into());
        self
    }

    /// Selects the keys whose rotation policy makes them due before this time; a key without a policy is never due.
    pub fn rotation_due_before(mut self, time: DateTime<Utc>) -> Self {
        self.rotation_due_before = Some(time);
        self
    }

    /// Selects the keys whose records [`purge`](crate::KeyStore::purge) would delete: those that were revoked, or
    /// expired, before this time.
    pub fn purgeable_before(mut self, time: DateTime<Utc>) -> Self {
        self.purgeable_before = Some(time);
        self
    }

    /// Selects the keys that were created after this one.
    pub fn after(mut self, id: KeyId) -> Self {
        self.after = Some(id);
        self
    }

    /// Sets the most keys on the page, 1 to 1000; the default is 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Bounds the records that the store reads for the page. A page may then have fewer keys than its limit, or none, and
    /// still name the [`next`](Page::next) one: read on from there. Without a bound the store reads until the page is full.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create_many((0..10).map(|_| NewKey::for_owner("alice")))?;
    /// let page = store.list(&KeyFilter::default().text("bob").max_reads(4))?;
    /// assert!(page.keys.is_empty() && page.next.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn max_reads(mut self, records: usize) -> Self {
        self.max_reads = Some(records);
        self
    }

    pub(crate) fn page_size(&self) -> Result<usize, StoreError> {
        if let Some(permission) = &self.permission {
            check_permission(permission).map_err(|fault| PermissionError::new("permission", permission, fault))?;
        }
        if let Some(prefix) = self.prefix.as_deref().filter(|prefix| !is_prefix(prefix)) {
            return Err(StoreError::invalid("prefix", prefix, PREFIXES));
        }
        if let Some(role) = &self.role {
            bounds::role_name(role)?;
        }
        self.tenant.as_deref().map_or(Ok(()), bounds::tenant)?;
        if usize::from(self.tenant.is_some()) + usize::from(self.no_tenant) + usize::from(self.any_tenant) > 1 {
            let given = self.tenant.as_deref().unwrap_or("true");
            return Err(StoreError::invalid("tenant", given, "one of tenant, no_tenant and any_tenant"));
        }
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            other => Err(StoreError::invalid("limit", &other.to_string(), "1 to 1000")),
        }
    }

    /// Whether only the grants of roles can tell which keys match.
    pub(crate) fn asks_what_roles_grant(&self) -> bool {
        self.permission.is_some()
    }

    /// The owners among whose keys all that it selects are, of those that a handle sees; `None` if these may be any keys.
    pub(crate) fn owners<'a>(&'a self, seen: &'a Seen) -> Option<Owners<'a>> {
        let tenant = seen.tenant().or(self.tenant.as_deref());
        match (seen.owners(), self.owner.as_deref()) {
            (Some(one @ Owners::One(_)), _) => Some(one),
            (None, Some(_)) if self.any_tenant => None,
            (_, Some(name)) => Some(Owners::One(OwnerRef { tenant, name })),
            (of_tenant, None) => of_tenant.or_else(|| tenant.map(Owners::AllOf)),
        }
    }

    /// Whether it selects a key that a handle sees; `roles` are those of the store, if
    /// [`asks_what_roles_grant`](Self::asks_what_roles_grant).
    pub(crate) fn matches(&self, key: &KeyInfo, roles: &[RoleRecord], now: DateTime<Utc>, seen: &Seen) -> bool {
        // An owner alone is one of no tenant, where the handle does not say which.
        let no_tenant = self.no_tenant
            || (self.owner.is_some() && self.tenant.is_none() && !self.any_tenant && seen.tenants == Tenants::All);
        self.owner.as_deref().is_none_or(|owner| key.owner() == owner)
            && self.tenant.as_deref().is_none_or(|tenant| key.tenant() == Some(tenant))
            && (!no_tenant || key.tenant().is_none())
            && self.state.is_none_or(|state| key.state(now) == state)
            && self.permission.as_deref().is_none_or(|permission| may(key, roles, permission))
            && self.expiring_before.is_none_or(|time| ends(key).any(|end| end < time))
            && self.idle_since.is_none_or(|time| key.last_used_at().unwrap_or(key.created_at()) < time)
            && (!self.never_used || key.last_used_at().is_none())
            && self.metadata.iter().all(|(name, value)| key.metadata().get(name) == Some(value))
            && self.prefix.as_deref().is_none_or(|prefix| key.prefix() == Some(prefix))
            && self.role.as_ref().is_none_or(|role| key.roles().contains(role))
            && self.rotation_due_before.is_none_or(|time| key.rotation().is_some_and(|rotation| rotation.due() < time))
            && self
                .purgeable_before
                .is_none_or(|time| is_purgeable(key.revoked().map(Revoked::at), key.expires_at(), time, now))
            && self.text.as_deref().is_none_or(|text| mentions(key, text))
    }
}

/// Whether the grants of a key or of its roles give a permission.
fn may(key: &KeyInfo, roles: &[RoleRecord], permission: &str) -> bool {
    let gives = |role: &RoleRecord| key.roles().contains(&role.name) && grants::give(&role.permissions, permission);
    grants::give(key.permissions(), permission) || !key.roles().is_empty() && roles.iter().any(gives)
}

/// The time at which the key expires, and the time from which on it is idle.
fn ends(key: &KeyInfo) -> impl Iterator<Item = DateTime<Utc>> {
    [key.expires_at(), key.idle_at()].into_iter().flatten()
}

/// Whether `purge` deletes the record of a key. The record of a valid key stays, whatever the time.
pub(crate) fn is_purgeable(
    revoked: Option<DateTime<Utc>>,
    expires: Option<DateTime<Utc>>,
    before: DateTime<Utc>,
    now: DateTime<Utc>,
) -> bool {
    revoked.is_some_and(|at| at < before) || expires.is_some_and(|end| end < before && end <= now)
}

fn mentions(key: &KeyInfo, text: &str) -> bool {
    let fields = [key.owner(), key.hint()].into_iter().chain(key.name());
    let metadata = key.metadata().iter().flat_map(|(name, value)| [name.as_str(), value]);
    fields.chain(metadata).any(|field| field.to_lowercase().contains(text))
}
