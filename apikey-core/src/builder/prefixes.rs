//! The prefixes of a store's tokens.

use crate::builder::KeyStoreBuilder;

impl KeyStoreBuilder {
    /// Sets the one prefix of the store's tokens; the default is `ak`. It is short for [`prefixes`](Self::prefixes) with one
    /// prefix.
    pub fn prefix(self, prefix: impl Into<String>) -> Self {
        self.prefixes([prefix])
    }

    /// Sets the prefixes of the store's tokens, each once. New tokens have the first. The store accepts the others as
    /// well, and creates keys with them that ask for it ([`NewKey::prefix`](crate::NewKey::prefix)), so that live and test
    /// keys can be in one store, and a store can go over to another prefix.
    ///
    /// A prefix has at most 16 characters: lower-case letters and digits in parts joined by `_`, beginning with a letter.
    /// If the store has keys with a prefix that is not among these, opening fails with
    /// [`OpenError::Config`](crate::OpenError::Config). In a cluster every node has the same prefixes.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey};
    ///
    /// let store = KeyStore::builder().prefixes(["acme_live", "acme_test"]).temporary()?;
    /// let live = store.create(NewKey::for_owner("alice"))?;
    /// let test = store.create(NewKey::for_owner("alice").prefix("acme_test"))?;
    /// assert_eq!((live.info.prefix(), test.info.prefix()), (Some("acme_live"), Some("acme_test")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prefixes<T: Into<String>>(mut self, prefixes: impl IntoIterator<Item = T>) -> Self {
        let mut prefixes = prefixes.into_iter().map(Into::into);
        // Where there is none, the first is empty, and refused as no prefix.
        self.options.prefix = prefixes.next().unwrap_or_default();
        self.options.accepted = prefixes.collect();
        self
    }
}
