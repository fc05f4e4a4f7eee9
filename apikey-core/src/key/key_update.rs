//! The builder of changes to a key.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::quota::Quota;
use crate::access::verified_key::VerifiedKey;
use crate::base::json::{from_object, maybe_time};
use crate::base::patch::Patch;
use crate::key::builder_json::{SpanMs, UncheckedLimit, not_null, null_for_none, only_here};
use crate::key::entries_patch::EntriesPatch;
use crate::key::rotation::policy::RotationPolicy;

/// A change of a key's fields. The other fields stay as they are. The bounds are those of [`NewKey`](crate::NewKey).
///
/// ```
/// use apikey::{KeyStore, KeyUpdate, NewKey};
///
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let info = store.update(created.info.id(), KeyUpdate::new().name("ci").disabled(true))?;
/// assert_eq!((info.name(), info.disabled()), (Some("ci"), true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// As JSON it is a merge patch (RFC 7396): a field that is missing stays, `null` clears it, a value replaces it. `null`
/// removes all `permissions`, `roles`, `metadata` or `labels`, and inside `metadata` and `labels` it removes one entry; `disabled`
/// is true or false. `"networks": []` is for a key that has none: it lifts no bound. A patch that names no field changes
/// nothing. Unknown fields are errors. JSON has no field for the cap of a change ([`within`](Self::within)), and an
/// update with a cap does not serialise.
///
/// ```
/// use apikey::KeyUpdate;
///
/// let update: KeyUpdate = serde_json::from_str(r#"{
///     "name": "ci", "permissions": ["orders:read"], "expires_at": null, "disabled": false,
///     "metadata": {"team": "blue", "old": null}, "labels": {"plan": "pro", "beta": null},
///     "limit": {"count": 100, "per_ms": 60000}, "networks": null,
///     "rotation": {"every_ms": 2592000000, "overlap_ms": null}, "idle_after_ms": 7776000000
/// }"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, Serialize)]
#[must_use = "an update does nothing until the store applies it"]
pub struct KeyUpdate {
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) name: Patch<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) permissions: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) add_permissions: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove_permissions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) roles: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) add_roles: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) remove_roles: Vec<String>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) not_before: Patch<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) expires_at: Patch<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<bool>,
    #[serde(skip_serializing_if = "EntriesPatch::is_keep")]
    pub(crate) metadata: EntriesPatch,
    #[serde(skip_serializing_if = "EntriesPatch::is_keep")]
    pub(crate) labels: EntriesPatch,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) within: Option<VerifiedKey>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) only_if: Option<u64>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) limit: Patch<UncheckedLimit>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) quota: Patch<Quota>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) networks: Patch<Vec<String>>,
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub(crate) rotation: Patch<RotationPolicy>,
    #[serde(rename = "idle_after_ms", skip_serializing_if = "Patch::is_keep")]
    pub(crate) idle_after: Patch<SpanMs>,
    /// A merge patch may name no field (RFC 7396), and a program that gives an update without one has a fault.
    #[serde(skip)]
    pub(crate) from_json: bool,
}

/// How a caller writes it.
#[derive(Deserialize)]
#[serde(remote = "KeyUpdate", deny_unknown_fields)]
struct KeyUpdateJson {
    #[serde(default)]
    name: Patch<String>,
    #[serde(default, deserialize_with = "null_for_none")]
    permissions: Option<Vec<String>>,
    #[serde(default)]
    add_permissions: Vec<String>,
    #[serde(default)]
    remove_permissions: Vec<String>,
    #[serde(default, deserialize_with = "null_for_none")]
    roles: Option<Vec<String>>,
    #[serde(default)]
    add_roles: Vec<String>,
    #[serde(default)]
    remove_roles: Vec<String>,
    #[serde(default, deserialize_with = "maybe_time")]
    not_before: Patch<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_time")]
    expires_at: Patch<DateTime<Utc>>,
    #[serde(default, deserialize_with = "not_null")]
    disabled: Option<bool>,
    #[serde(default)]
    metadata: EntriesPatch,
    #[serde(default)]
    labels: EntriesPatch,
    #[serde(skip)]
    within: Option<VerifiedKey>,
    #[serde(skip)]
    only_if: Option<u64>,
    #[serde(default)]
    limit: Patch<UncheckedLimit>,
    #[serde(default)]
    quota: Patch<Quota>,
    #[serde(default)]
    networks: Patch<Vec<String>>,
    #[serde(default)]
    rotation: Patch<RotationPolicy>,
    #[serde(rename = "idle_after_ms", default)]
    idle_after: Patch<SpanMs>,
    #[serde(skip, default = "yes")]
    from_json: bool,
}

fn yes() -> bool {
    true
}

from_object!(KeyUpdate, KeyUpdateJson);

