//! tonic 0.14: requests and metadata carry the key, a rejection is a status, and an interceptor guards a service.
//!
//! A whole program is the example `tonic` of tests/frameworks, which is what the tests run.
//!
//! ```ignore
//! use apikey::{ApiKeyLayer, KeyStore, Requirement};
//!
//! // Methods carry the attribute; the store comes to them by the layer.
//! let admin = Requirement::permission("admin")?;
//! tonic::transport::Server::builder()
//!     .layer(ApiKeyLayer::supply(store.clone()))
//!     .layer(apikey::tonic::require(store, admin)); // deny by default: the whole server
//! ```
//!
//! The metadata key is the name of the store's header, `x-api-key`, in lower case.

use std::net::SocketAddr;

use ::tonic::metadata::MetadataMap;
use ::tonic::service::Interceptor;
use ::tonic::service::interceptor::InterceptedService;
use ::tonic::{Code, Request, Status};
use tower_layer::Layer;

use apikey_core::{AuthError, HeaderConfig, KeyStore, Peer, Presented, Requirement, VerifiedKey};

use super::http::tell_layer;
use crate::ask::{Gate, KeySource, PeerAddr, Rejection, peer_addr};

/// Guards a server or a service: a call without a key that meets the requirement ends with a status.
///
/// A layer for `Server::layer`, and an interceptor for `OrdersServer::with_interceptor(orders, require(..))`. It leaves
/// the store for the methods inside. A method with the attribute may ask for more, and verifies nothing twice.
#[must_use]
pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Require {
    let mut gate = Gate::new(store, requirement.into());
    gate.preflight = false;
    Require { gate }
}

/// Made by [`require`].
#[derive(Debug, Clone)]
pub struct Require {
    gate: Gate,
}

impl Interceptor for Require {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let answer = self.gate.ask(&request, false);
        request.asked(&self.gate.store, answer.as_ref().ok().and_then(Option::as_ref));
        if let Some(key) = answer? {
            request.extensions_mut().insert(key);
        }
        request.extensions_mut().insert(self.gate.store.clone());
        Ok(request)
    }
}

impl<S> Layer<S> for Require {
    type Service = InterceptedService<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        InterceptedService::new(inner, self.clone())
    }
}

/// Metadata alone: the store must be given, or installed, no layer learns that a guard has asked, and nobody knows from
/// where the call came.
#[diagnostic::do_not_recommend]
impl KeySource for MetadataMap {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        AsRef::<::http::HeaderMap>::as_ref(self).presented(config)
    }
}

/// A request: the store, and a key that was verified already, are taken from its extensions.
#[diagnostic::do_not_recommend]
impl<T> KeySource for Request<T> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.metadata().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        let given = self.extensions().get::<PeerAddr>().map(|peer| peer.0);
        let socket = given.or_else(|| self.remote_addr().as_ref().map(SocketAddr::ip));
        peer_addr::behind_proxies(config, socket, self.metadata().as_ref())
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

/// `UNAUTHENTICATED` for a 401, `PERMISSION_DENIED` for a 403, `RESOURCE_EXHAUSTED` for a 429, `UNAVAILABLE` for a 503.
///
/// The metadata has the code of the error as `apikey-code`, what a handler asked as `apikey-required`, and the headers
/// of the refusal that are not about its body: `www-authenticate`, `retry-after`, `ratelimit-policy`, `ratelimit`.
impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection.status() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            429 => Code::ResourceExhausted,
            _ => Code::Unavailable,
        };
        let mut headers = ::http::HeaderMap::new();
        let mut add = |name: &str, value: &str| {
            // A renderer may have made a name or a value that HTTP cannot carry: it is left out.
            let name = ::http::HeaderName::try_from(name);
            if let (Ok(name), Ok(value)) = (name, ::http::HeaderValue::try_from(value)) {
                headers.append(name, value);
            }
        };
        add("apikey-code", rejection.error().code());
        if let AuthError::InsufficientPermission { required } = rejection.error() {
            add("apikey-required", &required.to_string());
        }
        for (name, value) in &rejection.refusal().headers {
            if ["www-authenticate", "retry-after", "ratelimit-policy", "ratelimit"]
                .iter()
                .any(|kept| name.eq_ignore_ascii_case(kept))
            {
                add(name, value);
            }
        }
        Status::with_metadata(code, rejection.to_string(), MetadataMap::from_headers(headers))
    }
}
