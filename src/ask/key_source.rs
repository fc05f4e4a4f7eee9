//! The source of a request's key. `frameworks/` implements it for the types of each framework.

use apikey_core::{Charge, HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

/// Something that may carry an API key: a request, its headers, or the token itself.
///
/// The attribute reads from any of them with `request = ..`. `http::Request`, `http::request::Parts` and
/// `http::HeaderMap` come with the feature `http`. A text is the token itself; `None` of an `Option` carries no key.
///
/// ```
/// use apikey::{HeaderConfig, KeySource, Presented};
///
/// struct Message {
///     api_key: Option<String>,
/// }
///
/// impl KeySource for Message {
///     fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
///         self.api_key.presented(config)
///     }
/// }
///
/// let message = Message { api_key: Some("ak_0".to_owned()) };
/// assert_eq!(message.presented(&HeaderConfig::default()), Presented::One(b"ak_0"));
/// ```
#[diagnostic::on_unimplemented(
    message = "an API key cannot be read from `{Self}`",
    label = "carries no API key",
    note = "a key is read from a `str` or `String` (the key itself), from `http::HeaderMap`, `http::Request` or \
            `http::request::Parts` (feature `http`), from the request of a web framework (its feature), from \
            references to these, and from an `Option` of them"
)]
pub trait KeySource {
    /// Returns the key that the caller presents, where the store is configured to read it.
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a>;

    /// Returns the caller's address: the socket's peer, or the address that a trusted proxy reports;
    /// [`HeaderConfig::peer`] decides between the two. The store checks it against the networks of the key and counts
    /// failed attempts by it. With [`Peer::Unknown`] the store refuses every key that is bound to networks.
    fn peer(&self, config: &HeaderConfig) -> Peer {
        let _ = config;
        Peer::Unknown
    }

    /// Returns the store that the application provided for this request; the innermost one of several.
    fn store(&self) -> Option<&KeyStore> {
        None
    }

    /// Returns whether the application provided several stores and the framework does not say which of them is the
    /// innermost. [`store`](Self::store) is then `None`, and guards refuse the request, whatever store is installed.
    fn has_ambiguous_store(&self) -> bool {
        false
    }

    /// Returns the key that a layer has already verified for this request.
    fn verified(&self) -> Option<&VerifiedKey> {
        None
    }

    /// Records a guard's decision: the store it asked, and the key it accepted, if any. A request passes the record on
    /// to the layer that sees the response.
    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let _ = (store, key);
    }

    /// Returns what guards have taken from the quota of the key of this store for this request, as
    /// [`note_charge`](Self::note_charge) was given it last.
    fn charge(&self, store: &KeyStore) -> Charge {
        let _ = store;
        Charge::default()
    }

    /// Notes what a guard has taken from the quota of the key of this store, so that the guards of a request together take
    /// the largest cost among them. Without a note, the key of a layer was verified for 1 use.
    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        let _ = (store, charge);
    }
}

// The note of the trait names every source, so the compiler does not list the impls.

#[diagnostic::do_not_recommend]
impl KeySource for str {
    fn presented<'a>(&'a self, _: &HeaderConfig) -> Presented<'a> {
        Presented::One(self.as_bytes())
    }
}

#[diagnostic::do_not_recommend]
impl KeySource for String {
    fn presented<'a>(&'a self, _: &HeaderConfig) -> Presented<'a> {
        Presented::One(self.as_bytes())
    }
}

#[diagnostic::do_not_recommend]
impl<T: KeySource> KeySource for Option<T> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.as_ref().map_or(Presented::None, |source| source.presented(config))
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        self.as_ref().map_or(Peer::Unknown, |source| source.peer(config))
    }

    fn store(&self) -> Option<&KeyStore> {
        self.as_ref().and_then(T::store)
    }

    fn has_ambiguous_store(&self) -> bool {
        self.as_ref().is_some_and(T::has_ambiguous_store)
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.as_ref().and_then(T::verified)
    }

    fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(source) = self {
            source.record(store, key);
        }
    }

    fn charge(&self, store: &KeyStore) -> Charge {
        self.as_ref().map(|source| source.charge(store)).unwrap_or_default()
    }

    fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        if let Some(source) = self {
            source.note_charge(store, charge);
        }
    }
}

macro_rules! through_a_reference {
    ($($reference:ty),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T: KeySource + ?Sized> KeySource for $reference {
            fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
                T::presented(self, config)
            }

            fn peer(&self, config: &HeaderConfig) -> Peer {
                T::peer(self, config)
            }

            fn store(&self) -> Option<&KeyStore> {
                T::store(self)
            }

            fn has_ambiguous_store(&self) -> bool {
                T::has_ambiguous_store(self)
            }

            fn verified(&self) -> Option<&VerifiedKey> {
                T::verified(self)
            }

            fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
                T::record(self, store, key);
            }

            fn charge(&self, store: &KeyStore) -> Charge {
                T::charge(self, store)
            }

            fn note_charge(&self, store: &KeyStore, charge: &Charge) {
                T::note_charge(self, store, charge);
            }
        }
    )*};
}

through_a_reference!(&T, &mut T);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_key_itself() {
        fn carries(source: impl KeySource) -> bool {
            match source.presented(&HeaderConfig::default()) {
                Presented::One(token) => token == b"ak",
                _ => false,
            }
        }
        assert!(carries("ak"));
        assert!(carries(String::from("ak")));
        assert!(carries(Some("ak")));
        let exclusive: &mut Option<&str> = &mut Some("ak");
        assert!(carries(exclusive));
        assert!(!carries(None::<&str>));
        assert!(!carries("other"));
    }
}
