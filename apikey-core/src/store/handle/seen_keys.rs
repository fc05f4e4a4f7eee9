//! The methods that the handles of one owner and of one tenant share. Each calls the method of the same name of a
//! `KeyStore` that sees those keys only.

/// Writes these methods for a handle whose first field is such a store; `$whose` says in their docs whose keys it sees.
macro_rules! seen_keys {
    ($handle:ident, $whose:literal) => {
        impl $handle {
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

            #[doc = concat!("Creates up to 10,000 keys of this ", $whose, ", all or none: [`KeyStore::create_many`].")]
            ///
            /// # Errors
            /// Those of [`create`](Self::create), for the first key that causes one.
            pub fn create_many(&self, keys: impl IntoIterator<Item = NewKey>) -> Result<Vec<CreatedKey>, StoreError> {
                self.0.create_many(keys)
            }

            #[doc = concat!("Returns a key without its secret; `None` if this ", $whose, " has no key with this id.")]
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

            #[doc = concat!("Returns a page of this ", $whose, "'s keys: [`KeyStore::list`]. A filter by another ", $whose, " finds nothing.")]
            ///
            /// # Errors
            /// Those of [`KeyStore::list`].
            pub fn list(&self, filter: &KeyFilter) -> Result<Page, StoreError> {
                self.0.list(filter)
            }

            #[doc = concat!("Returns a page of this ", $whose, "'s keys on behalf of `actor`: [`KeyStore::list_within`].")]
            ///
            /// # Errors
            /// Those of [`KeyStore::list_within`].
            pub fn list_within(&self, filter: &KeyFilter, actor: &VerifiedKey) -> Result<Page, StoreError> {
                self.0.list_within(filter, actor)
            }

            #[doc = concat!("Returns all of this ", $whose, "'s keys that a filter selects, if the store has to read few records for them:")]
            /// [`KeyStore::find`].
            ///
            /// # Errors
            /// Those of [`KeyStore::find`].
            pub fn find(&self, filter: &KeyFilter, max_reads: usize) -> Result<Option<Vec<KeyInfo>>, StoreError> {
                self.0.find(filter, max_reads)
            }

            /// Revokes these keys, which is final: [`KeyStore::revoke_keys`].
            ///
            /// # Errors
            /// Those of [`KeyStore::revoke_keys`].
            pub fn revoke_keys(&self, ids: &[KeyId], reason: impl Into<String>) -> Result<usize, StoreError> {
                self.0.revoke_keys(ids, reason)
            }

            /// Changes a key's fields: [`KeyStore::update`].
            ///
            /// # Errors
            /// Those of [`KeyStore::update`].
            pub fn update(&self, id: KeyId, update: KeyUpdate) -> Result<KeyInfo, StoreError> {
                self.0.update(id, update)
            }

            #[doc = concat!("Returns what a key of this ", $whose, " has left of its quota: [`KeyStore::quota_status_of`].")]
            ///
            /// # Errors
            /// Those of [`KeyStore::quota_status_of`].
            pub fn quota_status_of(&self, id: KeyId) -> Result<Option<QuotaStatus>, StoreError> {
                self.0.quota_status_of(id)
            }

            #[doc = concat!("Adds uses to a key of this ", $whose, ": [`KeyStore::add_uses`].")]
            ///
            /// # Errors
            /// Those of [`KeyStore::add_uses`].
            pub fn add_uses(&self, id: KeyId, uses: u64) -> Result<KeyInfo, StoreError> {
                self.0.add_uses(id, uses)
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

            #[doc = concat!("Rotates a key in an idempotent request: [`KeyStore::rotate_idempotent`]. No two ", $whose, "s share idempotency keys.")]
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

            #[doc = concat!("Returns a page of the history of this ", $whose, "'s keys: [`KeyStore::events`]. It has no events of keys that were")]
            #[doc = concat!("[purged](KeyStore::purge), since the store no longer knows their ", $whose, "s.")]
            ///
            /// # Errors
            /// Those of [`KeyStore::events`].
            pub fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
                self.0.events(filter)
            }

            #[doc = concat!("Returns a page of the history of this ", $whose, "'s keys on behalf of `actor`: [`KeyStore::events_within`].")]
            ///
            /// # Errors
            /// Those of [`KeyStore::events_within`].
            pub fn events_within(&self, filter: &EventFilter, actor: &VerifiedKey) -> Result<EventPage, StoreError> {
                self.0.events_within(filter, actor)
            }
        }
    };
}

pub(super) use seen_keys;
