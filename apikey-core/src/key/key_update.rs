//! What shall change about a key.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::access::verified_key::VerifiedKey;
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
#[derive(Debug, Clone, Default)]
#[must_use = "an update does nothing until the store applies it"]
pub struct KeyUpdate {
    pub(crate) name: Option<Option<String>>,
    pub(crate) permissions: Option<Vec<String>>,
    pub(crate) expires_at: Option<Option<DateTime<Utc>>>,
    pub(crate) disabled: Option<bool>,
    pub(crate) metadata: BTreeMap<String, Option<String>>,
    pub(crate) within: Option<VerifiedKey>,
    pub(crate) limit: Option<Option<(u32, TimeDelta)>>,
    pub(crate) networks: Option<Option<Vec<String>>>,
    pub(crate) rotation: Option<Option<RotationPolicy>>,
}

impl KeyUpdate {
    /// Changes nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it names no field.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { name, permissions, expires_at, disabled, metadata, within: _, limit, networks, rotation } = self;
        name.is_none()
            && permissions.is_none()
            && expires_at.is_none()
            && disabled.is_none()
            && metadata.is_empty()
            && limit.is_none()
            && networks.is_none()
            && rotation.is_none()
    }

    /// A new name.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(Some(name.into()));
        self
    }

    /// No name.
    pub fn without_name(mut self) -> Self {
        self.name = Some(None);
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
        self.expires_at = Some(end.into());
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
        self.limit = Some(Some((count, per)));
        self
    }

    /// No limit.
    pub fn no_limit(mut self) -> Self {
        self.limit = Some(None);
        self
    }

    /// Other networks, in place of all that the key names. See [`NewKey::networks`](crate::NewKey::networks).
    pub fn networks<T: AsRef<str>>(mut self, networks: impl IntoIterator<Item = T>) -> Self {
        self.networks = Some(Some(networks.into_iter().map(|network| network.as_ref().to_owned()).collect()));
        self
    }

    /// The key is good anywhere.
    pub fn any_network(mut self) -> Self {
        self.networks = Some(None);
        self
    }

    /// The key rotates by this policy from now on; it is due `every` after its current secret was made.
    pub fn rotation(mut self, policy: RotationPolicy) -> Self {
        self.rotation = Some(Some(policy));
        self
    }

    /// The key rotates no more by itself. A new secret that waits for its delivery is still delivered.
    pub fn no_rotation(mut self) -> Self {
        self.rotation = Some(None);
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
