//! Whoever makes a request, and the store as they may see and change it: a key, within which every call is; who runs the
//! service, whom nothing bounds; and an owner without a key, whose bounds the store checks.

use std::sync::Arc;

use apikey_core::{
    Actor, Attempt, AuthError, CapViolation, CreatedKey, EventFilter, EventPage, Inspection, KeyBounds, KeyFilter,
    KeyId, KeyInfo, KeyStore, KeyUpdate, Need, NewKey, OwnerStore, Page, Peer, Requirement, Role, RotateOptions,
    StoreError, Tenant, Usage, UsageReport, VerifiedKey,
};

use super::operation::{Needs, Operation};
use crate::answer::{PlainResponse, Problem};
use crate::ask::Rejection;

/// What an owner without a key may do: with its own keys, and with no others.
pub(crate) const OF_OWNERS: [&str; 6] =
    ["keys:read", "keys:create", "keys:update", "keys:rotate", "keys:revoke", "usage:read"];

/// The actor of the changes of owners. Each key has one owner, so no name is needed.
const OWNER: &str = "owner, in the console";

/// Whoever makes a request.
#[derive(Debug, Clone)]
#[cfg_attr(not(feature = "console"), allow(dead_code, reason = "without a console every caller has a key"))]
pub(crate) enum Caller {
    Key(VerifiedKey),
    /// Who runs the service: the actor of its changes.
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

/// A caller, where it is, and whether it is in a session of the console.
#[derive(Debug)]
pub(crate) struct Acting {
    caller: Caller,
    peer: Peer,
    session: Option<InSession>,
}

/// What a session of the console says of its caller.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InSession {
    /// Whether its last sign-in was a short while ago.
    pub(crate) is_fresh: bool,
}

impl Acting {
    pub(super) fn with_key(key: VerifiedKey, peer: Peer) -> Self {
        Self { caller: Caller::Key(key), peer, session: None }
    }

    /// A caller in a session of the console.
    #[cfg(feature = "console")]
    pub(crate) fn in_session(caller: Caller, peer: Peer, is_fresh: bool) -> Self {
        Self { caller, peer, session: Some(InSession { is_fresh }) }
    }

    pub(super) fn caller(&self) -> &Caller {
        &self.caller
    }

    pub(super) fn into_caller(self) -> (Caller, bool) {
        (self.caller, self.session.is_some())
    }

    /// The store, with the caller as the actor of its changes.
    pub(super) fn store(&self, store: &KeyStore) -> KeyStore {
        let actor = match &self.caller {
            Caller::Key(key) => Actor::Key(key.id()),
            Caller::Operator(actor) => actor.clone(),
            Caller::Owner(_) => Actor::Application(OWNER.to_owned()),
        };
        store.as_actor_from(actor, self.peer)
    }

    /// Reads the caller's key again once the body is there, which may have taken hours: it may have lost the key meanwhile, or
    /// the permission.
    pub(super) fn recheck(&mut self, need: &'static Need, store: &KeyStore) -> Result<(), Rejection> {
        let Caller::Key(key) = &mut self.caller else { return Ok(()) };
        let rejected = |error| Rejection::of(store, error);
        *key = store.refresh(key, self.peer).map_err(rejected)?;
        key.require(&Requirement::from(need)).map_err(rejected)
    }

    /// Checks that the caller may ask for an operation at all.
    pub(super) fn check(&self, operation: &Operation, store: &KeyStore) -> Result<(), Box<PlainResponse>> {
        let refused = |error| Box::new(PlainResponse::from(Rejection::of(store, error)));
        if let Some(need) = operation.needs.need() {
            match &self.caller {
                Caller::Key(key) => key.require(&Requirement::from(need)).map_err(refused)?,
                Caller::Operator(_) => {}
                Caller::Owner(_) => match operation.needs.permission() {
                    Some(permission) if !OF_OWNERS.contains(&permission) => {
                        let required = Requirement::from(need);
                        return Err(refused(AuthError::InsufficientPermission { required }));
                    }
                    _ => {}
                },
            }
        }
        if matches!(operation.needs, Needs::KeyOfNoTenant(_)) {
            match &self.caller {
                Caller::Key(key) => key.in_no_tenant().map_err(refused)?,
                Caller::Operator(_) => {}
                Caller::Owner(_) => return Err(refused(AuthError::NotFound)),
            }
        }
        match self.session {
            Some(InSession { is_fresh: false }) if operation.shows_secret() => {
                let detail = "sign in again to see a secret: the last time was more than 15 minutes ago";
                Err(Box::new(Problem::new(403, "sign_in_again", detail).into()))
            }
            _ => Ok(()),
        }
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
