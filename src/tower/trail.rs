//! What the guards of one request leave for the layer that sees the response.

use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{KeyStore, VerifiedKey};

const SUPERSEDED: HeaderName = HeaderName::from_static("x-api-key-superseded");

/// Every guard that asked for a key, in order. It is in the request's extensions, and the layer keeps the other end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Vec<Mark>>>);

#[derive(Debug)]
struct Mark {
    store: KeyStore,
    key: Option<VerifiedKey>,
}

impl Trail {
    pub(crate) fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let mark = Mark { store: store.clone(), key: key.cloned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    }

    /// Says on the response that it depends on the caller's key.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mark in marks.iter() {
            let rule = mark.store.rule();
            vary(headers, rule.header());
            if rule.bearer() {
                vary(headers, "Authorization");
            }
            if let Some(superseded) = mark.key.as_ref().and_then(VerifiedKey::superseded_header)
                && let Ok(value) = HeaderValue::try_from(superseded)
            {
                headers.insert(SUPERSEDED, value);
            }
        }
        if !marks.is_empty() && !headers.contains_key(header::CACHE_CONTROL) {
            // `private` keeps it out of shared caches, which do not know that `X-API-Key` is a credential (RFC 9111
            // section 3.5 speaks of `Authorization` only). `no-cache` makes the caller's own cache ask again each time,
            // so that a revoked key is refused there too. `no-store` would be more than the application asked for:
            // it forbids the conditional requests that save its bandwidth.
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        }
    }
}

/// Adds a name to `Vary`, unless it is there or `*` is.
fn vary(headers: &mut HeaderMap, name: &str) {
    let mut held = headers.get_all(header::VARY).into_iter().filter_map(|value| value.to_str().ok());
    let named =
        held.any(|list| list.split(',').map(str::trim).any(|field| field == "*" || field.eq_ignore_ascii_case(name)));
    if !named && let Ok(value) = HeaderValue::from_str(name) {
        headers.append(header::VARY, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_names_a_field_once() {
        let mut headers = HeaderMap::new();
        headers.insert(header::VARY, HeaderValue::from_static("Origin, x-api-key"));
        vary(&mut headers, "X-API-Key");
        vary(&mut headers, "Authorization");
        vary(&mut headers, "Authorization");
        let held: Vec<_> = headers.get_all(header::VARY).iter().collect();
        assert_eq!(held, ["Origin, x-api-key", "Authorization"]);
        headers.insert(header::VARY, HeaderValue::from_static("*"));
        vary(&mut headers, "X-API-Key");
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    }
}
