//! Decides whether a request may pass: the one path for every guard, whatever the framework.

use apikey_core::{Attempt, AuthError, KeyStore, Requirement, VerifiedKey};

#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
use super::guard_log::GuardLog;
use super::key_source::KeySource;
use super::rejection::Rejection;
use super::span_fields;

/// A guard around other handlers: it denies by default.
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

    /// Returns the key of the request; `None` for a preflight that passes without one. Records the decision in `log`.
    pub(crate) fn check(
        &self,
        source: &dyn KeySource,
        is_preflight: bool,
        log: &GuardLog,
    ) -> Result<Option<VerifiedKey>, Rejection> {
        if self.lets_through(is_preflight) {
            return Ok(None);
        }
        let answer = self.authenticate(source);
        log.record(&self.store, answer.as_ref().ok());
        answer.map(Some)
    }

    /// Whether the request passes without a key.
    pub(crate) fn lets_through(&self, is_preflight: bool) -> bool {
        self.preflight && is_preflight
    }

    /// Returns the key of the request, which meets the requirement. Records nothing.
    pub(crate) fn authenticate(&self, source: &dyn KeySource) -> Result<VerifiedKey, Rejection> {
        authenticate(source, &self.store, &self.requirement).map_err(|error| reject(source, &self.store, error))
    }
}

/// Returns the key of the request, which meets the requirement, and records it in the current span.
pub(crate) fn authenticate(
    source: &dyn KeySource,
    store: &KeyStore,
    requirement: &Requirement,
) -> Result<VerifiedKey, AuthError> {
    verified(source, store, requirement).inspect(span_fields::record)
}

fn verified(source: &dyn KeySource, store: &KeyStore, requirement: &Requirement) -> Result<VerifiedKey, AuthError> {
    // A key that a layer verified counts only if this store verified it: another store's key proves nothing here.
    if let Some(key) = source.verified().filter(|key| store.has_verified(key)) {
        let refused = |error: &AuthError| store.note_refusal(error, Some(key), source.peer(store.header_config()));
        key.require(requirement).inspect_err(refused)?;
        return Ok(key.clone());
    }
    let token = source.presented(store.header_config()).token();
    // A missing key may be allowed: the caller of this function decides, and counts the refusal.
    let refused = |error: &AuthError| {
        if *error != AuthError::Missing {
            store.note_refusal(error, None, source.peer(store.header_config()));
        }
    };
    let attempt = Attempt::new(token.inspect_err(refused)?).needs(requirement);
    // The only call that counts against the key's rate limit: one request counts once, however many guards it passes.
    store.check(&attempt.peer(source.peer(store.header_config())))
}

/// Returns the rejection of a request that does not pass. Counts a missing key as a refusal.
pub(crate) fn reject(source: &dyn KeySource, store: &KeyStore, error: AuthError) -> Rejection {
    if error == AuthError::Missing {
        store.note_refusal(&error, None, source.peer(store.header_config()));
    }
    Rejection::of(store, error)
}

/// Whether a request is a CORS preflight as the Fetch standard defines it, not any `OPTIONS` request.
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) fn is_preflight(method: &str, has: impl Fn(&'static str) -> bool) -> bool {
    method == "OPTIONS" && has("origin") && has("access-control-request-method")
}