impl KeyUpdate {
    /// Creates an update that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it names no field.
    pub(crate) fn is_empty(&self) -> bool {
        let Self {
            name,
            permissions,
            add_permissions,
            remove_permissions,
            roles,
            add_roles,
            remove_roles,
            not_before,
            expires_at,
            disabled,
            metadata,
            labels,
            within: _,
            only_if: _,
            limit,
            quota,
            networks,
            rotation,
            idle_after,
            from_json: _,
        } = self;
        name.is_keep()
            && permissions.is_none()
            && add_permissions.is_empty()
            && remove_permissions.is_empty()
            && roles.is_none()
            && add_roles.is_empty()
            && remove_roles.is_empty()
            && not_before.is_keep()
            && expires_at.is_keep()
            && disabled.is_none()
            && metadata.is_keep()
            && labels.is_keep()
            && limit.is_keep()
            && quota.is_keep()
            && networks.is_keep()
            && rotation.is_keep()
            && idle_after.is_keep()
    }

    /// Sets the name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Patch::Set(name.into());
        self
    }

    /// Removes the name.
    pub fn without_name(mut self) -> Self {
        self.name = Patch::Clear;
        self
    }

    /// Sets the grants, which replace all that the key has.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = Some(permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect());
        self
    }

    /// Adds grants to those that the key has at the time of the change; a grant that it has already changes nothing.
    /// Unlike [`permissions`](Self::permissions) with a list that was read before, this undoes no concurrent change.
    ///
    /// ```
    /// use apikey_core::{KeyStore, KeyUpdate, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let id = store.create(NewKey::for_owner("alice").permissions(["orders:read", "stock:read"]))?.info.id();
    /// let change = KeyUpdate::new().add_permissions(["orders:write"]).remove_permissions(["stock:read"]);
    /// assert_eq!(store.update(id, change)?.permissions(), ["orders:read", "orders:write"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.add_permissions.extend(permissions.into_iter().map(|grant| grant.as_ref().to_owned()));
        self
    }

    /// Removes grants, each written as the key has it: `orders:read` cannot be removed from `orders:*`. A grant that
    /// the key does not have is an error, since another grant may still give the permission.
    pub fn remove_permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.remove_permissions.extend(permissions.into_iter().map(|grant| grant.as_ref().to_owned()));
        self
    }

    /// Sets the roles, which replace all that the key has. See [`NewKey::roles`](crate::NewKey::roles).
    pub fn roles<T: AsRef<str>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.roles = Some(roles.into_iter().map(|role| role.as_ref().to_owned()).collect());
        self
    }

    /// Adds roles to those that the key has at the time of the change; a role that it has already changes nothing.
    ///
    /// ```
    /// use apikey_core::{KeyStore, KeyUpdate, NewKey, Role};
    ///
    /// let store = KeyStore::temporary()?;
    /// for role in ["reader", "writer"] {
    ///     store.put_role(Role::new(role))?;
    /// }
    /// let id = store.create(NewKey::for_owner("alice").roles(["reader"]))?.info.id();
    /// let change = KeyUpdate::new().add_roles(["writer"]).remove_roles(["reader"]);
    /// assert_eq!(store.update(id, change)?.roles(), ["writer"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_roles<T: AsRef<str>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.add_roles.extend(roles.into_iter().map(|role| role.as_ref().to_owned()));
        self
    }

    /// Removes roles. One that the key does not have is an error.
    pub fn remove_roles<T: AsRef<str>>(mut self, roles: impl IntoIterator<Item = T>) -> Self {
        self.remove_roles.extend(roles.into_iter().map(|role| role.as_ref().to_owned()));
        self
    }

    /// Sets the time from which on the key is valid, or removes that bound with `None`. It must be before the key's
    /// end.
    pub fn not_before(mut self, start: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.not_before = start.into().into();
        self
    }

    /// Sets the end, or removes it with `None`. An end in the past is an error: to end a key at once,
    /// [revoke](crate::KeyStore::revoke) or [disable](Self::disabled) it.
    pub fn expires_at(mut self, end: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.expires_at = end.into().into();
        self
    }

    /// Disables the key, or enables it again.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Sets a metadata entry.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.set(name.into(), value.into());
        self
    }

    /// Removes a metadata entry, if there is one.
    pub fn without_metadata(mut self, name: impl Into<String>) -> Self {
        self.metadata.remove(name.into());
        self
    }

    /// Removes all metadata entries that the key has.
    pub fn no_metadata(mut self) -> Self {
        self.metadata.clear();
        self
    }

    /// Sets a label, also one that the key has with another value. See [`NewKey::label`](crate::NewKey::label).
    ///
    /// ```
    /// use apikey_core::{KeyStore, KeyUpdate, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice").label("plan", "free").label("beta", "yes"))?;
    /// store.update(created.info.id(), KeyUpdate::new().label("plan", "pro").remove_label("beta"))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// assert_eq!(key.labels().collect::<Vec<_>>(), [("plan", "pro")]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.set(name.into(), value.into());
        self
    }

    /// Removes a label, if the key has it.
    pub fn remove_label(mut self, name: impl Into<String>) -> Self {
        self.labels.remove(name.into());
        self
    }

    /// Removes all labels that the key has.
    pub fn no_labels(mut self) -> Self {
        self.labels.clear();
        self
    }

    /// Sets the rate limit. Earlier requests still count. See [`NewKey::limit`](crate::NewKey::limit).
    pub fn limit(mut self, count: u32, per: TimeDelta) -> Self {
        self.limit = Patch::Set(UncheckedLimit { count, per });
        self
    }

    /// Removes the rate limit.
    pub fn no_limit(mut self) -> Self {
        self.limit = Patch::Clear;
        self
    }

    /// Sets the quota. What was used in this period stays used, also under another period. See
    /// [`NewKey::quota`](crate::NewKey::quota).
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = Patch::Set(quota);
        self
    }

    /// Removes the quota.
    pub fn no_quota(mut self) -> Self {
        self.quota = Patch::Clear;
        self
    }

    /// Sets the networks, which replace all that the key has. See [`NewKey::networks`](crate::NewKey::networks).
    pub fn networks<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks = Patch::Set(networks.into_iter().map(|network| network.as_ref().to_owned()).collect());
        self
    }

    /// Allows the key from every network.
    pub fn any_network(mut self) -> Self {
        self.networks = Patch::Clear;
        self
    }

    /// Sets the rotation policy; the key is due `every` after the creation of its current secret.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = Patch::Set(policy);
        self
    }

    /// Removes the rotation policy. A pending secret is still delivered.
    pub fn no_rotation(mut self) -> Self {
        self.rotation = Patch::Clear;
        self
    }

    /// Sets the time for which nobody may use the key ([`NewKey::idle_after`](crate::NewKey::idle_after)), and counts it
    /// from now on, also if the key has the same time already: so an idle key becomes valid again.
    ///
    /// ```
    /// use apikey_core::{KeyState, KeyStore, KeyUpdate, ManualClock, NewKey};
    /// use chrono::{TimeDelta, Utc};
    ///
    /// let clock = ManualClock::new(Utc::now());
    /// let store = KeyStore::builder().clock(clock.clone()).temporary()?;
    /// let id = store.create(NewKey::for_owner("alice").idle_after(TimeDelta::days(30)))?.info.id();
    /// clock.advance(TimeDelta::days(31));
    /// assert_eq!(store.get(id)?.map(|key| key.state(clock.now())), Some(KeyState::Idle));
    /// let revived = store.update(id, KeyUpdate::new().idle_after(TimeDelta::days(30)))?;
    /// assert_eq!(revived.state(clock.now()), KeyState::Active);
    /// # use apikey_core::Clock;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn idle_after(mut self, span: TimeDelta) -> Self {
        self.idle_after = Patch::Set(SpanMs(span));
        self
    }

    /// Lets the key stay valid however long nobody uses it.
    pub fn no_idle_after(mut self) -> Self {
        self.idle_after = Patch::Clear;
        self
    }

    /// Caps the change by `actor`, which must still be valid. The actor must cover the key before and after the change:
    /// it has the same owner (unless the actor has `keys:any_owner`), and no grant that the actor lacks. Prefix,
    /// labels, end, idle time, networks and rate limit must not go beyond the actor's, as for
    /// [`NewKey::within`](crate::NewKey::within), and only an actor with `*` removes a label. If the key goes
    /// beyond already, the change may restrict it, and must give it nothing: no grant, no time, and it must not enable
    /// it.
    pub fn within(mut self, actor: &VerifiedKey) -> Self {
        self.within = Some(actor.clone());
        self
    }

    /// Makes the change only if the key is still as it was read, with this [`KeyInfo::last_event`](crate::KeyInfo::last_event).
    /// Otherwise it fails with [`Conflict::Changed`](crate::Conflict::Changed), so that of two callers who change a key at the
    /// same time none undoes the change of the other unseen.
    ///
    /// ```
    /// use apikey::{KeyStore, KeyUpdate, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let read = store.create(NewKey::for_owner("alice"))?.info;
    /// let rename = |name: &str| KeyUpdate::new().name(name).only_if(read.last_event());
    /// assert!(store.update(read.id(), rename("one")).is_ok());
    /// assert_eq!(store.update(read.id(), rename("other")).unwrap_err().status(), 412);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn only_if(mut self, last_event: u64) -> Self {
        self.only_if = Some(last_event);
        self
    }
}
