//! The builder of changes to a key.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::access::verified_key::VerifiedKey;
use crate::key::builder_json::{UncheckedLimit, only_here};
use crate::key::patch::Patch;
use crate::key::rotation_policy::RotationPolicy;

/// A change of a key's fields; what is not named stays. The bounds are those of [`NewKey`](crate::NewKey).
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
    /// Changes nothing yet.
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

    /// A new name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Patch::Set(name.into());
        self
    }

    /// No name.
    pub fn without_name(mut self) -> Self {
        self.name = Patch::Clear;
        self
    }

    /// Other permissions, in place of all that the key has.
    pub fn permissions<T: AsRef<str>>(mut self, permissions: impl IntoIterator<Item = T>) -> Self {
        self.permissions = Some(permissions.into_iter().map(|grant| grant.as_ref().to_owned()).collect());
        self
    }

    /// Another end, or `None` for no end. One that has come already is refused: to end a key at once,
    /// [revoke](crate::KeyStore::revoke) or [disable](Self::disabled) it.
    pub fn expires_at(mut self, end: impl Into<Option<DateTime<Utc>>>) -> Self {
        self.expires_at = end.into().into();
        self
    }

    /// Switches the key off, or on again.
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = Some(disabled);
        self
    }

    /// Sets an entry of metadata.
    pub fn metadata(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), Some(value.into()));
        self
    }

    /// Takes an entry of metadata away, if it is there.
    pub fn without_metadata(mut self, name: impl Into<String>) -> Self {
        self.metadata.insert(name.into(), None);
        self
    }

    /// Another limit, from now on; what was used stays used. See [`NewKey::limit`](crate::NewKey::limit).
    pub fn limit(mut self, count: u32, per: TimeDelta) -> Self {
        self.limit = Patch::Set(UncheckedLimit { count, per });
        self
    }

    /// No limit.
    pub fn no_limit(mut self) -> Self {
        self.limit = Patch::Clear;
        self
    }

    /// Other networks, in place of all that the key names. See [`NewKey::networks`](crate::NewKey::networks).
    pub fn networks<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks = Patch::Set(networks.into_iter().map(|network| network.as_ref().to_owned()).collect());
        self
    }

    /// The key is good anywhere.
    pub fn any_network(mut self) -> Self {
        self.networks = Patch::Clear;
        self
    }

    /// The key rotates by this policy from now on; it is due `every` after its current secret was made.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = Patch::Set(policy);
        self
    }

    /// The key rotates no more by itself. A new secret that waits for its delivery is still delivered.
    pub fn no_rotation(mut self) -> Self {
        self.rotation = Patch::Clear;
        self
    }

    /// Caps the change by `actor`, which must still be good. The key must be one that the actor covers: of its owner
    /// (unless the actor has `keys:any_owner`), with no grant that it lacks; and so must be what the change leaves. End,
    /// networks and rate limit may not go beyond the actor's, as for [`NewKey::within`](crate::NewKey::within). A key
    /// that goes beyond already may be narrowed or left so, and is given nothing: no grant, no time, and it is not enabled.
    pub fn within(mut self, actor: &VerifiedKey) -> Self {
        self.within = Some(actor.clone());
        self
    }
}
