//! Authorizes a request for the guards in a handler. Not generic, so that it is compiled once.

use apikey_core::{AuthError, Charge, KeyStore, Requirement, VerifiedKey};

use super::condition::{Condition, TenantCondition};
use super::gate::{authenticate, refuse_verified, reject};
use super::key_source::KeySource;
use super::rejection::Rejection;

/// Returns the key of the request, which meets the condition.
pub(crate) fn authorize(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    condition: Condition<'_>,
) -> Result<VerifiedKey, Rejection> {
    // A missing key is an `Err`, so every `Ok` has a key.
    decide(source, store, condition, false)?.ok_or_else(|| Rejection::from(AuthError::Missing))
}

/// Works as [`authorize`], but returns `None` for a request without a key. It refuses an invalid key.
pub(crate) fn authorize_optional(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    condition: Condition<'_>,
) -> Result<Option<VerifiedKey>, Rejection> {
    decide(source, store, condition, true)
}

fn decide(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    condition: Condition<'_>,
    optional: bool,
) -> Result<Option<VerifiedKey>, Rejection> {
    let Some(store) = store.or_else(|| provided(source, KeyStore::installed())) else {
        return Err(Rejection::from(AuthError::Unavailable));
    };
    let charge = source.charge(store);
    let (answer, known) = match condition.tenant {
        TenantCondition::Any => {
            answered(authenticate(source, store, &Requirement::from(condition.need), condition.cost, &charge))
        }
        _ => in_its_tenant(source, store, condition, &charge),
    };
    source.record(store, known.as_ref());
    source.note_charge(store, &charge);
    let answer = match answer {
        Err(AuthError::Missing) if optional => Ok(None),
        answer => answer.map(Some),
    };
    answer.map_err(|error| reject(source, store, error))
}

/// The answer, and the key that the headers of the response are about.
type Answered = (Result<VerifiedKey, AuthError>, Option<VerifiedKey>);

fn answered(answer: Result<VerifiedKey, AuthError>) -> Answered {
    let key = answer.as_ref().ok().cloned();
    (answer, key)
}

/// Checks the tenant before the permission, so that a caller learns nothing about another tenant, not even what a request
/// there would need.
fn in_its_tenant(source: &dyn KeySource, store: &KeyStore, condition: Condition<'_>, charge: &Charge) -> Answered {
    let key = match authenticate(source, store, &Requirement::authenticated(), 1, charge) {
        Ok(key) => key,
        Err(error) => return (Err(error), None),
    };
    let met = condition
        .tenant
        .check(&key)
        .and_then(|()| key.require(&Requirement::from(condition.need)))
        .and_then(|()| store.charge_more(&key, charge, condition.cost));
    match met.inspect_err(|error| refuse_verified(source, store, &key, charge, error)) {
        Ok(()) => answered(Ok(key)),
        // The response has the headers of one to this key, as that of a handler which does not find a thing.
        Err(AuthError::NotFound) => (Err(AuthError::NotFound), Some(key)),
        Err(error) => (Err(error), None),
    }
}

/// Returns the store of the request, or the installed one. Without a store the caller, who cannot fix it, gets a bare
/// 503, and the log has the reason for the developer.
fn provided<'a>(source: &'a dyn KeySource, installed: Option<&'a KeyStore>) -> Option<&'a KeyStore> {
    if let Some(store) = source.store() {
        return Some(store);
    }
    if source.has_ambiguous_store() {
        tracing::error!(
            "this request has two key stores, provided in two forms, and the framework does not say which of them is the \
             inner one, so it is refused: provide both with `supply`, or both in the same form"
        );
        return None;
    }
    if installed.is_none() {
        tracing::error!(
            "this request has no key store, so it is refused: put .layer(ApiKeyLayer::supply(store)) on the router, after \
             its last route (in other frameworks, what docs/guides/frameworks.md says), or name the store in the attribute"
        );
    }
    installed
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_core::{HeaderConfig, Presented};

    /// A request that may have two stores.
    struct TwoStores {
        ambiguous: bool,
    }

    impl KeySource for TwoStores {
        fn presented<'a>(&'a self, _: &HeaderConfig) -> Presented<'a> {
            Presented::None
        }

        fn has_ambiguous_store(&self) -> bool {
            self.ambiguous
        }
    }

    #[test]
    fn an_installed_store_does_not_resolve_an_ambiguous_one() {
        let installed = KeyStore::temporary().unwrap();
        for ambiguous in [false, true] {
            let request = || TwoStores { ambiguous };
            for source in [&request() as &dyn KeySource, &&request(), &Some(request())] {
                assert_eq!(provided(source, Some(&installed)).is_some(), !ambiguous);
            }
        }
    }
}
