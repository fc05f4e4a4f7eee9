//! The keys of one tenant.

use std::fmt;

use crate::access::owner::{Seen, Tenants};
use crate::access::peer::Peer;
use crate::access::quota::status::QuotaStatus;
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
use crate::store::handle::seen_keys::seen_keys;
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

    /// Creates a key of the tenant: [`KeyStore::create`].
    ///
    /// # Errors
    /// Those of [`KeyStore::create`], and [`Conflict::TenantEnded`](crate::Conflict::TenantEnded).
    pub fn create(&self, key: NewKey) -> Result<CreatedKey, StoreError> {
        self.0.create(key)
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
}

seen_keys!(TenantStore, "tenant");

impl fmt::Debug for TenantStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantStore").field("tenant", &self.name()).field("store", &self.0).finish()
    }
}
