//! Deny by default: the one way in which every guard around other handlers asks, whatever the framework.

use apikey_core::{Attempt, AuthError, KeyStore, Requirement, VerifiedKey};

use super::key_source::KeySource;
use super::rejection::Rejection;

/// What is asked of every request, of which store.
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    pub(crate) store: KeyStore,
    pub(crate) requirement: Requirement,
    /// Whether a CORS preflight passes without a key.
    pub(crate) preflight: bool,
}

#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
impl Gate {
    pub(crate) fn new(store: KeyStore, requirement: Requirement) -> Self {
        Self { store, requirement, preflight: true }
    }

    /// The key of the request; `None` if it is a preflight, and passes without.
    pub(crate) fn ask(&self, source: &dyn KeySource, preflight: bool) -> Result<Option<VerifiedKey>, Rejection> {
        if self.preflight && preflight {
            return Ok(None);
        }
        let answer = pass(source, &self.store, &self.requirement);
        answer.map(Some).map_err(|error| reject(source, &self.store, error))
    }
}

/// The key of a request that meets the requirement.
pub(crate) fn pass(
    source: &dyn KeySource,
    store: &KeyStore,
    requirement: &Requirement,
) -> Result<VerifiedKey, AuthError> {
    // A key that a layer left is used only if this store verified it: with another store it proves nothing here.
    if let Some(key) = source.verified().filter(|key| store.has_verified(key)) {
        let refused = |error: &AuthError| store.note_refusal(error, Some(key), source.peer(store.header_config()));
        key.require(requirement).inspect_err(refused)?;
        return Ok(key.clone());
    }
    let token = source.presented(store.header_config()).token();
    // No key at all may be fine, and who asks sees to it.
    let refused = |error: &AuthError| {
        if *error != AuthError::Missing {
            store.note_refusal(error, None, source.peer(store.header_config()));
        }
    };
    let attempt = Attempt::new(token.inspect_err(refused)?).needs(requirement);
    // Here alone, so that a request counts once against the limit of its key, whatever guards are around it.
    store.check(&attempt.peer(source.peer(store.header_config())))
}

/// The rejection of a request that does not pass.
pub(crate) fn reject(source: &dyn KeySource, store: &KeyStore, error: AuthError) -> Rejection {
    if error == AuthError::Missing {
        store.note_refusal(&error, None, source.peer(store.header_config()));
    }
    Rejection::of(store, error)
}

/// A CORS preflight as the Fetch standard has it, and not just any `OPTIONS`.
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) fn is_preflight(method: &str, has: impl Fn(&'static str) -> bool) -> bool {
    method == "OPTIONS" && has("origin") && has("access-control-request-method")
}
