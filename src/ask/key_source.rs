//! What a key is read from.

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

/// Where a store looks for the key unless it is told otherwise: its names and values are made ready.
#[cfg(any(
    feature = "http",
    feature = "tower",
    feature = "actix-web",
    feature = "poem",
    feature = "rocket",
    feature = "salvo"
))]
pub(crate) const USUAL_HEADER: &str = "X-API-Key";

/// Something that may carry an API key: a request, its headers, or the token itself.
///
/// The attribute reads from any of them with `request = ..`. `http::Request`, `http::request::Parts` and
/// `http::HeaderMap` come with the feature `http`. A text is the token itself; `Option` carries no key when it is `None`.
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
    /// The key presented, where the store is configured to read it.
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a>;

    /// From where the request came, for keys that name networks, and to count failed attempts: the socket's peer, or what a
    /// trusted proxy says. [`HeaderConfig::peer`] decides between the two. [`Peer::Unknown`] if nothing is known; keys that
    /// name networks are refused then.
    fn peer(&self, config: &HeaderConfig) -> Peer {
        let _ = config;
        Peer::Unknown
    }

    /// The store that was provided for this request: of several, the one that was named furthest in.
    fn store(&self) -> Option<&KeyStore> {
        None
    }

    /// Whether several stores were provided, and the framework does not say which of them was named furthest in.
    /// [`store`](Self::store) is `None` then, and a guard refuses the request, whatever store is installed.
    fn undecided(&self) -> bool {
        false
    }

    /// The key that was verified for this request already, by a layer.
    fn verified(&self) -> Option<&VerifiedKey> {
        None
    }

    /// Told when a guard has asked: the store it asked, and the key if that was let in. A request passes it on to the
    /// layer that will see the response.
    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let _ = (store, key);
    }
}

// The note of the trait names every source, so the compiler need not list the impls.

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

    fn undecided(&self) -> bool {
        self.as_ref().is_some_and(T::undecided)
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.as_ref().and_then(T::verified)
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(source) = self {
            source.asked(store, key);
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

            fn undecided(&self) -> bool {
                T::undecided(self)
            }

            fn verified(&self) -> Option<&VerifiedKey> {
                T::verified(self)
            }

            fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
                T::asked(self, store, key);
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
