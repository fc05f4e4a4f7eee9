//! The quotas that the keys of a tenant, or of an owner, share.

use crate::access::named::{Kind, NamedId};
use crate::access::quota::status::QuotaStatus;
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::owner;
use crate::key::owner::change::OwnerAction;
use crate::key::owner::record::OwnerRecord;
use crate::key::tenant::change::TenantAction;
use crate::key::tenant::record::TenantRecord;
use crate::store::handle::owner::OwnerStore;
use crate::store::handle::tenant::TenantStore;
use crate::store::key_store::KeyStore;
use crate::store::uses::quotas::{with_more_uses, without_total};

/// Of which tenants and owners a quota may get more uses.
const ALLOWED: &str = "tenants and owners that have a quota in all";

impl TenantStore {
    /// Returns what the keys of the tenant have left of the [quota](crate::Tenant::quota) that they share; `None` if there is none.
    /// The call uses nothing.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Quota, Tenant};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_tenant(Tenant::new("acme").quota(Quota::per_month(1_000_000)))?;
    /// let acme = store.tenant("acme")?;
    /// for owner in ["alice", "bob"] {
    ///     let created = acme.create(NewKey::for_owner(owner))?;
    ///     store.verify(created.key.expose_secret())?;
    /// }
    /// assert_eq!(acme.quota_status()?.map(|status| status.used()), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn quota_status(&self) -> Result<Option<QuotaStatus>, StoreError> {
        self.store().shared_quota_status(Kind::Tenant.id(self.name()))
    }

    /// Adds uses to the quota that the keys of the tenant share, if that is one [in all](crate::Quota::total), and returns what they have
    /// left. Two calls at once add both.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a tenant without such a quota, or if it would have more than 1,000,000,000,000 uses;
    /// [`Conflict::TenantEnded`](crate::Conflict::TenantEnded); [`StoreError::NotDurable`], [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn add_shared_uses(&self, uses: u64) -> Result<QuotaStatus, StoreError> {
        self.store().add_shared_uses(Kind::Tenant.id(self.name()), uses)
    }
}

impl OwnerStore {
    /// Returns what the keys of the owner have left of the [quota](crate::Owner::quota) that they share; `None` if there is none.
    /// The call uses nothing.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Owner, Quota};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_owner(Owner::new("alice").quota(Quota::total(500)))?;
    /// let alice = store.of_owner("alice");
    /// let created = alice.create(NewKey::for_owner("alice"))?;
    /// store.verify(created.key.expose_secret())?;
    /// assert_eq!(alice.add_shared_uses(100)?.remaining(), 599); // alice has bought more
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Closed`].
    pub fn quota_status(&self) -> Result<Option<QuotaStatus>, StoreError> {
        self.store().shared_quota_status(owner::record::id(self.owner_ref()))
    }

    /// Adds uses to the quota that the keys of the owner share, if that is one [in all](crate::Quota::total), and returns what they have
    /// left. Two calls at once add both.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an owner without such a quota, or if it would have more than 1,000,000,000,000 uses;
    /// [`StoreError::NotDurable`], [`StoreError::Io`], [`StoreError::Closed`].
    pub fn add_shared_uses(&self, uses: u64) -> Result<QuotaStatus, StoreError> {
        self.store().add_shared_uses(owner::record::id(self.owner_ref()), uses)
    }
}

impl KeyStore {
    fn shared_quota_status(&self, id: NamedId) -> Result<Option<QuotaStatus>, StoreError> {
        let engine = &self.inner().engine;
        engine.log.open()?;
        Ok(engine.index.quota_status_of(id, engine.time.now_ms()))
    }

    fn add_shared_uses(&self, id: NamedId, uses: u64) -> Result<QuotaStatus, StoreError> {
        self.change_named(None, |records| {
            let changed_at = self.inner().engine.time.now_ms();
            let more = |held| with_more_uses(held, uses, ALLOWED).map(|quota| Some(quota.to_stored()));
            match records.named(id)?.map(|(held, _)| held) {
                Some(NamedRecord::Tenant(held)) => {
                    let quota = more(held.quota())?;
                    Ok(NamedAction::Tenant(TenantAction::Put(Box::new(TenantRecord { quota, changed_at, ..held }))))
                }
                Some(NamedRecord::Owner(held)) => {
                    let quota = more(held.quota())?;
                    Ok(NamedAction::Owner(OwnerAction::Put(Box::new(OwnerRecord { quota, changed_at, ..held }))))
                }
                Some(NamedRecord::Role(_)) | None => Err(without_total(None, ALLOWED)),
            }
        })?;
        // Another call may have removed it meanwhile.
        self.shared_quota_status(id)?.ok_or_else(|| without_total(None, ALLOWED))
    }
}
