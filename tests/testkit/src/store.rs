//! Stores, and short ways to ask them.

use apikey::{AuthError, CreatedKey, KeyFilter, KeyInfo, KeyStore, ManualClock, NewKey};

use crate::start;

/// A temporary store, and the clock that it reads.
pub fn clocked() -> (KeyStore, ManualClock) {
    let clock = ManualClock::new(start());
    (KeyStore::builder().clock(clock.clone()).temporary().unwrap(), clock)
}

/// A new key of the owner `alice`.
pub fn alice() -> NewKey {
    NewKey::for_owner("alice")
}

/// `ok`, or the code of the refusal.
pub fn code(store: &KeyStore, token: &str) -> &'static str {
    store.verify(token).map_or_else(|error| error.code(), |_| "ok")
}

/// The error with which a store refuses a token.
pub fn refusal(store: &KeyStore, token: &str) -> AuthError {
    store.verify(token).expect_err("this token must be refused")
}

/// What the store knows of a key that exists.
pub fn info(store: &KeyStore, created: &CreatedKey) -> KeyInfo {
    store.get(created.info.id()).unwrap().expect("the key exists")
}

/// Every key that a filter matches, page by page.
pub fn all(store: &KeyStore, filter: &KeyFilter) -> Vec<KeyInfo> {
    let mut keys = Vec::new();
    let mut filter = filter.clone();
    loop {
        let page = store.list(&filter).unwrap();
        keys.extend(page.keys);
        let Some(next) = page.next else { return keys };
        filter = filter.after(next);
    }
}
