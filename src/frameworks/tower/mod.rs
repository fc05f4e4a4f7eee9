//! tower: a layer that provides the store, and one that guards every request.

mod service;

use apikey_core::{KeyStore, Requirement};
use tower_layer::Layer;

use crate::ask::Gate;

pub use service::{ApiKeyService, RequireFuture, SupplyFuture};

/// A layer that wires a [`KeyStore`] into a service: [`supply`](Self::supply) for handlers that carry the attribute,
/// [`require`](Self::require) to guard every request.
///
/// Both leave the store in the extensions of the request. Where a guard has asked for a key, they add to the response
///
/// - `Vary` with the name of the key's header, and, if the application set none, `Cache-Control: private, no-cache`, so
///   that no cache gives one caller's response to another;
/// - `X-API-Key-Superseded`, if the caller's secret has been replaced: until when it will be accepted, or `?1`.
///
/// A guard that reads `http::HeaderMap` alone cannot be noticed: give it the request.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # fn wire(store: apikey::KeyStore) -> axum::Router {
/// use apikey::{ApiKeyLayer, VerifiedKey, require_api_key};
/// use axum::{Router, routing::get};
///
/// #[require_api_key(perm = "orders:read")]
/// async fn list(key: VerifiedKey) -> String {
///     key.owner().to_owned()
/// }
///
/// Router::new().route("/orders", get(list)).layer(ApiKeyLayer::supply(store))
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ApiKeyLayer<M = Supply> {
    store: KeyStore,
    mode: M,
}

/// The layer provides the store and requires nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Supply;

/// The layer lets a request pass only with a key that meets its requirement.
#[derive(Debug, Clone)]
pub struct Require {
    gate: Gate,
}

impl ApiKeyLayer<Supply> {
    /// Provides the store, and requires nothing: the attribute on each handler says what that asks.
    #[must_use]
    pub fn supply(store: KeyStore) -> Self {
        Self { store, mode: Supply }
    }
}

impl ApiKeyLayer<Require> {
    /// Guards every request of the service: the response to one without a key that meets the requirement is the refusal.
    /// A permission of a [`permissions!`](crate::permissions) catalogue is a requirement too.
    ///
    /// The verified key is left in the request's extensions. A guard of the same store inside takes it from there, and
    /// verifies nothing twice. A refusal is made from a `String`, so the response's body must be `From<String>`, as
    /// `axum::body::Body` and `http_body_util::Full<Bytes>` are; map the body of a service with another one.
    ///
    /// A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes, since a browser sends it
    /// without the key. Two things follow. Put the CORS layer *outside* of this one, so that it answers preflights, and
    /// puts its headers on refusals too. And a route for *any* method (axum's `any(..)`) runs its handler for a
    /// preflight without a key: put the attribute on that handler, or close the way with
    /// [`preflight(false)`](Self::preflight).
    ///
    /// ```
    /// # #[cfg(feature = "axum")]
    /// # fn wire(store: apikey::KeyStore) -> Result<axum::Router, apikey::PermissionError> {
    /// use apikey::{ApiKeyLayer, Requirement};
    /// use axum::{Router, routing::get};
    ///
    /// let admin = Requirement::permission("admin")?;
    /// Ok(Router::new().route("/stats", get(async || "fine")).layer(ApiKeyLayer::require(store, admin)))
    /// # }
    /// ```
    #[must_use]
    pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Self {
        let gate = Gate::new(store.clone(), requirement.into());
        Self { store, mode: Require { gate } }
    }

    /// Whether a CORS preflight passes without a key; it does unless this says `false`.
    #[must_use]
    pub fn preflight(mut self, passes: bool) -> Self {
        self.mode.gate.preflight = passes;
        self
    }
}

impl<S, M: Clone> Layer<S> for ApiKeyLayer<M> {
    type Service = ApiKeyService<S, M>;

    fn layer(&self, inner: S) -> ApiKeyService<S, M> {
        ApiKeyService::new(inner, self.store.clone(), self.mode.clone())
    }
}
