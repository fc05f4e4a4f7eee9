//! Counts of refusals, and the hook that the store calls for each.

use std::collections::BTreeMap;

use crate::access::auth_error::AuthError;
use crate::access::peer::Peer;
use crate::access::refusal_count::RefusalCount;
use crate::access::verified_key::VerifiedKey;
use crate::index::refused::refusals::{Refusals, RefusedKey};
use crate::token::key_id::KeyId;

use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Returns how often the store has refused requests since it was opened, for each key and code.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// store.revoke(created.info.id(), "left")?;
    /// assert!(store.verify(created.key.expose_secret()).is_err());
    /// assert!(store.verify("ak_no_key_at_all").is_err());
    /// let refusals = store.refusals();
    /// assert_eq!(refusals.unknown["invalid_api_key"], 1);
    /// assert_eq!(refusals.keys[&created.info.id()]["revoked_api_key"], 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.inner().engine.refusals.snapshot()
    }

    /// Returns how often the store has refused requests with this key's secrets since it was opened, by code.
    #[must_use]
    pub fn refusals_of(&self, id: KeyId) -> BTreeMap<&'static str, u64> {
        self.inner().engine.refusals.of(id)
    }

    /// Returns the counts with their last time and address, the most frequent first.
    pub(crate) fn refusal_counts(&self) -> Vec<RefusalCount> {
        self.inner().engine.refusals.counts()
    }

    /// Counts a refusal that the service has decided outside of the store, and calls
    /// [`on_refusal`](crate::KeyStoreBuilder::on_refusal): a request carried no key, or a key that was verified before
    /// lacks a permission. The guards of this crate call it themselves, and the store has already counted what
    /// [`verify`](Self::verify), [`authorize`](Self::authorize) and [`check`](Self::check) refuse.
    pub fn note_refusal(&self, error: &AuthError, key: Option<&VerifiedKey>, peer: impl Into<Peer>) {
        let key = key.filter(|key| self.has_verified(key));
        let key = key.map(|key| RefusedKey { id: key.id().as_u128(), identity: key.identity });
        self.inner().count_refusal(error, key, peer.into());
    }
}

impl Inner {
    /// Counts the refusal of a token that belongs to no key. This is the shortest path, since guesses come in floods.
    #[inline]
    pub(crate) fn unknown(&self, peer: &Peer) -> AuthError {
        if self.engine.index.is_closed() {
            return self.refused("", AuthError::Unavailable, peer);
        }
        self.count_refusal(&AuthError::Invalid, None, *peer);
        AuthError::Invalid
    }

    /// Counts the refusal of a token that matches no secret. It may be the ended one of a key.
    #[cold]
    pub(crate) fn unmatched(&self, rotated: Option<RefusedKey>, peer: &Peer) -> AuthError {
        let Some(key) = rotated.filter(|_| !self.engine.index.is_closed()) else { return self.unknown(peer) };
        self.count_refusal(&AuthError::Rotated, Some(key), *peer);
        AuthError::Rotated
    }

    /// Counts a refusal. An invalid token belongs to no key; every other refusal answers a caller with a key's secret.
    /// This looks that key up again: carrying it here would slow down every verification of a valid key.
    #[cold]
    #[inline(never)]
    pub(crate) fn refused(&self, token: &str, error: AuthError, peer: &Peer) -> AuthError {
        let error = self.engine.unavailable_if_closed(error);
        let key = match error {
            AuthError::Invalid | AuthError::Unavailable => None,
            // The budget of the address is used up, so the store does not look for the key.
            AuthError::RateLimited { limit: None, .. } => None,
            _ => self
                .find(token.as_bytes())
                .map(|(matched, id)| RefusedKey { id: id.key_id().as_u128(), identity: matched.identity() }),
        };
        self.count_refusal(&error, key, *peer);
        error
    }

    /// Whether this is the token of one of the store's keys, valid or not.
    pub(crate) fn owns(&self, token: &str) -> bool {
        self.find(token.as_bytes()).is_some()
    }

    #[inline]
    fn count_refusal(&self, error: &AuthError, key: Option<RefusedKey>, peer: Peer) {
        self.engine.meter.refused(error.code());
        self.engine.refusals.count(key, error, peer, || self.engine.time.raw_ms());
        if let (Some(counts), Some(key)) = (&self.engine.counts, key) {
            counts.refuse(key.id, key.identity, error.code(), self.engine.time.now_ms());
        }
        self.on_refusal.call(error, peer, key);
    }
}
