//! What the guards of one request leave for the layer that sees the response.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{KeyStore, VerifiedKey};

/// Every guard that asked for a key, in order. It is left in the request, and the layer keeps the other end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(Arc<Mutex<Vec<Mark>>>);

#[derive(Debug)]
struct Mark {
    store: KeyStore,
    key: Option<VerifiedKey>,
}

/// The header fields of a response, in the types of one framework.
pub(crate) trait Fields {
    /// The values of a field that are text.
    fn texts(&self, name: &'static str) -> Vec<&str>;

    /// Adds a field. A value that HTTP cannot carry is left out.
    fn add(&mut self, name: &'static str, value: &str);
}

impl Trail {
    pub(crate) fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let mark = Mark { store: store.clone(), key: key.cloned() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(mark);
    }

    /// Whether no guard has asked.
    #[cfg(feature = "poem")]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The key that was let in last.
    #[cfg(feature = "warp")]
    pub(crate) fn key(&self) -> Option<VerifiedKey> {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.iter().rev().find_map(|mark| mark.key.clone())
    }

    /// Says on the response that it depends on the caller's key.
    pub(crate) fn mark(&self, fields: &mut impl Fields) {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for mark in marks.iter() {
            let rule = mark.store.rule();
            vary(fields, rule.header());
            if rule.bearer() {
                vary(fields, "Authorization");
            }
            // Of two guards on a request, both tell the same.
            if let Some(superseded) = mark.key.as_ref().and_then(VerifiedKey::superseded_header)
                && fields.texts("x-api-key-superseded").is_empty()
            {
                fields.add("x-api-key-superseded", &superseded);
            }
            if let Some(status) = mark.key.as_ref().and_then(|key| mark.store.limit_status(key))
                && fields.texts("ratelimit").is_empty()
            {
                let [(_, policy), (_, now)] = status.fields();
                fields.add("ratelimit-policy", &policy);
                fields.add("ratelimit", &now);
            }
        }
        if !marks.is_empty() && fields.texts("cache-control").is_empty() {
            // `private` keeps it out of shared caches, which do not know that `X-API-Key` is a credential (RFC 9111
            // section 3.5 speaks of `Authorization` only). `no-cache` makes the caller's own cache ask again each time,
            // so that a revoked key is refused there too. `no-store` would be more than the application asked for:
            // it forbids the conditional requests that save its bandwidth.
            fields.add("cache-control", "private, no-cache");
        }
    }
}

/// Adds a name to `Vary`, unless it is there or `*` is.
pub(crate) fn vary(fields: &mut impl Fields, name: &str) {
    let held = fields.texts("vary");
    let mut held = held.iter().flat_map(|list| list.split(',').map(str::trim));
    if !held.any(|field| field == "*" || field.eq_ignore_ascii_case(name)) {
        fields.add("vary", name);
    }
}

#[cfg(feature = "http")]
impl Fields for http::HeaderMap {
    fn texts(&self, name: &'static str) -> Vec<&str> {
        self.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).collect()
    }

    fn add(&mut self, name: &'static str, value: &str) {
        if let Ok(value) = http::HeaderValue::from_str(value) {
            self.append(name, value);
        }
    }
}

#[cfg(all(test, feature = "http"))]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue, header};

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
