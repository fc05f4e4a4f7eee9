//! tonic 0.14: requests and metadata carry the key, a rejection is a status, and an interceptor guards a service.
//!
//! The tests run a whole program, the example `tonic` of tests/frameworks.
//!
//! ```ignore
//! use apikey::{ApiKeyLayer, KeyStore, Requirement};
//!
//! // Methods carry the attribute; the layer provides the store.
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

use apikey_core::{AuthError, HeaderConfig, KeyStore, Peer, Presented, Requirement};

use super::http::from_extensions;
use crate::ask::{Gate, KeySource, PeerAddr, Rejection, append_all, peer_addr};

/// Guards a server or a service: answers a call without a key that meets the requirement with an error status.
///
/// It is a layer for `Server::layer`, and an interceptor for `OrdersServer::with_interceptor(orders, require(..))`. It
/// provides the store to the methods inside. A method with the attribute may require more; it does not verify the key
/// again.
#[must_use]
pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Require {
    Require { gate: Gate::new(store, requirement.into()) }
}

/// Made by [`require`].
#[derive(Debug, Clone)]
pub struct Require {
    gate: Gate,
}

impl Interceptor for Require {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let answer = self.gate.authenticate(&request);
        request.record(&self.gate.store, answer.as_ref().ok());
        request.extensions_mut().insert(answer?);
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

/// Metadata alone carries no store, no caller's address, and no record for a layer: name the store, or install it.
#[diagnostic::do_not_recommend]
impl KeySource for MetadataMap {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        AsRef::<::http::HeaderMap>::as_ref(self).presented(config)
    }
}

/// A request: its extensions carry the store, and the key that a layer verified.
#[diagnostic::do_not_recommend]
impl<T> KeySource for Request<T> {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.metadata().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        let inserted = self.extensions().get::<PeerAddr>().map(|peer| peer.0);
        let socket = inserted.or_else(|| self.remote_addr().as_ref().map(SocketAddr::ip));
        peer_addr::behind_proxies(config, socket, self.metadata().as_ref())
    }

    from_extensions!(self => self.extensions());
}

/// The headers of a refusal that a status carries as metadata.
const KEPT_HEADERS: [&str; 4] = ["www-authenticate", "retry-after", "ratelimit-policy", "ratelimit"];

/// `UNAUTHENTICATED` for a 401, `PERMISSION_DENIED` for a 403, `RESOURCE_EXHAUSTED` for a 429, `UNAVAILABLE` for a 503.
///
/// The metadata has the code of the error as `apikey-code`, the missing requirement as `apikey-required`, and the headers
/// of the refusal that do not describe its body: `www-authenticate`, `retry-after`, `ratelimit-policy`, `ratelimit`.
impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection.status() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            429 => Code::ResourceExhausted,
            _ => Code::Unavailable,
        };
        let mut headers = ::http::HeaderMap::new();
        append_all(&mut headers, [("apikey-code", rejection.error().code())]);
        if let AuthError::InsufficientPermission { required } = rejection.error() {
            append_all(&mut headers, [("apikey-required", required.to_string())]);
        }
        let is_kept = |name: &str| KEPT_HEADERS.iter().any(|kept| name.eq_ignore_ascii_case(kept));
        let kept = rejection.refusal().headers.iter().filter(|(name, _)| is_kept(name));
        append_all(&mut headers, kept.map(|(name, value)| (name, value)));
        Status::with_metadata(code, rejection.to_string(), MetadataMap::from_headers(headers))
    }
}
