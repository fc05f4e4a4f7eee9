//! An owner who is signed in to the application.

use std::sync::Arc;

use apikey_core::KeyBounds;
use chrono::{DateTime, TimeDelta, Utc};

use crate::guard::Offered;
use crate::management::{Caller, OwnerCaller};

/// An owner of keys who is signed in to the application: what the function of [`Console::owner_from`](super::Console::owner_from)
/// returns. In the console they see their own keys, create others within these bounds, rename, rotate and revoke them, and read
/// how often they are used. The store checks the bounds when it decides a change ([`KeyBounds`](crate::KeyBounds)).
///
/// ```
/// use apikey::console::Owner;
/// use chrono::TimeDelta;
///
/// let owner = Owner::new("alice").offer(["orders:read"]).max_keys(5).max_lifetime(TimeDelta::days(90));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    tenant: Option<String>,
    name: String,
    bounds: KeyBounds,
    signed_in_at: Option<DateTime<Utc>>,
}

impl Owner {
    /// Creates an owner of this name, of no tenant, who may have 20 keys without permissions.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        Self { tenant: None, name: name.into(), bounds: KeyBounds::new(), signed_in_at: None }
    }

    /// Sets the tenant of the owner.
    #[must_use]
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Sets the permissions that the owner may put on keys: [`KeyBounds::offer`](crate::KeyBounds::offer).
    #[must_use]
    pub fn offer<P: Offered>(mut self, permissions: impl AsRef<[P]>) -> Self {
        self.bounds = self.bounds.offer(permissions.as_ref().iter().map(Offered::permission));
        self
    }

    /// Sets how many keys the owner may have that are neither revoked nor expired; 20 without a call.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.bounds = self.bounds.max_keys(keys);
        self
    }

    /// Sets the longest time from the creation of a key to its end; any without a call.
    #[must_use]
    pub fn max_lifetime(mut self, span: TimeDelta) -> Self {
        self.bounds = self.bounds.max_lifetime(span);
        self
    }

    /// Sets when the owner has signed in to the application last. More than 15 minutes later the console shows no secret until
    /// they have signed in to the application again. Without a call it relies on the application's session.
    #[must_use]
    pub fn signed_in_at(mut self, time: DateTime<Utc>) -> Self {
        self.signed_in_at = Some(time);
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn tenant_name(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    pub(super) fn bounds(&self) -> &KeyBounds {
        &self.bounds
    }

    pub(super) fn last_sign_in(&self) -> Option<DateTime<Utc>> {
        self.signed_in_at
    }

    pub(super) fn caller(&self) -> Caller {
        let Self { tenant, name, bounds, .. } = self.clone();
        Caller::Owner(Arc::new(OwnerCaller { tenant, owner: name, bounds }))
    }
}
