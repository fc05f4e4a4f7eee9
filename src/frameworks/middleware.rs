//! The two layers of actix-web, poem and salvo. Each framework's module re-exports them and implements its traits for
//! them.

use apikey_core::{KeyStore, Requirement};

use crate::ask::Gate;

/// Provides the store to the handlers inside, and requires nothing: the attribute on each handler names its
/// requirement.
///
/// To the response of a guarded request it adds the same headers as tower's [`ApiKeyLayer`](crate::ApiKeyLayer):
/// `Vary`, `Cache-Control` if the application set none, and `X-API-Key-Superseded`. The framework's module
/// documentation says how to provide the store without this.
#[must_use]
pub fn supply(store: KeyStore) -> Supply {
    Supply { store }
}

/// Guards everything inside: refuses a request without a key that meets the requirement.
///
/// It also does what [`supply`] does. A guard of the same store inside may require more; it does not verify the key
/// again. A CORS preflight passes; see [`Require::preflight`].
#[must_use]
pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Require {
    Require { gate: Gate::new(store, requirement.into()) }
}

/// The middleware that [`supply`] returns.
#[derive(Debug, Clone)]
pub struct Supply {
    pub(crate) store: KeyStore,
}

/// The middleware that [`require`] returns.
#[derive(Debug, Clone)]
pub struct Require {
    pub(crate) gate: Gate,
}

impl Require {
    /// Sets whether a CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without a
    /// key; the default is `true`. Put the middleware that answers preflights outside of this one.
    #[must_use]
    pub fn preflight(mut self, passes: bool) -> Self {
        self.gate.preflight = passes;
        self
    }

    /// Sets the uses of the key's [quota](crate::NewKey::quota) that a request takes, as [`Attempt::cost`](crate::Attempt::cost)
    /// does; without a call it is 1. Of the costs of the guards that a request passes, the largest counts.
    #[must_use]
    pub fn cost(mut self, uses: u32) -> Self {
        self.gate.cost = uses;
        self
    }
}
