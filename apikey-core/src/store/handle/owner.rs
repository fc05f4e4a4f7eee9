//! The keys of one owner.

use std::fmt;

use crate::access::owner::Seen;
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
    /// Those of [`create`](Self::create), for the first key that causes one.
    pub fn create_many(&self, keys: impl IntoIterator<Item = NewKey>) -> Result<Vec<CreatedKey>, StoreError> {
        self.0.create_many(keys)
    }

    /// Returns a key without its secret; `None` if this owner has no key with this id.
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

    /// Returns a page of this owner's keys: [`KeyStore::list`]. A filter by another owner finds nothing.
    ///
    /// # Errors
    /// Those of [`KeyStore::list`].
    pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
        self.0.list(filter)
    }

    /// Returns a page of this owner's keys on behalf of `actor`: [`KeyStore::list_within`].
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

    /// Rotates a key in an idempotent request: [`KeyStore::rotate_idempotent`]. Owners share no idempotency keys.
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

    /// Returns a page of the history of this owner's keys: [`KeyStore::events`]. It has no events of keys that were
    /// [purged](KeyStore::purge), since the store no longer knows their owners.
    ///
    /// # Errors
    /// Those of [`KeyStore::events`].
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        self.0.events(filter)
    }

    /// Returns a page of the history of this owner's keys on behalf of `actor`: [`KeyStore::events_within`].
    ///
    /// # Errors
    /// Those of [`KeyStore::events_within`].
    pub fn events_within(&self, filter: &EventFilter, actor: &VerifiedKey) -> Result<EventPage, StoreError> {
        self.0.events_within(filter, actor)
    }
}

impl fmt::Debug for OwnerStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnerStore").field("owner", &self.owner()).field("store", &self.0).finish()
    }
}
