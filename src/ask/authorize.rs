//! Authorizes a request for the guards in a handler. Not generic, so that it is compiled once.

use apikey_core::{AuthError, KeyStore, Need, Requirement, VerifiedKey};

use super::gate::{authenticate, reject};
use super::key_source::KeySource;
use super::rejection::Rejection;

/// Returns the key of the request, which meets `need`.
pub(crate) fn authorize(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
) -> Result<VerifiedKey, Rejection> {
    // A missing key is an `Err`, so every `Ok` has a key.
    decide(source, store, need, false)?.ok_or_else(|| Rejection::from(AuthError::Missing))
}

/// Works as [`authorize`], but returns `None` for a request without a key. It refuses an invalid key.
pub(crate) fn authorize_optional(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
) -> Result<Option<VerifiedKey>, Rejection> {
    decide(source, store, need, true)
}

fn decide(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
    optional: bool,
) -> Result<Option<VerifiedKey>, Rejection> {
    let Some(store) = store.or_else(|| provided(source, KeyStore::installed())) else {
        return Err(Rejection::from(AuthError::Unavailable));
    };
    let answer = match authenticate(source, store, &Requirement::from(need)) {
        Err(AuthError::Missing) if optional => Ok(None),
        answer => answer.map(Some),
    };
    source.record(store, answer.as_ref().ok().and_then(Option::as_ref));
    answer.map_err(|error| reject(source, store, error))
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
