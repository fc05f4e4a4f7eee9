//! poem 3: the guards are extractors, a rejection is a response error, and two middlewares stand for the layers.
//!
//! A whole program is the example `poem` of tests/frameworks, which is what the tests run.
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
//! The store alone comes with `.data(store)`, too. An error for a request for which a guard has asked becomes a response in
//! the middlewares, so put `catch_error` inside of them.

use std::net::SocketAddr;

use ::poem::error::ResponseError;
use ::poem::http::StatusCode;
use ::poem::{Endpoint, FromRequest, IntoResponse, Middleware, Request, RequestBody, Response, Result};

use apikey_core::{HeaderConfig, KeyStore, Peer, Presented, VerifiedKey};

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

    fn store(&self) -> Option<&KeyStore> {
        self.extensions().get()
    }

    fn verified(&self) -> Option<&VerifiedKey> {
        self.extensions().get()
    }

    fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        if let Some(trail) = self.extensions().get::<GuardLog>() {
            trail.asked(store, key);
        }
    }
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

impl ResponseError for Rejection {
    fn status(&self) -> StatusCode {
        self.clone().into()
    }

    fn as_response(&self) -> Response {
        self.clone().into_response()
    }
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let (parts, body) = ::http::Response::<String>::from(self).into_parts();
        let mut response = Response::from(body);
        response.set_status(parts.status);
        *response.headers_mut() = parts.headers;
        response
    }
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
        inside(&self.inner, &self.store, request, GuardLog::default()).await
    }
}

impl<E: Endpoint> Endpoint for RequireEndpoint<E> {
    type Output = Response;

    async fn call(&self, mut request: Request) -> Result<Response> {
        let has = |name: &'static str| request.headers().contains_key(name);
        let preflight = is_preflight(request.method().as_str(), has);
        let trail = GuardLog::default();
        match self.gate.ask(&request, preflight) {
            Ok(key) => {
                if let Some(key) = key {
                    trail.asked(&self.gate.store, Some(&key));
                    request.extensions_mut().insert(key);
                }
                inside(&self.inner, &self.gate.store, request, trail).await
            }
            Err(rejection) => {
                trail.asked(&self.gate.store, None);
                let mut response = rejection.into_response();
                trail.mark(response.headers_mut());
                Ok(response)
            }
        }
    }
}

/// What is inside, with the store in the request, and marks on the response where a guard has asked.
async fn inside(inner: &impl Endpoint, store: &KeyStore, mut request: Request, trail: GuardLog) -> Result<Response> {
    request.extensions_mut().insert(store.clone());
    request.extensions_mut().insert(trail.clone());
    let mut response = match inner.call(request).await {
        Ok(output) => output.into_response(),
        // Nobody has asked, so whoever handles errors further out gets it as it is.
        Err(error) if trail.is_empty() => return Err(error),
        Err(error) => error.into_response(),
    };
    trail.mark(response.headers_mut());
    Ok(response)
}
