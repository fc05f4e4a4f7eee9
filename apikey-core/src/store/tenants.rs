//! The tenants of a store, and what bounds all keys of one.

use crate::access::named::Kind;
use crate::access::verified_key::VerifiedKey;
use crate::commit::records::Records;
use crate::key::bounds;
use crate::key::change::{Action, Change};
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::named::change::NamedAction;
use crate::key::tenant::change::TenantAction;
use crate::key::tenant::record::TenantRecord;
use crate::key::tenant::tenant::Tenant;
use crate::key::tenant::tenant_info::TenantInfo;

use crate::store::handle::tenant::TenantStore;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Puts a tenant: sets the bounds of all of its keys, present and future. No key of the tenant has more than the tenant's
    /// permissions, whatever its grants and roles, and all of them share the tenant's rate limit and quota. This is one change and
    /// one event, however many keys the tenant has, and holds for the next verification of each: what it takes away before the
    /// store writes anything, what it gives once it is on disk. Returns whether anything changed.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Tenant};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.put_tenant(Tenant::new("acme").permissions(["orders:*", "keys:*"]))?;
    /// let created = store.tenant("acme")?.create(NewKey::for_owner("alice").permissions(["*"]))?;
    /// let key = store.verify(created.key.expose_secret())?;
    /// assert!(key.allows("orders:read") && !key.allows("stock:read"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none, or a limit or a quota out of bounds; [`StoreError::Permission`] or
    /// [`StoreError::UnknownGrant`] for a grant; [`Conflict::TenantEnded`](crate::Conflict::TenantEnded);
    /// [`StoreError::NotDurable`] if the store could not write the change: what it takes away is in force, until a restart;
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn put_tenant(&self, tenant: Tenant) -> Result<bool, StoreError> {
        self.put_tenant_as(&tenant, None)
    }

    /// Puts a tenant on behalf of `actor`, which must still be valid, be of no tenant, and have `keys:any_owner` and
    /// `keys:any_tenant`. It must cover what the tenant left its keys before and what it leaves them after: everything, for a
    /// tenant that nobody had put. Grants that manage keys take `keys:delegate`, as for
    /// [`NewKey::within`](crate::NewKey::within). An actor with an end, an idle time, networks, a rate limit or a quota that bind
    /// what it gives raises neither the permissions nor the limit nor the quota.
    ///
    /// # Errors
    /// Those of [`put_tenant`](Self::put_tenant), and [`StoreError::Exceeds`].
    pub fn put_tenant_within(&self, tenant: Tenant, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.put_tenant_as(&tenant, Some(actor))
    }

    fn put_tenant_as(&self, tenant: &Tenant, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        let record = tenant.record(self.inner().engine.time.now_ms())?;
        let put = |record: &TenantRecord| NamedAction::Tenant(TenantAction::Put(Box::new(record.clone())));
        let id = record.id();
        self.change_named(actor, |records| {
            let held = match records.tenant(&record.name) {
                // What it takes away is in force even if the records cannot be read. It may keep any grant then.
                Err(StoreError::Io { .. }) if actor.is_none() => Some(record.clone()),
                held => held?,
            };
            if let Some(reach) = self.inner().engine.reach(&self.scope(actor), records)? {
                // The cap comes before the catalogue, of which a capped caller learns nothing beyond its cap.
                let held = records.named(id)?.map(|(held, _)| held);
                reach.named(held.as_ref(), &put(&record))?;
            }
            tenant.check_unchanged(held.as_ref())?;
            let held = held.map(|held| held.ceiling).unwrap_or_default();
            self.inner().check_catalog(tenant.given_permissions(), &held)?;
            Ok(put(&record))
        })
    }

    /// Ends a tenant, which is final: every key of the tenant, present and future, is refused as revoked. This is one change
    /// and one event, however many keys the tenant has. It takes effect before the store writes anything, so no verification
    /// of one of these keys that begins after this call has returned succeeds, even if the disk fails. The keys stay, with the
    /// state [`Revoked`](crate::KeyState::Revoked), until they are [purged](Self::purge).
    ///
    /// Returns whether this call ended the tenant. If it had ended already, nothing changes, and the first reason stays. A
    /// tenant without keys ends as well: nobody can create any then.
    ///
    /// In a cluster it holds on every node when the call returns. While the engine of the cluster does not answer, the call
    /// fails and ends nothing; to refuse keys on this node at once, [revoke](Self::revoke) them.
    ///
    /// ```
    /// use apikey::{AuthError, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let acme = store.tenant("acme")?;
    /// let created = acme.create(NewKey::for_owner("alice"))?;
    /// assert!(store.end_tenant("acme", "the contract has ended")?);
    /// assert_eq!(store.verify(created.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    /// assert_eq!(acme.create(NewKey::for_owner("bob")).unwrap_err().code(), "tenant_ended");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a name that is none, or a reason of more than 256 bytes; [`StoreError::NotDurable`] if the
    /// store could not write the change: it refuses the keys all the same, until a restart; [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn end_tenant(&self, name: &str, reason: impl Into<String>) -> Result<bool, StoreError> {
        self.end_tenant_as(name, reason.into(), None)
    }

    /// Ends a tenant on behalf of `actor`, which must be of no tenant, have `keys:any_owner` and `keys:any_tenant`, and cover
    /// what the tenant leaves its keys: everything, for a tenant that nobody has put.
    ///
    /// # Errors
    /// Those of [`end_tenant`](Self::end_tenant), and [`StoreError::Exceeds`].
    pub fn end_tenant_within(
        &self,
        name: &str,
        reason: impl Into<String>,
        actor: &VerifiedKey,
    ) -> Result<bool, StoreError> {
        self.end_tenant_as(name, reason.into(), Some(actor))
    }

    fn end_tenant_as(&self, name: &str, reason: String, actor: Option<&VerifiedKey>) -> Result<bool, StoreError> {
        bounds::tenant(name)?;
        bounds::reason(&reason)?;
        let action = NamedAction::Tenant(TenantAction::End { name: name.to_owned(), reason });
        self.change_named(actor, |_| Ok(action.clone()))
    }

    /// Changes a role, a tenant or an owner as this decides. Returns whether anything changed.
    pub(in crate::store) fn change_named(
        &self,
        actor: Option<&VerifiedKey>,
        mut decide: impl FnMut(&Records<'_>) -> Result<NamedAction, StoreError>,
    ) -> Result<bool, StoreError> {
        let scope = self.scope(actor);
        let outcomes = self.change(|_, records| {
            let action = decide(records)?;
            let change = self.inner().engine.change_of(action.id(), Action::Named(action));
            Ok(vec![Change { scope: scope.clone(), ..change }])
        })?;
        Ok(outcomes.iter().any(|outcome| outcome.changed))
    }

    /// Returns the tenants that were [put](Self::put_tenant), or that have ended, sorted by name. A tenant that only has keys
    /// is not among them: it has no bounds.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn tenants(&self) -> Result<Vec<TenantInfo>, StoreError> {
        let records = self.inner().engine.log.open()?.all_named(Kind::Tenant)?;
        let mut tenants: Vec<TenantInfo> =
            records.into_iter().filter_map(NamedRecord::tenant).map(TenantInfo::of).collect();
        tenants.sort_unstable_by(|one, other| one.name().cmp(other.name()));
        Ok(tenants)
    }
}

impl TenantStore {
    /// Returns the bounds of the tenant; `None` if nobody has [put](KeyStore::put_tenant) or ended it.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`].
    pub fn info(&self) -> Result<Option<TenantInfo>, StoreError> {
        Ok(self.store().inner().engine.log.open()?.tenant(self.name())?.map(TenantInfo::of))
    }
}
