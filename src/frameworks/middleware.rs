//! The two layers of actix-web, poem and salvo, under the names that each of their modules has. What they do in a
//! framework stands there.

use apikey_core::{KeyStore, Requirement};

use crate::ask::Gate;

/// Gives the handlers inside their store, and requires nothing: the attribute on each handler says what that asks.
///
/// On the response to a request for which a guard has asked, it adds what [`ApiKeyLayer`](crate::ApiKeyLayer) of tower
/// adds: `Vary`, `Cache-Control` where the application set none, and `X-API-Key-Superseded`. How to give the store alone
/// stands at the top of the framework's module.
#[must_use]
pub fn supply(store: KeyStore) -> Supply {
    Supply { store }
}

/// Guards everything inside: a request without a key that meets the requirement is refused.
///
/// Does what [`supply`] does as well. A guard of the same store inside may ask for more, and verifies nothing twice. A
/// true CORS preflight passes; see [`Require::preflight`].
#[must_use]
pub fn require(store: KeyStore, requirement: impl Into<Requirement>) -> Require {
    Require { gate: Gate::new(store, requirement.into()) }
}

/// Made by [`supply`].
#[derive(Debug, Clone)]
pub struct Supply {
    pub(crate) store: KeyStore,
}

/// Made by [`require`].
#[derive(Debug, Clone)]
pub struct Require {
    pub(crate) gate: Gate,
}

impl Require {
    /// Whether a CORS preflight (`OPTIONS` with `Origin` and `Access-Control-Request-Method`) passes without a key; it
    /// does unless this says `false`. Put what answers preflights outside of this one.
    #[must_use]
    pub fn preflight(mut self, passes: bool) -> Self {
        self.gate.preflight = passes;
        self
    }
}
