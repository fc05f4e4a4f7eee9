//! The owners of a store that have bounds of their own: what all keys of one share.

use crate::access::named::Kind;
use crate::access::verified_key::VerifiedKey;
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::owner::change::OwnerAction;
use crate::key::owner::owner::Owner;
use crate::key::owner::owner_info::OwnerInfo;

use crate::store::handle::owner::OwnerStore;
use crate::store::handle::tenant::TenantStore;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Puts an owner: sets the bounds of all of its keys, present and future. They share the owner's quota, besides their own.
    /// This is one change and one event, however many keys the owner has, and holds for the next verification of each: what it
    /// takes away before the store writes anything, what it gives once it is on disk. An owner that was put without a quota has
    /// none any more. Returns whether anything changed.
    ///
    /// It is an owner of no tenant; for one of a tenant see [`TenantStore::put_owner`].
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore, NewKey, Owner, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_owner(Owner::new("alice").quota(Quota::per_day(2)))?;
    /// let [laptop, server] = [store.create(NewKey::for_owner("alice"))?, store.create(NewKey::for_owner("alice"))?];
    /// store.verify(laptop.key.expose_secret())?;
    /// store.verify(server.key.expose_secret())?;
    /// assert_eq!(store.verify(laptop.key.expose_secret()).unwrap_err().code(), "quota_exceeded");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none of an owner, or a quota out of bounds; [`StoreError::NotDurable`] if the
    /// store could not write the change: what it takes away is in force, until a restart; [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn put_owner(&self, owner: Owner) -> Result<bool, StoreError> {
        self.put_owner_as(&owner, None)
    }

    /// Puts an owner on behalf of `actor`, which must still be valid and have `keys:any_owner`. It must cover all that keys of the
    /// owner may have: everything, or the ceiling of its own tenant. An actor with an end, an idle time, networks, a rate limit or
    /// a quota that bind what it gives, or whose owner has a quota, gives no owner a larger one.
    ///
    /// # Errors
    /// Those of [`put_owner`](Self::put_owner), and [`StoreError::Exceeds`].
    pub fn put_owner_within(&self, owner: Owner, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.put_owner_as(&owner, Some(actor))
    }

    fn put_owner_as(&self, owner: &Owner, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        let record = owner.record(self.seen().tenant(), self.inner().engine.time.now_ms())?;
        self.change_named(actor, |_| Ok(NamedAction::Owner(OwnerAction::Put(Box::new(record.clone())))))
    }

    /// Returns the owners that were [put](Self::put_owner) and have a quota, of all tenants and of none, sorted by tenant and name;
    /// those of no tenant come first. An owner that only has keys is not among them: it has no bounds.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn owners(&self) -> Result<Vec<OwnerInfo>, StoreError> {
        let records = self.inner().engine.log.open()?.all_named(Kind::Owner)?;
        let owners = records.into_iter().filter_map(NamedRecord::owner).filter(|owner| self.seen().has(owner.owner()));
        let mut owners: Vec<OwnerInfo> = owners.map(OwnerInfo::of).collect();
        owners.sort_unstable_by(|one, other| (one.tenant(), one.name()).cmp(&(other.tenant(), other.name())));
        Ok(owners)
    }
}

impl TenantStore {
    /// Puts an owner of the tenant: [`KeyStore::put_owner`].
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Owner, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// let acme = store.tenant("acme")?;
    /// acme.put_owner(Owner::new("alice").quota(Quota::per_month(10_000)))?;
    /// let created = acme.create(NewKey::for_owner("alice"))?;
    /// store.verify(created.key.expose_secret())?;
    /// let left = acme.of_owner("alice").quota_status()?.map(|status| status.remaining());
    /// assert_eq!(left, Some(9_999));
    /// assert_eq!(store.of_owner("alice").quota_status()?, None); // this alice is one of no tenant
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`KeyStore::put_owner`].
    pub fn put_owner(&self, owner: Owner) -> Result<bool, StoreError> {
        self.store().put_owner(owner)
    }

    /// Puts an owner of the tenant on behalf of `actor`: [`KeyStore::put_owner_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::put_owner_within`].
    pub fn put_owner_within(&self, owner: Owner, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.store().put_owner_within(owner, actor)
    }

    /// Returns the owners of the tenant that were put and have a quota, sorted by name: [`KeyStore::owners`].
    ///
    /// # Errors
    /// Those of [`KeyStore::owners`].
    pub fn owners(&self) -> Result<Vec<OwnerInfo>, StoreError> {
        self.store().owners()
    }
}

impl OwnerStore {
    /// Returns the bounds of the owner; `None` if it has none ([`KeyStore::put_owner`]).
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn info(&self) -> Result<Option<OwnerInfo>, StoreError> {
        Ok(self.store().inner().engine.log.open()?.owner(self.owner_ref())?.map(OwnerInfo::of))
    }
}
