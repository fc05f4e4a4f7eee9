//! The keys of one owner.

use std::fmt;

use crate::access::owner::{OwnerRef, Seen};
use crate::access::peer::Peer;
use crate::access::quota::status::QuotaStatus;
use crate::access::verified_key::VerifiedKey;
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::event::filter::{EventFilter, EventPage};
use crate::key::key_filter::{KeyFilter, Page};
use crate::key::key_info::KeyInfo;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::{CreatedKey, NewKey};
use crate::key::owner::key_bounds::KeyBounds;
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::store::handle::seen_keys::seen_keys;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;
use crate::usage::query::{Of, Usage};
use crate::usage::report::UsageReport;

/// A handle of a store that sees the keys of one owner. Every method works as on [`KeyStore`], as if keys of other
/// owners did not exist: it answers the same for the id of such a key as for an id that no key has. Use it wherever
/// callers manage their own keys, so that no handler has to compare owners.
///
/// It bounds *whose* keys a caller manages. [`NewKey::within`], [`KeyUpdate::within`] and the methods `.._within` bound
/// what these keys may do. If a caller creates or changes keys, use both.
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap};
///
/// let store = KeyStore::temporary()?;
/// let bobs = store.create(NewKey::for_owner("bob"))?.info.id();
/// let alice = store.of_owner("alice");
/// let key = alice.create(NewKey::for_owner("alice").permissions(["orders:read"]))?;
///
/// assert!(alice.get(bobs)?.is_none());
/// assert_eq!(alice.revoke(bobs, "mine now").unwrap_err().status(), 404);
/// assert!(alice.rotate(key.info.id(), Overlap::UntilFirstUse).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct OwnerStore(pub(super) KeyStore);

impl KeyStore {
    /// Returns a handle of the same store that sees only the keys of this owner, who is one of no tenant: for the owner of a
    /// verified key see [`of_owner_of`](Self::of_owner_of). It keeps the [actor](Self::as_actor)
    /// of this handle, and costs as little as a clone. An owner whose name is out of bounds has no keys, and cannot
    /// create any.
    #[must_use]
    pub fn of_owner(&self, owner: impl AsRef<str>) -> OwnerStore {
        OwnerStore(self.seeing(Seen { owner: Some(owner.as_ref().into()), ..self.seen().clone() }))
    }
}

impl OwnerStore {
    /// Returns the owner of these keys.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.seen().owner.as_deref().unwrap_or_default()
    }

    /// Returns a handle of the same keys whose changes are within these bounds: for callers who manage their own keys without a
    /// key that caps them. The bounds of this handle, if it has any, are replaced.
    #[must_use = "the changes made through the new handle are within the bounds, those of the old one are not"]
    pub fn bounded(&self, bounds: KeyBounds) -> Self {
        Self(self.0.bounded(bounds))
    }

    pub(crate) fn store(&self) -> &KeyStore {
        &self.0
    }

    /// The owner, with the tenant.
    pub(crate) fn owner_ref(&self) -> OwnerRef<'_> {
        OwnerRef { tenant: self.0.seen().tenant(), name: self.owner() }
    }

    /// Creates a key of this owner: [`KeyStore::create`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key of another owner, and those of [`KeyStore::create`].
    pub fn create(&self, key: NewKey) -> Result<CreatedKey, StoreError> {
        self.0.create(key)
    }

    /// Returns how often keys were used: of this owner, or of one of its keys. [`KeyStore::usage`].
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for a key of another owner, [`StoreError::Invalid`] for other usage than that of this owner,
    /// and those of [`KeyStore::usage`].
    pub fn usage(&self, usage: &Usage) -> Result<UsageReport, StoreError> {
        let own = self.owner_ref();
        match usage.of_what() {
            Of::Key(id) => {
                self.get(*id)?.ok_or(StoreError::NotFound(*id))?;
            }
            Of::Owner { tenant, name } if own == (OwnerRef { tenant: tenant.as_deref(), name }) => {}
            Of::Owner { name, .. } => return Err(StoreError::invalid("owner", name, "the owner of this handle")),
            Of::Tenant(_) | Of::Store => {
                return Err(StoreError::invalid("usage", "of several owners", "that of the owner of this handle"));
            }
        }
        self.0.usage(usage)
    }

    /// Revokes every key of this owner, and returns the number of keys that were not revoked before:
    /// [`KeyStore::revoke_owner`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner`].
    pub fn revoke_all(&self, reason: impl Into<String>) -> Result<usize, StoreError> {
        self.0.revoke_owner(self.owner(), reason)
    }

    /// Revokes every key of this owner on behalf of `actor`: [`KeyStore::revoke_owner_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner_within`].
    pub fn revoke_all_within(&self, reason: impl Into<String>, actor: &VerifiedKey) -> Result<usize, StoreError> {
        self.0.revoke_owner_within(self.owner(), reason, actor)
    }
}

seen_keys!(OwnerStore, "owner");

impl fmt::Debug for OwnerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerStore").field("owner", &self.owner()).field("store", &self.0).finish()
    }
}
