//! Whoever makes a request, and the store as they may see and change it: a key, within which every call is; who runs the
//! service, whom nothing bounds; and an owner without a key, whose bounds the store checks.

use std::sync::Arc;

use apikey_core::{
    Actor, Attempt, CapViolation, CreatedKey, EventFilter, EventPage, Inspection, KeyBounds, KeyFilter, KeyId, KeyInfo,
    KeyStore, KeyUpdate, NewKey, OwnerStore, Page, Role, RotateOptions, StoreError, Tenant, Usage, UsageReport,
    VerifiedKey,
};

/// Whoever makes a request.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "console"), allow(dead_code, reason = "without a console every caller has a key"))]
pub(crate) enum Caller {
    Key(VerifiedKey),
    /// An operator of the service, whom nothing bounds: the actor of its changes.
    Operator(Actor),
    Owner(Arc<OwnerCaller>),
}

/// An owner who is signed in to the application, without a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnerCaller {
    pub(crate) tenant: Option<String>,
    pub(crate) owner: String,
    pub(crate) bounds: KeyBounds,
}

impl OwnerCaller {
    /// The store as it sees it.
    fn keys(&self, store: &KeyStore) -> Result<OwnerStore, StoreError> {
        let keys = match &self.tenant {
            None => store.of_owner(&self.owner),
            Some(tenant) => store.tenant(tenant)?.of_owner(&self.owner),
        };
        Ok(keys.bounded(self.bounds.clone()))
    }

    fn refused(&self, wanted: Option<&str>) -> StoreError {
        let (wanted, actor) = (wanted.map(str::to_owned), self.tenant.clone());
        StoreError::Exceeds(CapViolation::Tenant { wanted, actor })
    }
}

impl Caller {
    /// The key, if it is one.
    pub(super) fn key(&self) -> Option<&VerifiedKey> {
        match self {
            Self::Key(key) => Some(key),
            Self::Operator(_) | Self::Owner(_) => None,
        }
    }

    /// The owner without a key, if it is one.
    pub(super) fn owner(&self) -> Option<&OwnerCaller> {
        match self {
            Self::Owner(owner) => Some(owner),
            Self::Key(_) | Self::Operator(_) => None,
        }
    }

    /// The one tenant whose keys it manages; `None` if there is none.
    pub(super) fn tenant(&self) -> Option<&str> {
        match self {
            Self::Key(key) => key.tenant(),
            Self::Operator(_) => None,
            Self::Owner(owner) => owner.tenant.as_deref(),
        }
    }

    /// Whether keys of this tenant are there for it: those of its own, and for one of none that manages tenants all.
    pub(super) fn sees_tenant(&self, tenant: Option<&str>) -> bool {
        match self {
            Self::Key(key) => key.reaches_tenant(tenant),
            Self::Operator(_) => true,
            Self::Owner(owner) => owner.tenant.as_deref() == tenant,
        }
    }

    /// Whether it may read all keys of the store.
    pub(super) fn sees_all(&self) -> bool {
        match self {
            Self::Key(key) => key.tenant().is_none() && key.allows("keys:any_owner") && key.allows("keys:any_tenant"),
            Self::Operator(_) => true,
            Self::Owner(_) => false,
        }
    }

    /// What tells its idempotency keys from those of other callers. The store tells owners apart.
    pub(super) fn idempotency(&self) -> String {
        match self {
            Self::Key(key) => format!("key:{}", key.id()),
            Self::Operator(actor) => actor.to_string(),
            Self::Owner(_) => "owner".to_owned(),
        }
    }

    /// Checks a token that the caller asks about, and that it does not use.
    pub(super) fn inspect(&self, store: &KeyStore, attempt: &Attempt<'_>) -> Result<Inspection, StoreError> {
        match self {
            Self::Key(key) => Ok(store.inspect_within(attempt, key)),
            Self::Operator(_) => Ok(store.inspect(attempt)),
            Self::Owner(owner) => Err(owner.refused(None)),
        }
    }

    pub(super) fn get(&self, store: &KeyStore, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        match self {
            Self::Key(key) => store.get_within(id, key),
            Self::Operator(_) => store.get(id),
            Self::Owner(owner) => owner.keys(store)?.get(id),
        }
    }

    pub(super) fn list(&self, store: &KeyStore, filter: &KeyFilter) -> Result<Page, StoreError> {
        match self {
            Self::Key(key) => store.list_within(filter, key),
            Self::Operator(_) => store.list(filter),
            Self::Owner(owner) => owner.keys(store)?.list(filter),
        }
    }

    pub(super) fn find(
        &self,
        store: &KeyStore,
        filter: &KeyFilter,
        max_reads: usize,
    ) -> Result<Option<Vec<KeyInfo>>, StoreError> {
        match self {
            Self::Key(key) => store.find_within(filter, max_reads, key),
            Self::Operator(_) => store.find(filter, max_reads),
            Self::Owner(owner) => owner.keys(store)?.find(filter, max_reads),
        }
    }

    /// Creates a key of this tenant; `None` is the caller's own.
    pub(super) fn create(
        &self,
        store: &KeyStore,
        tenant: Option<String>,
        new: NewKey,
    ) -> Result<CreatedKey, StoreError> {
        let new = match self {
            Self::Key(key) => new.within(key),
            Self::Operator(_) => new,
            Self::Owner(owner) => {
                if tenant.is_some() && tenant != owner.tenant {
                    return Err(owner.refused(tenant.as_deref()));
                }
                return owner.keys(store)?.create(new);
            }
        };
        match tenant {
            None => store.create(new),
            Some(tenant) => store.tenant(tenant)?.create(new),
        }
    }

