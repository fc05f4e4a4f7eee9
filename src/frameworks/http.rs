//! The types of the `http` crate: requests that carry a key, and responses that a rejection becomes.

use apikey_core::{HeaderConfig, Peer, Presented};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};

use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::{DEFAULT_HEADER, FromRejection, KeySource, Rejection, append_all, peer_addr};

/// [`DEFAULT_HEADER`], prepared: looking it up costs less than parsing a name each time.
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The methods of a [`KeySource`] that read what layers put into the extensions of an `http` request: the store, the
/// verified key, and the log of decisions.
macro_rules! from_extensions {
    ($this:ident => $extensions:expr) => {
        fn store(&$this) -> Option<&apikey_core::KeyStore> {
            $extensions.get()
        }

        fn verified(&$this) -> Option<&apikey_core::VerifiedKey> {
            $extensions.get()
        }

        fn record(&$this, store: &apikey_core::KeyStore, key: Option<&apikey_core::VerifiedKey>) {
            #[cfg(any(feature = "management", feature = "tower", feature = "poem", feature = "salvo"))]
            if let Some(log) = $extensions.get::<crate::ask::GuardLog>() {
                log.record(store, key);
            }
            #[cfg(not(any(feature = "management", feature = "tower", feature = "poem", feature = "salvo")))]
            let _ = (store, key);
        }

        #[cfg(any(feature = "management", feature = "tower", feature = "poem", feature = "salvo"))]
        fn charge(&$this, store: &apikey_core::KeyStore) -> apikey_core::Charge {
            $extensions.get::<crate::ask::GuardLog>().map(|log| log.charge(store)).unwrap_or_default()
        }

        #[cfg(any(feature = "management", feature = "tower", feature = "poem", feature = "salvo"))]
        fn note_charge(&$this, store: &apikey_core::KeyStore, charge: &apikey_core::Charge) {
            if let Some(log) = $extensions.get::<crate::ask::GuardLog>() {
                log.note_charge(store, charge);
            }
        }
    };
}

#[cfg(any(feature = "poem", feature = "salvo", feature = "tonic"))]
pub(super) use from_extensions;

/// Headers alone carry no store, no caller's address, and no record for a layer: name the store, or install it.
#[diagnostic::do_not_recommend]
impl KeySource for HeaderMap {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        let bytes = HeaderValue::as_bytes;
        let keys = match config.header() {
            DEFAULT_HEADER => self.get_all(X_API_KEY),
            other => self.get_all(other),
        };
        // Lazy: evaluated only if the store reads bearer tokens.
        let authorization = std::iter::once_with(|| self.get_all(header::AUTHORIZATION)).flatten();
        config.presented(keys.into_iter().map(bytes), authorization.map(bytes))
    }
}

/// The head of a request: its extensions carry the store, and the key that a layer verified.
#[diagnostic::do_not_recommend]
impl KeySource for Parts {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers.presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::peer(config, &self.extensions, &self.headers)
    }

    from_extensions!(self => self.extensions);
}

/// A request: its extensions carry the store, and the key that a layer verified.
#[diagnostic::do_not_recommend]
impl<B> KeySource for Request<B> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::peer(config, self.extensions(), self.headers())
    }

    from_extensions!(self => self.extensions());
}

macro_rules! becomes_response {
    ($($kind:ty),*) => {$(
        impl<B: From<String>> From<$kind> for Response<B> {
            fn from(value: $kind) -> Self {
                response(value.into())
            }
        }
    )*};
}

becomes_response!(Rejection, Problem, SecretResponse, PlainResponse);

fn response<B: From<String>>(plain: PlainResponse) -> Response<B> {
    let mut response = Response::new(B::from(plain.body));
    *response.status_mut() = status(plain.status);
    append_all(response.headers_mut(), plain.headers);
    response
}

impl<B: From<String>> FromRejection for Response<B> {
    fn from_rejection(rejection: Rejection) -> Self {
        rejection.into()
    }
}

/// The status alone, without the challenge that RFC 9110 requires on a 401: prefer a response, or `Rejection` itself.
impl From<Rejection> for StatusCode {
    fn from(rejection: Rejection) -> Self {
        status(rejection.status())
    }
}

/// The status and the text for the caller, without the challenge of a 401: prefer a response, or `Rejection` itself.
impl From<Rejection> for (StatusCode, String) {
    fn from(rejection: Rejection) -> Self {
        (status(rejection.status()), rejection.to_string())
    }
}

/// Every response has a valid status.
pub(super) fn status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
