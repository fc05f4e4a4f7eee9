//! Decides whether a request may pass: the one path for every guard, whatever the framework.

use apikey_core::{Attempt, AuthError, Charge, KeyStore, Requirement, VerifiedKey};

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
    /// The uses of the key's quota that a request takes.
    pub(crate) cost: u32,
    /// Whether a CORS preflight passes without a key.
    pub(crate) preflight: bool,
}

#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
impl Gate {
    pub(crate) fn new(store: KeyStore, requirement: Requirement) -> Self {
        Self { store, requirement, cost: 1, preflight: true }
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
        let charge = source.charge(&self.store);
        let answer = self.authenticate(source, &charge);
        log.record(&self.store, answer.as_ref().ok());
        log.note_charge(&self.store, &charge);
        answer.map(Some)
    }

    /// Whether the request passes without a key.
    pub(crate) fn lets_through(&self, is_preflight: bool) -> bool {
        self.preflight && is_preflight
    }

    /// Returns the key of the request, which meets the requirement. Records nothing but what it takes from the quota.
    pub(crate) fn authenticate(&self, source: &dyn KeySource, charge: &Charge) -> Result<VerifiedKey, Rejection> {
        authenticate(source, &self.store, &self.requirement, self.cost, charge)
            .map_err(|error| reject(source, &self.store, error))
    }
}

/// Returns the key of the request, which meets the requirement, and records it in the current span. Takes the cost from its
/// quota, less what the charge says that guards have taken; a refused request takes nothing.
pub(crate) fn authenticate(
    source: &dyn KeySource,
    store: &KeyStore,
    requirement: &Requirement,
    cost: u32,
    charge: &Charge,
) -> Result<VerifiedKey, AuthError> {
    verified(source, store, requirement, cost, charge).inspect(span_fields::record)
}

fn verified(
    source: &dyn KeySource,
    store: &KeyStore,
    requirement: &Requirement,
    cost: u32,
    charge: &Charge,
) -> Result<VerifiedKey, AuthError> {
    // A key that a layer verified counts only if this store verified it: another store's key proves nothing here.
    if let Some(key) = source.verified().filter(|key| store.has_verified(key)) {
        let met = key.require(requirement).and_then(|()| store.charge_more(key, charge, cost));
        met.inspect_err(|error| refuse_verified(source, store, key, charge, error))?;
        return Ok(key.clone());
    }
    let token = source.presented(store.header_config()).token();
    // A missing key may be allowed: the caller of this function decides, and counts the refusal.
    let refused = |error: &AuthError| {
        if *error != AuthError::Missing {
            store.note_refusal(error, None, source.peer(store.header_config()));
        }
    };
    let attempt = Attempt::new(token.inspect_err(refused)?).needs(requirement).cost(cost).charge(charge);
    // The only call that counts against the key's rate limit: one request counts once, however many guards it passes.
    store.check(&attempt.peer(source.peer(store.header_config())))
}

/// Counts the refusal of a request whose key is verified, which then uses nothing of the key's quota.
pub(crate) fn refuse_verified(
    source: &dyn KeySource,
    store: &KeyStore,
    key: &VerifiedKey,
    charge: &Charge,
    error: &AuthError,
) {
    store.give_back(key, charge);
    store.note_refusal(error, Some(key), source.peer(store.header_config()));
}

/// Returns the rejection of a request that does not pass. Counts a missing key as a refusal.
pub(crate) fn reject(source: &dyn KeySource, store: &KeyStore, error: AuthError) -> Rejection {
    if error == AuthError::Missing {
        store.note_refusal(&error, None, source.peer(store.header_config()));
    }
    match source.presented(store.header_config()).token() {
        Ok(token) => Rejection::of_token(store, error, token),
        Err(_) => Rejection::of(store, error),
    }
}

/// Whether a request is a CORS preflight as the Fetch standard defines it, not any `OPTIONS` request.
#[cfg(any(feature = "tower", feature = "actix-web", feature = "poem", feature = "rocket", feature = "salvo"))]
pub(crate) fn is_preflight(method: &str, has: impl Fn(&'static str) -> bool) -> bool {
    method == "OPTIONS" && has("origin") && has("access-control-request-method")
}
