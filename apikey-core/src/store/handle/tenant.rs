//! The keys of one tenant.

use std::fmt;

use crate::access::owner::{Seen, Tenants};
use crate::access::peer::Peer;
use crate::access::verified_key::VerifiedKey;
use crate::key::bounds;
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::event::filter::{EventFilter, EventPage};
use crate::key::key_filter::{KeyFilter, Page};
use crate::key::key_info::KeyInfo;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::{CreatedKey, NewKey};
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::store::handle::owner::OwnerStore;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;

/// A handle of a store that sees the keys of one tenant: a customer whose owners are its own. Every method works as on
/// [`KeyStore`], as if there were no other keys: it answers the same for the id of a key of another tenant, or of none, as for
/// an id that no key has. The keys that it creates are the tenant's, for ever.
///
/// It bounds *whose* keys a caller manages. [`NewKey::within`], [`KeyUpdate::within`] and the methods `.._within` bound what
/// these keys may do. If callers create or change keys, use both. A key of a tenant manages keys of its tenant only, even
/// through a [`KeyStore`].
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap};
///
/// let store = KeyStore::temporary()?;
/// let (acme, apex) = (store.tenant("acme")?, store.tenant("apex")?);
/// let key = acme.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
/// let id = key.info.id();
///
/// assert_eq!(store.verify(key.key.expose_secret())?.tenant(), Some("acme"));
/// assert!(apex.get(id)?.is_none());
/// assert_eq!(apex.revoke(id, "mine now").unwrap_err().status(), 404);
/// assert!(acme.of_owner("alice").rotate(id, Overlap::UntilFirstUse).is_ok());
/// assert!(store.of_owner("alice").get(id)?.is_none()); // this alice is one of no tenant
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TenantStore(KeyStore);

impl KeyStore {
    /// Returns a handle of the same store that sees only the keys of this tenant. It keeps the [actor](Self::as_actor) of this
    /// handle, and costs as little as a clone. A tenant needs no record: it begins with its first key. To bound what all of
    /// its keys may do, or to end it, see [`put_tenant`](Self::put_tenant) and [`end_tenant`](Self::end_tenant).
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is not 1 to 64 bytes of `a-z 0-9 _ -`. The store reads nothing for it: a tenant
    /// without keys has a handle as well.
    pub fn tenant(&self, name: impl AsRef<str>) -> Result<TenantStore, StoreError> {
        let name = name.as_ref();
        bounds::tenant(name)?;
        Ok(TenantStore(self.seeing(Seen { tenants: Tenants::One(name.into()), owner: None })))
    }

    /// Returns a handle of the same store that sees only the keys of this key's owner, who is one of the key's tenant: what a
    /// handler gives callers who manage their own keys. Unlike [`of_owner`](Self::of_owner) with the owner's name, it cannot
    /// mistake an owner of a tenant for one of another.
    ///
    /// ```
    /// use apikey::{KeyFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create(NewKey::for_owner("alice"))?; // another alice
    /// let created = store.tenant("acme")?.create(NewKey::for_owner("alice"))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// let page = store.of_owner_of(&key).list(&KeyFilter::default())?;
    /// assert_eq!((page.keys.len(), page.keys[0].id()), (1, key.id()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_owner_of(&self, key: &VerifiedKey) -> OwnerStore {
        let tenants = key.tenant().map_or(Tenants::None, |tenant| Tenants::One(tenant.into()));
        OwnerStore(self.seeing(Seen { tenants, owner: Some(key.owner().into()) }))
    }
}

