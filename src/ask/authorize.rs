//! The one way in which every guard asks, whatever the framework: not generic, so it is compiled once.

use apikey_core::{AuthError, KeyStore, Need, Requirement, VerifiedKey};

use super::gate::{pass, reject};
use super::key_source::KeySource;
use super::rejection::Rejection;

/// Asks for a key that meets `need`.
pub(crate) fn authorize(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
) -> Result<VerifiedKey, Rejection> {
    // Without a key presented the answer is `Missing`, so there is a key in every `Ok`.
    ask(source, store, need, false)?.ok_or_else(|| Rejection::from(AuthError::Missing))
}

/// As [`authorize`], and no key at all is `None`. A bad key is refused.
pub(crate) fn authorize_optional(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
) -> Result<Option<VerifiedKey>, Rejection> {
    ask(source, store, need, true)
}

fn ask(
    source: &dyn KeySource,
    store: Option<&KeyStore>,
    need: &'static Need,
    optional: bool,
) -> Result<Option<VerifiedKey>, Rejection> {
    let Some(store) = store.or_else(|| provided(source, KeyStore::installed())) else {
        return Err(Rejection::from(AuthError::Unavailable));
    };
    let answer = answer(source, store, &Requirement::from(need), optional);
    source.asked(store, answer.as_ref().ok().and_then(Option::as_ref));
    answer.map_err(|error| reject(source, store, error))
}

/// The store of the request, or the installed one. Without one the caller, who cannot mend it, is told no more than 503:
/// the developer is told here.
fn provided<'a>(source: &'a dyn KeySource, installed: Option<&'a KeyStore>) -> Option<&'a KeyStore> {
    if let Some(store) = source.store() {
        return Some(store);
    }
    if source.undecided() {
        tracing::error!(
            "two key stores are named for this request, in two forms, and the framework does not say which of them is \
             further in, so it is refused: name both with `supply`, or both in the same form"
        );
        return None;
    }
    if installed.is_none() {
        tracing::error!(
            "no key store for this request, so it is refused: put .layer(ApiKeyLayer::supply(store)) on the router, \
             after its last route (in other frameworks, what docs/frameworks.md says), or name the store in the attribute"
        );
    }
    installed
}

fn answer(
    source: &dyn KeySource,
    store: &KeyStore,
    requirement: &Requirement,
    optional: bool,
) -> Result<Option<VerifiedKey>, AuthError> {
    match pass(source, store, requirement) {
        Err(AuthError::Missing) if optional => Ok(None),
        answer => answer.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use apikey_core::{HeaderConfig, Presented};

    /// A request for which two stores are named.
    struct Torn(bool);

    impl KeySource for Torn {
        fn presented<'a>(&'a self, _: &HeaderConfig) -> Presented<'a> {
            Presented::None
        }

        fn undecided(&self) -> bool {
            self.0
        }
    }

    #[test]
    fn an_installed_store_does_not_decide_between_two_that_are_named() {
        let installed = KeyStore::temporary().unwrap();
        for (undecided, asked) in [(false, true), (true, false)] {
            for source in [&Torn(undecided) as &dyn KeySource, &&Torn(undecided), &Some(Torn(undecided))] {
                assert_eq!(provided(source, Some(&installed)).is_some(), asked);
            }
        }
    }
}
