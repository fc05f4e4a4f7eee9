//! The builder of changes to a key.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::verified_key::VerifiedKey;
use crate::base::patch::Patch;
use crate::key::builder_json::{UncheckedLimit, only_here};
use crate::key::rotation::policy::RotationPolicy;

/// A change of a key's fields. Fields that it does not name stay. The bounds are those of [`NewKey`](crate::NewKey).
///
/// ```
/// use apikey_core::{KeyStore, KeyUpdate, NewKey};
///
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let info = store.update(created.info.id(), KeyUpdate::new().name("ci").disabled(true))?;
/// assert_eq!((info.name(), info.disabled()), (Some("ci"), true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// It serialises for the [admin protocol](crate::admin) as a merge patch (RFC 7396), in which `null` clears a field,
/// unless it is capped by a key of this process ([`within`](Self::within)).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[must_use = "an update does nothing until the store applies it"]
pub struct KeyUpdate {
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub(crate) name: Patch<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) permissions: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub(crate) expires_at: Patch<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) disabled: Option<bool>,
    /// `None` removes an entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, Option<String>>,
    #[serde(skip_deserializing, skip_serializing_if = "Option::is_none", serialize_with = "only_here")]
    pub(crate) within: Option<VerifiedKey>,
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub(crate) limit: Patch<UncheckedLimit>,
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub(crate) networks: Patch<Vec<String>>,
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub(crate) rotation: Patch<RotationPolicy>,
}

impl KeyUpdate {
    /// An update that changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it names no field.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { name, permissions, expires_at, disabled, metadata, within: _, limit, networks, rotation } = self;
        name.is_keep()
            && permissions.is_none()
            && expires_at.is_keep()
            && disabled.is_none()
            && metadata.is_empty()
            && limit.is_keep()
            && networks.is_keep()
            && rotation.is_keep()
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

    /// Sets the grants, in place of all that the key has.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = Some(permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect());
        self
    }

    /// Sets the end, or removes it with `None`. An end that has come already is an error: to end a key at once,
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
        self.metadata.insert(name.into(), Some(value.into()));
        self
    }

    /// Removes a metadata entry, if there is one.
    pub fn without_metadata(mut self, name: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), None);
        self
    }

    /// Sets the rate limit from now on; requests before still count. See [`NewKey::limit`](crate::NewKey::limit).
    pub fn limit(mut self, count: u32, per: TimeDelta) -> Self {
        self.limit = Patch::Set(UncheckedLimit { count, per });
        self
    }

    /// Removes the rate limit.
    pub fn no_limit(mut self) -> Self {
        self.limit = Patch::Clear;
        self
    }

    /// Sets the networks, in place of all that the key has. See [`NewKey::networks`](crate::NewKey::networks).
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

    /// Caps the change by `actor`, which must still be valid. The actor must cover the key before and after the change: it
    /// has the same owner (unless the actor has `keys:any_owner`), and no grant that the actor lacks. End, networks and
    /// rate limit must not go beyond the actor's, as for [`NewKey::within`](crate::NewKey::within). If the key goes beyond
    /// already, the change may restrict it, and must give it nothing: no grant, no time, and it must not enable it.
    pub fn within(mut self, actor: &VerifiedKey) -> Self {
        self.within = Some(actor.clone());
        self
    }
}
