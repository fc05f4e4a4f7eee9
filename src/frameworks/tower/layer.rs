//! The layers.

use apikey_core::{KeyStore, Requirement};
use tower_layer::Layer;

use super::mode::{Require, Supply};
use super::service::ApiKeyService;
use crate::ask::Gate;

/// A layer that connects a [`KeyStore`] to a service: [`supply`](Self::supply) for handlers that carry the attribute,
/// [`require`](Self::require) to guard every request.
///
/// Both put the store into the extensions of the request. To the response of a guarded request they add:
///
/// - `Vary` with the name of the key's header, and, if the application set none, `Cache-Control: private, no-cache`, so
///   that no cache serves one caller's response to another;
/// - `X-API-Key-Superseded`, if the caller's secret has been replaced: the time at which it ends, or `?1`.
///
/// The verified key is among the response's extensions, so that a layer outside of this one can log it:
/// `response.extensions().get::<VerifiedKey>()`.
///
/// A guard that reads `http::HeaderMap` alone leaves no trace for the layer: give it the request.
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

impl ApiKeyLayer<Supply> {
    /// Provides the store, and requires nothing: the attribute on each handler names its requirement.
    #[must_use]
    pub fn supply(store: KeyStore) -> Self {
        Self { store, mode: Supply }
    }
}

impl ApiKeyLayer<Require> {
    /// Guards every request of the service: answers one without a key that meets the requirement with the refusal.
    /// A permission of a [`permissions!`](crate::permissions) catalogue is a requirement, too.
    ///
    /// The layer puts the verified key into the request's extensions. A guard of the same store inside takes it from
    /// there and does not verify it again. The refusal's body is a `String`, so the response's body must be
    /// `From<String>`, as `axum::body::Body` and `http_body_util::Full<Bytes>` are; map the body of a service with
    /// another one.
    ///
    /// A CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes, since browsers send it
    /// without the key. Two things follow. Put the CORS layer *outside* of this one, so that it answers preflights, and
    /// adds its headers to refusals, too. And a route for *any* method (axum's `any(..)`) runs its handler for a
    /// preflight without a key: put the attribute on that handler, or refuse preflights with
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

    /// Sets whether a CORS preflight passes without a key; the default is `true`.
    #[must_use]
    pub fn preflight(mut self, passes: bool) -> Self {
        self.mode.gate.preflight = passes;
        self
    }

    /// Sets the uses of the key's [quota](crate::NewKey::quota) that a request takes, as [`Attempt::cost`](crate::Attempt::cost)
    /// does; without a call it is 1. Of the costs of the guards that a request passes, the largest counts.
    #[must_use]
    pub fn cost(mut self, uses: u32) -> Self {
        self.mode.gate.cost = uses;
        self
    }
}

impl<S, M: Clone> Layer<S> for ApiKeyLayer<M> {
    type Service = ApiKeyService<S, M>;

    fn layer(&self, inner: S) -> ApiKeyService<S, M> {
        ApiKeyService::new(inner, self.store.clone(), self.mode.clone())
    }
}
