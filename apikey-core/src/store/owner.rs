//! The keys of one owner.

use std::fmt;

use crate::access::peer::Peer;
use crate::access::verified_key::VerifiedKey;
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::event::filter::{EventFilter, EventPage};
use crate::key::key_filter::{KeyFilter, Page};
use crate::key::key_info::KeyInfo;
use crate::key::key_update::KeyUpdate;
use crate::key::new_key::{CreatedKey, NewKey};
use crate::key::rotation::options::RotateOptions;
use crate::key::rotation::overlap::Overlap;
use crate::token::key_id::KeyId;

use crate::store::key_store::KeyStore;

/// The store as one owner may see it: every call is as on [`KeyStore`], and keys of other owners do not exist. What it
/// answers for the id of such a key is what it answers for an id that was never given. Use it wherever callers manage
/// their own keys, so that no handler has to compare owners.
///
/// It bounds *whose* keys. What they may do is bounded by [`NewKey::within`] and its like; where a caller makes or changes
/// keys, use both.
///
/// ```
/// use apikey_core::{KeyStore, NewKey, Overlap};
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
pub struct OwnerStore(KeyStore);

impl KeyStore {
    /// The same store, with the keys of this owner only. It keeps the handle's [actor](Self::as_actor), and is as cheap as
    /// a clone. An owner out of bounds has no keys, and gets none.
    #[must_use]
    pub fn of_owner(&self, owner: impl AsRef<str>) -> OwnerStore {
        OwnerStore(self.seeing(owner.as_ref()))
    }
}

impl OwnerStore {
    /// Whose keys these are.
    #[must_use]
    pub fn owner(&self) -> &str {
        self.0.only_owner().unwrap_or_default()
    }

    /// A handle of the same keys whose changes say who made them: [`KeyStore::as_actor`].
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor(&self, actor: impl Into<Actor>) -> Self {
        Self(self.0.as_actor(actor))
    }

    /// The same with the address from which the actor asks: [`KeyStore::as_actor_from`].
    #[must_use = "the changes made through the new handle have the actor, those of the old one do not"]
    pub fn as_actor_from(&self, actor: impl Into<Actor>, peer: impl Into<Peer>) -> Self {
        Self(self.0.as_actor_from(actor, peer))
    }

    /// Creates a key of this owner: [`KeyStore::create`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a key of another owner, and those of [`KeyStore::create`].
    pub fn create(&self, key: NewKey) -> Result<CreatedKey, StoreError> {
        self.0.create(key)
    }

    /// Creates up to 10,000 keys of this owner, all or none: [`KeyStore::create_many`].
    ///
    /// # Errors
    /// As [`create`](Self::create), for the first key that has a fault.
    pub fn create_many(&self, keys: impl IntoIterator<Item = NewKey>) -> Result<Vec<CreatedKey>, StoreError> {
        self.0.create_many(keys)
    }

    /// What is known of a key; `None` if this owner has none with this id.
    ///
    /// # Errors
    /// Those of [`KeyStore::get`].
    pub fn get(&self, id: KeyId) -> Result<Option<KeyInfo>, StoreError> {
        self.0.get(id)
    }

    /// A page of this owner's keys: [`KeyStore::list`]. A filter that names another owner finds nothing.
    ///
    /// # Errors
    /// Those of [`KeyStore::list`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        self.0.list(filter)
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

    /// Rotates a key as far as `actor` may: [`KeyStore::rotate_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate_within`].
    pub fn rotate_within(&self, id: KeyId, overlap: Overlap, actor: &VerifiedKey) -> Result<CreatedKey, StoreError> {
        self.0.rotate_within(id, overlap, actor)
    }

    /// Rotates a key so that the request can be repeated: [`KeyStore::rotate_idempotent`]. Owners share no idempotency keys.
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

    /// Rotates a key as the options say: [`KeyStore::rotate_with`].
    ///
    /// # Errors
    /// Those of [`KeyStore::rotate_with`].
    pub fn rotate_with(&self, id: KeyId, options: &RotateOptions) -> Result<CreatedKey, StoreError> {
        self.0.rotate_with(id, options)
    }

    /// The answer to a leak: [`KeyStore::replace_leaked`].
    ///
    /// # Errors
    /// Those of [`KeyStore::replace_leaked`].
    pub fn replace_leaked(&self, id: KeyId, reason: impl Into<String>) -> Result<CreatedKey, StoreError> {
        self.0.replace_leaked(id, reason)
    }

    /// Answers a leak as far as `actor` may: [`KeyStore::replace_leaked_within`].
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

    /// Ends a key for good: [`KeyStore::revoke`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke`].
    pub fn revoke(&self, id: KeyId, reason: impl Into<String>) -> Result<bool, StoreError> {
        self.0.revoke(id, reason)
    }

    /// Revokes a key as far as `actor` may: [`KeyStore::revoke_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_within`].
    pub fn revoke_within(&self, id: KeyId, reason: impl Into<String>, actor: &VerifiedKey) -> Result<bool, StoreError> {
        self.0.revoke_within(id, reason, actor)
    }

    /// Revokes every key of this owner: [`KeyStore::revoke_owner`]. How many were not revoked before.
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner`].
    pub fn revoke_all(&self, reason: impl Into<String>) -> Result<usize, StoreError> {
        self.0.revoke_owner(self.owner(), reason)
    }

    /// Revokes every key of this owner as far as `actor` may: [`KeyStore::revoke_owner_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::revoke_owner_within`].
    pub fn revoke_all_within(&self, reason: impl Into<String>, actor: &VerifiedKey) -> Result<usize, StoreError> {
        self.0.revoke_owner_within(self.owner(), reason, actor)
    }

    /// A page of the history of this owner's keys: [`KeyStore::events`]. Events of keys that were
    /// [purged](KeyStore::purge) are not in it: nothing says any more whose they were.
    ///
    /// # Errors
    /// Those of [`KeyStore::events`].
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        self.0.events(filter)
    }
}

impl fmt::Debug for OwnerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerStore").field("owner", &self.owner()).field("store", &self.0).finish()
    }
}
