//! poem 3: guards are extractors, a rejection is a response error, and the two layers are middlewares.
//!
//! The tests run a whole program, the example `poem` of tests/frameworks.
//!
//! ```ignore
//! use apikey::{KeyStore, Requirement, VerifiedKey, require_api_key};
//! use poem::{EndpointExt, Route, get, handler};
//!
//! #[require_api_key(perm = "orders:read")]
//! #[handler]
//! fn list(key: VerifiedKey) -> String {
//!     key.owner().to_owned()
//! }
//!
//! let admin = Requirement::permission("admin")?;
//! Route::new()
//!     .at("/orders", get(list))
//!     .nest("/admin", Route::new().with(apikey::poem::require(store.clone(), admin)))
//!     .with(apikey::poem::supply(store));
//! ```
//!
//! `.data(store)` provides the store, too. The middlewares turn the error of a guarded request into a response, so put
//! `catch_error` inside of them.

use std::net::SocketAddr;

use ::poem::error::ResponseError;
use ::poem::http::StatusCode;
use ::poem::{Endpoint, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response, Result};

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented};

use super::http::{from_extensions, status};
use crate::answer::{PlainResponse, Problem, SecretResponse};
use crate::ask::{FromRejection, Gate, GuardLog, KeySource, Rejection, is_preflight, peer_addr};
use crate::guard::{OptionalApiKey, RequireApiKey, Required};

pub use super::middleware::{Require, Supply, require, supply};

impl KeySource for Request {
    fn presented<'a>(&'a self, config: &HeaderConfig) -> Presented<'a> {
        self.headers().presented(config)
    }

    fn peer(&self, config: &HeaderConfig) -> Peer {
        let socket = self.remote_addr().as_socket_addr().map(SocketAddr::ip);
        peer_addr::behind_proxies(config, socket, self.headers())
    }

    from_extensions!(self => self.extensions());
}

impl<'a, R: Required> FromRequest<'a> for RequireApiKey<R> {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        Ok(Self::from_source(request)?)
    }
}

impl<'a, R: Required> FromRequest<'a> for OptionalApiKey<R> {
    async fn from_request(request: &'a Request, _: &mut RequestBody) -> Result<Self> {
        Ok(Self::from_source(request)?)
    }
}

macro_rules! response_error {
    ($($kind:ty),*) => {$(
        impl ResponseError for $kind {
            fn status(&self) -> StatusCode {
                status(<$kind>::status(self))
            }

            fn as_response(&self) -> Response {
                self.clone().into_response()
            }
        }
    )*};
}

response_error!(Rejection, Problem);

macro_rules! into_response {
    ($($kind:ty),*) => {$(
        impl IntoResponse for $kind {
            fn into_response(self) -> Response {
                response(self.into())
            }
        }
    )*};
}

into_response!(Rejection, Problem, SecretResponse, PlainResponse);

pub(super) fn response(plain: ::http::Response<String>) -> Response {
    let (parts, body) = plain.into_parts();
    let mut response = Response::from(body);
    response.set_status(parts.status);
    *response.headers_mut() = parts.headers;
    response
}

impl FromRejection for Response {
    fn from_rejection(rejection: Rejection) -> Self {
        rejection.into_response()
    }
}

impl<E: Endpoint> Middleware<E> for Supply {
    type Output = SupplyEndpoint<E>;

    fn transform(&self, inner: E) -> SupplyEndpoint<E> {
        SupplyEndpoint { inner, store: self.store.clone() }
    }
}

impl<E: Endpoint> Middleware<E> for Require {
    type Output = RequireEndpoint<E>;

    fn transform(&self, inner: E) -> RequireEndpoint<E> {
        RequireEndpoint { inner, gate: self.gate.clone() }
    }
}

/// An endpoint inside of [`supply`].
#[derive(Debug)]
pub struct SupplyEndpoint<E> {
    inner: E,
    store: KeyStore,
}

/// An endpoint inside of [`require`].
#[derive(Debug)]
pub struct RequireEndpoint<E> {
    inner: E,
    gate: Gate,
}

impl<E: Endpoint> Endpoint for SupplyEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let log = GuardLog::inside(request.extensions().get());
        call_inner(&self.inner, &self.store, request, log).await
    }
}

impl<E: Endpoint> Endpoint for RequireEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let log = GuardLog::inside(request.extensions().get());
        match self.gate.check(&request, preflight, &log) {
            Ok(key) => {
                if let Some(key) = key {
                    request.extensions_mut().insert(key);
                }
                call_inner(&self.inner, &self.gate.store, request, log).await
            }
            Err(rejection) => {
                let mut response = rejection.into_response();
                log.write_headers(response.headers_mut());
                Ok(response)
            }
        }
    }
}

/// Calls the endpoint with the store in the request, and adds the headers of a guarded response.
async fn call_inner(inner: &impl Endpoint, store: &KeyStore, mut request: Request, log: GuardLog) -> Result<Response> {
    request.extensions_mut().insert(store.clone());
    request.extensions_mut().insert(log.clone());
    let mut response = match inner.call(request).await {
        Ok(output) => output.into_response(),
        // No guard has decided: passes the error on unchanged to the error handlers further out.
        Err(error) if log.is_empty() => return Err(error),
        Err(error) => error.into_response(),
    };
    log.write_headers(response.headers_mut());
    log.insert_key(response.extensions_mut());
    Ok(response)
}
