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

mod require;

use std::net::SocketAddr;

use ::tonic::metadata::MetadataMap;
use ::tonic::{Code, Request, Status};

use apikey_core::{AuthError, HeaderConfig, Peer, Presented};

use super::http::from_extensions;
use crate::answer::Problem;
use crate::ask::{KeySource, PeerAddr, Rejection, append_all, peer_addr};

pub use require::{Require, RequireFuture, RequireService, require};

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
const KEPT_HEADERS: [&str; 5] = ["www-authenticate", "cache-control", "retry-after", "ratelimit-policy", "ratelimit"];

/// Converts a 401 to `UNAUTHENTICATED`, a 403 to `PERMISSION_DENIED`, a 404 to `NOT_FOUND`, a 429 to
/// `RESOURCE_EXHAUSTED`, and a 503 to `UNAVAILABLE`.
///
/// The metadata has the code of the error as `apikey-code`, the missing requirement as `apikey-required`, and the
/// headers of the refusal that do not describe its body: `www-authenticate`, `cache-control`, `retry-after`,
/// `ratelimit-policy`, `ratelimit`.
impl From<Rejection> for Status {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection.status() {
            401 => Code::Unauthenticated,
            403 => Code::PermissionDenied,
            404 => Code::NotFound,
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

/// Converts a 404 to `NOT_FOUND`, a 403 to `PERMISSION_DENIED`, a 400 and a 422 to `INVALID_ARGUMENT`, and a 503 to
/// `UNAVAILABLE`. A 409 becomes `ALREADY_EXISTS` for `digest_held`, `already_made` and `idempotency_key_reused`, and
/// otherwise `FAILED_PRECONDITION`. The metadata has the code of the error as `apikey-code`, and the message its text.
/// A refused request becomes the status of its [`Rejection`].
impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        if let Some(rejection) = problem.rejection() {
            return rejection.clone().into();
        }
        let code = match (problem.status(), problem.code()) {
            (404, _) => Code::NotFound,
            (403, _) => Code::PermissionDenied,
            (409, "digest_held" | "already_made" | "idempotency_key_reused") => Code::AlreadyExists,
            (409, _) => Code::FailedPrecondition,
            (400 | 422, _) => Code::InvalidArgument,
            _ => Code::Unavailable,
        };
        let mut headers = ::http::HeaderMap::new();
        append_all(&mut headers, [("apikey-code", problem.code())]);
        Status::with_metadata(code, problem.to_string(), MetadataMap::from_headers(headers))
    }
}