    pub(super) fn update(&self, store: &KeyStore, id: KeyId, change: KeyUpdate) -> Result<KeyInfo, StoreError> {
        match self {
            Self::Key(key) => store.update(id, change.within(key)),
            Self::Operator(_) => store.update(id, change),
            Self::Owner(owner) => owner.keys(store)?.update(id, change),
        }
    }

    pub(super) fn rotate(&self, store: &KeyStore, id: KeyId, options: RotateOptions) -> Result<CreatedKey, StoreError> {
        match self {
            Self::Key(key) => store.rotate_with(id, &options.within(key)),
            Self::Operator(_) => store.rotate_with(id, &options),
            Self::Owner(owner) => owner.keys(store)?.rotate_with(id, &options),
        }
    }

    pub(super) fn replace(&self, store: &KeyStore, id: KeyId, reason: String) -> Result<CreatedKey, StoreError> {
        match self {
            Self::Key(key) => store.replace_leaked_within(id, reason, key),
            Self::Operator(_) => store.replace_leaked(id, reason),
            Self::Owner(owner) => owner.keys(store)?.replace_leaked(id, reason),
        }
    }

    pub(super) fn revoke(&self, store: &KeyStore, id: KeyId, reason: String) -> Result<bool, StoreError> {
        match self {
            Self::Key(key) => store.revoke_within(id, reason, key),
            Self::Operator(_) => store.revoke(id, reason),
            Self::Owner(owner) => owner.keys(store)?.revoke(id, reason),
        }
    }

    pub(super) fn revoke_keys(&self, store: &KeyStore, ids: &[KeyId], reason: String) -> Result<usize, StoreError> {
        match self {
            Self::Key(key) => store.revoke_keys_within(ids, reason, key),
            Self::Operator(_) => store.revoke_keys(ids, reason),
            Self::Owner(owner) => owner.keys(store)?.revoke_keys(ids, reason),
        }
    }

    /// Revokes the keys of an owner of this tenant; `None` is the caller's own.
    pub(super) fn revoke_owner(
        &self,
        store: &KeyStore,
        tenant: Option<String>,
        name: &str,
        reason: String,
    ) -> Result<usize, StoreError> {
        match (self, tenant) {
            (Self::Key(key), None) => store.revoke_owner_within(name, reason, key),
            (Self::Key(key), Some(tenant)) => store.tenant(tenant)?.revoke_owner_within(name, reason, key),
            (Self::Operator(_), None) => store.revoke_owner(name, reason),
            (Self::Operator(_), Some(tenant)) => store.tenant(tenant)?.revoke_owner(name, reason),
            (Self::Owner(owner), tenant) => {
                if tenant.is_some() && tenant != owner.tenant {
                    return Err(owner.refused(tenant.as_deref()));
                }
                if name != owner.owner {
                    let (wanted, actor) = (name.to_owned(), owner.owner.clone());
                    return Err(StoreError::Exceeds(CapViolation::Owner { wanted, actor }));
                }
                owner.keys(store)?.revoke_all(reason)
            }
        }
    }

    pub(super) fn put_role(&self, store: &KeyStore, name: &str, role: Role) -> Result<bool, StoreError> {
        match self {
            Self::Key(key) => store.put_role_within(role, key),
            Self::Operator(_) => store.put_role(role),
            Self::Owner(_) => Err(StoreError::Exceeds(CapViolation::Role(name.to_owned()))),
        }
    }

    pub(super) fn delete_role(&self, store: &KeyStore, name: &str) -> Result<bool, StoreError> {
        match self {
            Self::Key(key) => store.delete_role_within(name, key),
            Self::Operator(_) => store.delete_role(name),
            Self::Owner(_) => Err(StoreError::Exceeds(CapViolation::Role(name.to_owned()))),
        }
    }

    pub(super) fn put_tenant(&self, store: &KeyStore, name: &str, tenant: Tenant) -> Result<bool, StoreError> {
        match self {
            Self::Key(key) => store.put_tenant_within(tenant, key),
            Self::Operator(_) => store.put_tenant(tenant),
            Self::Owner(owner) => Err(owner.refused(Some(name))),
        }
    }

    pub(super) fn end_tenant(&self, store: &KeyStore, name: &str, reason: String) -> Result<bool, StoreError> {
        match self {
            Self::Key(key) => store.end_tenant_within(name, reason, key),
            Self::Operator(_) => store.end_tenant(name, reason),
            Self::Owner(owner) => Err(owner.refused(Some(name))),
        }
    }

    pub(super) fn events(&self, store: &KeyStore, filter: &EventFilter) -> Result<EventPage, StoreError> {
        match self {
            Self::Key(key) => store.events_within(filter, key),
            Self::Operator(_) => store.events(filter),
            Self::Owner(owner) => owner.keys(store)?.events(filter),
        }
    }

    pub(super) fn usage(&self, store: &KeyStore, usage: &Usage) -> Result<UsageReport, StoreError> {
        match self {
            Self::Key(key) => store.usage_within(usage, key),
            Self::Operator(_) => store.usage(usage),
            Self::Owner(owner) => owner.keys(store)?.usage(usage),
        }
    }
}