impl TenantStore {
    /// Returns the tenant's name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.seen().tenant().unwrap_or_default()
    }

    pub(crate) fn store(&self) -> &KeyStore {
        &self.0
    }

    /// Returns a handle that sees only the keys of this owner of the tenant.
    #[must_use]
    pub fn of_owner(&self, owner: impl AsRef<str>) -> OwnerStore {
        self.0.of_owner(owner)
    }

    /// Returns a handle of the same keys that names the actor of its changes: [`KeyStore::as_actor`].
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor(&self, actor: impl Into<Actor>) -> Self {
        Self(self.0.as_actor(actor))
    }

    /// Returns a handle of the same keys that names the actor of its changes and the actor's address:
    /// [`KeyStore::as_actor_from`].
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor_from(&self, actor: impl Into<Actor>, peer: impl Into<Peer>) -> Self {
        Self(self.0.as_actor_from(actor, peer))
    }

    /// Creates a key of the tenant: [`KeyStore::create`].
    ///
    /// # Errors
    /// Those of [`KeyStore::create`], and [`Conflict::TenantEnded`](crate::Conflict::TenantEnded).
    pub fn create(&self, key: NewKey) -> Result<CreatedKey, StoreError> {
        self.0.create(key)
    }

    /// Creates up to 10,000 keys of the tenant, all or none: [`KeyStore::create_many`].
    ///
    /// # Errors
    /// Those of [`create`](Self::create), for the first key that causes one.
    pub fn create_many(&self, keys: impl IntoIterator<Item = NewKey>) -> Result<Vec<CreatedKey>, StoreError> {
        self.0.create_many(keys)
    }

    /// Returns a key without its secret; `None` if the tenant has no key with this id.
    ///
    /// # Errors
    /// Those of [`KeyStore::get`].
    pub fn get(&self, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        self.0.get(id)
    }

    /// Returns a key on behalf of `actor`: [`KeyStore::get_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::get_within`].
    pub fn get_within(&self, id: KeyId, actor: &VerifiedKey) -> Result<Option<KeyInfo>, StoreError> {
        self.0.get_within(id, actor)
    }

    /// Returns a page of the tenant's keys: [`KeyStore::list`]. A filter by another tenant finds nothing.
    ///
    /// # Errors
    /// Those of [`KeyStore::list`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        self.0.list(filter)
    }

    /// Returns a page of the tenant's keys on behalf of `actor`: [`KeyStore::list_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::list_within`].
    pub fn list_within(&self, filter: &KeyFilter, actor: &VerifiedKey) -> Result<Page, StoreError> {
        self.0.list_within(filter, actor)
    }

    /// Changes a key's fields: [`KeyStore::update`].
    ///
    /// # Errors
    /// Those of [`KeyStore::update`].
    pub fn update(&self, id: KeyId, update: KeyUpdate) -> Result<KeyInfo, StoreError> {
        self.0.update(id, update)
    }

    /// Gives a key a new secret: [`KeyStore::rotate`].
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate`].
    pub fn rotate(&self, id: KeyId, overlap: Overlap) -> Result<CreatedKey, StoreError> {
        self.0.rotate(id, overlap)
    }

    /// Rotates a key on behalf of `actor`: [`KeyStore::rotate_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate_within`].
    pub fn rotate_within(&self, id: KeyId, overlap: Overlap, actor: &VerifiedKey) -> Result<CreatedKey, StoreError> {
        self.0.rotate_within(id, overlap, actor)
    }

    /// Rotates a key in an idempotent request: [`KeyStore::rotate_idempotent`]. Tenants share no idempotency keys.
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate_idempotent`].
    pub fn rotate_idempotent(
        &self,
        id: KeyId,
        overlap: Overlap,
        idempotency_key: impl Into<String>,
    ) -> Result<CreatedKey, StoreError> {
        self.0.rotate_idempotent(id, overlap, idempotency_key)
    }

    /// Rotates a key with these options: [`KeyStore::rotate_with`].
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate_with`].
    pub fn rotate_with(&self, id: KeyId, options: &RotateOptions) -> Result<CreatedKey, StoreError> {
        self.0.rotate_with(id, options)
    }

    /// Replaces every secret of a leaked key: [`KeyStore::replace_leaked`].
    ///
    /// # Errors
    /// Those of [`KeyStore::replace_leaked`].
    pub fn replace_leaked(&self, id: KeyId, reason: impl Into<String>) -> Result<CreatedKey, StoreError> {
        self.0.replace_leaked(id, reason)
    }

    /// Replaces every secret of a leaked key on behalf of `actor`: [`KeyStore::replace_leaked_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::replace_leaked_within`].
    pub fn replace_leaked_within(
        &self,
        id: KeyId,
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<CreatedKey, StoreError> {
        self.0.replace_leaked_within(id, reason, actor)
    }

    /// Revokes a key, which is final: [`KeyStore::revoke`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke`].
    pub fn revoke(&self, id: KeyId, reason: impl Into<String>) -> Result<bool, StoreError> {
        self.0.revoke(id, reason)
    }

    /// Revokes a key on behalf of `actor`: [`KeyStore::revoke_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_within`].
    pub fn revoke_within(&self, id: KeyId, reason: impl Into<String>, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.0.revoke_within(id, reason, actor)
    }

    /// Revokes every key of an owner of the tenant, and returns the number of keys that were not revoked before:
    /// [`KeyStore::revoke_owner`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner`].
    pub fn revoke_owner(&self, owner: &str, reason: impl Into<String>) -> Result<usize, StoreError> {
        self.0.revoke_owner(owner, reason)
    }

    /// Revokes every key of an owner of the tenant on behalf of `actor`: [`KeyStore::revoke_owner_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner_within`].
    pub fn revoke_owner_within(
        &self,
        owner: &str,
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<usize, StoreError> {
        self.0.revoke_owner_within(owner, reason, actor)
    }

    /// Returns a page of the history of the tenant's keys: [`KeyStore::events`]. It has no events of keys that were
    /// [purged](KeyStore::purge), since the store no longer knows their tenants.
    ///
    /// # Errors
    /// Those of [`KeyStore::events`].
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        self.0.events(filter)
    }

    /// Returns a page of the history of the tenant's keys on behalf of `actor`: [`KeyStore::events_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::events_within`].
    pub fn events_within(&self, filter: &EventFilter, actor: &VerifiedKey) -> Result<EventPage, StoreError> {
        self.0.events_within(filter, actor)
    }
}

impl fmt::Debug for TenantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantStore").field("tenant", &self.name()).field("store", &self.0).finish()
    }
}
