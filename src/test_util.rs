//! For tests of a service: a store with a manual clock, keys of any kind, and requests that carry them.
//!
//! Enable the feature `test-util` in `[dev-dependencies]` only: code with it can create a guard without a check.
//!
//! ```
//! # #[cfg(feature = "axum")] {
//! use apikey::test_util::TestKeys;
//! use apikey::{RequireApiKey, VerifiedKey, require_api_key};
//!
//! #[require_api_key(perm = "orders:read")]
//! async fn list(key: VerifiedKey) -> String {
//!     format!("orders of {}", key.owner())
//! }
//!
//! # async fn test() {
//! let keys = TestKeys::new();
//! // The handler as a function ..
//! assert_eq!(list(RequireApiKey::assume(keys.verified("alice", ["orders:read"]))).await, "orders of alice");
//! // .. or through the router of the service.
//! let request = keys.request(&keys.token("alice", ["orders:read"])).uri("/orders").body(()).unwrap();
//! # }
//! # }
//! ```

#![allow(clippy::expect_used, clippy::missing_panics_doc, reason = "a test fails by a panic")]

use apikey_core::{CreatedKey, KeyStore, KeyStoreBuilder, ManualClock, NewKey, Overlap, VerifiedKey};
use chrono::{DateTime, TimeDelta, Utc};

/// A temporary store whose clock shows 2027-01-15 08:00 UTC until the test advances it.
#[derive(Debug)]
pub struct TestKeys {
    store: KeyStore,
    clock: ManualClock,
}

impl TestKeys {
    /// Creates a store with the builder's defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::with(KeyStore::builder())
    }

    /// Creates a store with the settings of this builder, except for its clock.
    #[must_use]
    pub fn with(builder: KeyStoreBuilder) -> Self {
        let now = DateTime::<Utc>::from_timestamp_millis(1_800_000_000_000).expect("a time that chrono has");
        let clock = ManualClock::new(now);
        let store = builder.clock(clock.clone()).temporary().expect("a temporary store opens");
        Self { store, clock }
    }

    /// Returns the store, for the service under test.
    #[must_use]
    pub fn store(&self) -> &KeyStore {
        &self.store
    }

    /// Returns the clock of the store.
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Creates a key.
    #[must_use]
    pub fn create(&self, key: NewKey) -> CreatedKey {
        self.store.create(key).expect("a key that the store accepts")
    }

    /// Creates a key and returns its token. For a key without permissions write `[""; 0]`.
    #[must_use]
    pub fn token(&self, owner: &str, permissions: impl IntoIterator<Item: AsRef<str>>) -> String {
        self.create(NewKey::for_owner(owner).permissions(permissions)).key.expose_secret().to_owned()
    }

    /// Creates a key and verifies it. A guard passes such a key to a handler.
    #[must_use]
    pub fn verified(&self, owner: &str, permissions: impl IntoIterator<Item: AsRef<str>>) -> VerifiedKey {
        self.store.verify(&self.token(owner, permissions)).expect("a key that was just made")
    }

    /// Returns a verified key whose secret has been replaced and ends in an hour.
    #[must_use]
    pub fn superseded(&self, owner: &str, permissions: impl IntoIterator<Item: AsRef<str>>) -> VerifiedKey {
        let created = self.create(NewKey::for_owner(owner).permissions(permissions));
        let overlap = Overlap::For(TimeDelta::hours(1));
        self.store.rotate(created.info.id(), overlap).expect("a key that was just made");
        self.store.verify(created.key.expose_secret()).expect("a secret in its overlap")
    }

    /// Returns the name and value of the header that carries a token to this store, for any framework's request
    /// builder.
    #[must_use]
    pub fn header(&self, token: &str) -> (String, String) {
        (self.store.header_config().header().to_owned(), token.to_owned())
    }

    /// Returns a builder of a request that carries a token.
    #[cfg(feature = "http")]
    pub fn request(&self, token: &str) -> ::http::request::Builder {
        ::http::Request::builder().header(self.store.header_config().header(), token)
    }
}

impl Default for TestKeys {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_core::AuthError;

    #[test]
    fn keys_of_any_shape() {
        let keys = TestKeys::with(KeyStore::builder().header("X-Shop-Key"));
        let verified = keys.verified("alice", ["orders:*"]);
        assert!(verified.allows("orders:read") && !verified.superseded());
        assert!(keys.superseded("bob", [""; 0]).superseded_until().is_some());
        let short = keys.create(NewKey::for_owner("carol").expires_in(TimeDelta::hours(1)));
        keys.clock().advance(TimeDelta::hours(1));
        assert_eq!(keys.store().verify(short.key.expose_secret()).unwrap_err(), AuthError::Expired);
        assert_eq!(keys.header("ak_0"), ("X-Shop-Key".to_owned(), "ak_0".to_owned()));
        #[cfg(feature = "http")]
        assert_eq!(keys.request("ak_0").body(()).unwrap().headers()["x-shop-key"], "ak_0");
    }
}
