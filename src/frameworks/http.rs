//! The `http` crate's types: requests a key is read from, and responses that a rejection becomes.

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, header, request::Parts};

#[cfg(feature = "tower")]
use crate::ask::GuardLog;
use crate::ask::{FromRejection, KeySource, Rejection, USUAL_HEADER, peer_addr};

/// [`USUAL_HEADER`].
const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Headers alone: the store must be given, or installed, no layer learns that a guard has asked, and nobody knows from
/// where the request came.
#[diagnostic::do_not_recommend]
impl KeySource for HeaderMap {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        let bytes = HeaderValue::as_bytes;
        // A name that is made ready costs less to look up than one that is read each time.
        let held = match config.header() {
            USUAL_HEADER => self.get_all(X_API_KEY),
            other => self.get_all(other),
        };
        // Looked up only where the configuration says so.
        let authorization = std::iter::once_with(|| self.get_all(header::AUTHORIZATION)).flatten();
        config.presented(held.into_iter().map(bytes), authorization.map(bytes))
    }
}

/// A request head: the store, and a key that was verified already, are taken from its extensions.
#[diagnostic::do_not_recommend]
impl KeySource for Parts {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers.presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::peer(config, &self.extensions, &self.headers)
    }

    fn store(&self) -> Option<&KeyStore> {
        self.extensions.get()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.extensions.get()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        tell_layer(&self.extensions, store, key);
    }
}

/// A request: the store, and a key that was verified already, are taken from its extensions.
#[diagnostic::do_not_recommend]
impl<B> KeySource for Request<B> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        peer_addr::peer(config, self.extensions(), self.headers())
    }

    fn store(&self) -> Option<&KeyStore> {
        self.extensions().get()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.extensions().get()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        tell_layer(self.extensions(), store, key);
    }
}

pub(crate) fn tell_layer(extensions: &Extensions, store: &KeyStore, key: Option<&VerifiedKey>) {
    #[cfg(feature = "tower")]
    if let Some(trail) = extensions.get::<GuardLog>() {
        trail.asked(store, key);
    }
    #[cfg(not(feature = "tower"))]
    let _ = (extensions, store, key);
}

impl<B: From<String>> From<Rejection> for Response<B> {
    fn from(rejection: Rejection) -> Self {
        let status = status(&rejection);
        let refusal = rejection.into_refusal();
        let mut response = Response::new(B::from(refusal.body));
        *response.status_mut() = status;
        for (name, value) in refusal.headers {
            // A renderer may have made a name or a value that HTTP cannot carry: it is left out.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                response.headers_mut().append(name, value);
            }
        }
        response
    }
}

impl<B: From<String>> FromRejection for Response<B> {
    fn from_rejection(rejection: Rejection) -> Self {
        rejection.into()
    }
}

/// The status alone. RFC 9110 asks for a challenge on a 401, which is lost here: prefer a response, or `Rejection` itself.
impl From<Rejection> for StatusCode {
    fn from(rejection: Rejection) -> Self {
        status(&rejection)
    }
}

/// The status, and the text that a caller may be shown. The challenge of a 401 is lost: prefer a response, or `Rejection`.
impl From<Rejection> for (StatusCode, String) {
    fn from(rejection: Rejection) -> Self {
        (status(&rejection), rejection.to_string())
    }
}

fn status(rejection: &Rejection) -> StatusCode {
    // Every status of a refusal is a valid one.
    StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
}
