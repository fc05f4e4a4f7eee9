//! What the guards of one request leave for the layer that sees the response.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "warp")]
use apikey_core::{AuthError, Requirement};
use apikey_core::{KeyStore, VerifiedKey};

use super::key_source::USUAL_HEADER;
#[cfg(feature = "warp")]
use super::rejection::Rejection;

/// Every guard that asked for a key, in order. It is left in the request, and the layer keeps the other end.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuardLog(Arc<Mutex<Marks>>);

/// Most requests pass one guard: it takes no memory of its own.
#[derive(Debug, Default)]
struct Marks {
    first: Option<Mark>,
    more: Vec<Mark>,
    /// Which stores have refused the request, by their number.
    #[cfg(feature = "warp")]
    refusals: Vec<(u64, Rejection)>,
}

#[derive(Debug)]
struct Mark {
    store: KeyStore,
    key: Option<VerifiedKey>,
}

/// The header fields of a response, in the types of one framework.
pub(crate) trait Fields {
    /// The values of a field that are text.
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str>;

    /// Adds a field. A value that HTTP cannot carry is left out.
    fn add(&mut self, name: &'static str, value: Cow<'static, str>);

    fn lacks(&self, name: &'static str) -> bool {
        self.texts(name).next().is_none()
    }
}

impl GuardLog {
    pub(crate) fn asked(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let mark = Mark { store: store.clone(), key: key.cloned() };
        let mut marks = self.marks();
        match marks.first {
            None => marks.first = Some(mark),
            Some(_) => marks.more.push(mark),
        }
    }

    /// Whether no guard has asked.
    #[cfg(feature = "poem")]
    pub(crate) fn is_empty(&self) -> bool {
        self.marks().first.is_none()
    }

    /// The key that was let in last.
    #[cfg(feature = "warp")]
    pub(crate) fn key(&self) -> Option<VerifiedKey> {
        let marks = self.marks();
        marks.first.iter().chain(&marks.more).rev().find_map(|mark| mark.key.clone())
    }

    /// Keeps what this store has refused.
    #[cfg(feature = "warp")]
    pub(crate) fn refused(&self, store: &KeyStore, rejection: &Rejection) {
        self.marks().refusals.push((store.instance(), rejection.clone()));
    }

    /// The refusal of this store, if it has refused the request already, and this is refused with it.
    #[cfg(feature = "warp")]
    pub(crate) fn refusal(&self, store: &KeyStore, requirement: &Requirement) -> Option<Rejection> {
        let holds = |rejection: &Rejection| match rejection.error() {
            AuthError::InsufficientPermission { required } => required == requirement,
            _ => true,
        };
        let marks = self.marks();
        let mut of_store = marks.refusals.iter().filter(|(number, _)| *number == store.instance());
        of_store.find(|(_, rejection)| holds(rejection)).map(|(_, rejection)| rejection.clone())
    }

    /// Says on the response that it depends on the caller's key.
    pub(crate) fn mark(&self, fields: &mut impl Fields) {
        let marks = self.marks();
        for mark in marks.first.iter().chain(&marks.more) {
            let config = mark.store.header_config();
            vary(fields, known(config.header()));
            if config.bearer() {
                vary(fields, "Authorization".into());
            }
            // Of two guards on a request, both tell the same.
            if let Some(superseded) = mark.key.as_ref().and_then(VerifiedKey::superseded_header)
                && fields.lacks("x-api-key-superseded")
            {
                fields.add("x-api-key-superseded", superseded.into());
            }
            if let Some(status) = mark.key.as_ref().and_then(|key| mark.store.limit_status(key))
                && fields.lacks("ratelimit")
            {
                let [(_, policy), (_, now)] = status.fields();
                fields.add("ratelimit-policy", policy.into());
                fields.add("ratelimit", now.into());
            }
        }
        if marks.first.is_some() && fields.lacks("cache-control") {
            // `private` keeps it out of shared caches, which do not know that `X-API-Key` is a credential (RFC 9111
            // section 3.5 speaks of `Authorization` only). `no-cache` makes the caller's own cache ask again each time,
            // so that a revoked key is refused there too. `no-store` would be more than the application asked for:
            // it forbids the conditional requests that save its bandwidth.
            fields.add("cache-control", "private, no-cache".into());
        }
    }

    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the header, without a copy of the usual one.
fn known(header: &str) -> Cow<'static, str> {
    if header == USUAL_HEADER { USUAL_HEADER.into() } else { header.to_owned().into() }
}

/// Adds a name to `Vary`, unless it is there or `*` is.
fn vary(fields: &mut impl Fields, name: Cow<'static, str>) {
    let is_held = {
        let mut held = fields.texts("vary").flat_map(|list| list.split(',').map(str::trim));
        held.any(|field| field == "*" || field.eq_ignore_ascii_case(&name))
    };
    if !is_held {
        fields.add("vary", name);
    }
}

#[cfg(feature = "http")]
impl Fields for http::HeaderMap {
    fn texts(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.get_all(header_name(name)).into_iter().filter_map(|value| value.to_str().ok())
    }

    fn add(&mut self, name: &'static str, value: Cow<'static, str>) {
        let value = match value {
            // Those that are written here.
            Cow::Borrowed(text) => Ok(http::HeaderValue::from_static(text)),
            Cow::Owned(text) => http::HeaderValue::try_from(text),
        };
        if let Ok(value) = value {
            self.append(header_name(name), value);
        }
    }
}

/// To read a name costs more than to compare it with the two that are on every response.
#[cfg(feature = "http")]
fn header_name(name: &'static str) -> http::HeaderName {
    match name {
        "vary" => http::header::VARY,
        "cache-control" => http::header::CACHE_CONTROL,
        other => http::HeaderName::from_static(other),
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
        vary(&mut headers, "X-API-Key".into());
        vary(&mut headers, "Authorization".into());
        vary(&mut headers, "Authorization".into());
        let held: Vec<_> = headers.get_all(header::VARY).iter().collect();
        assert_eq!(held, ["Origin, x-api-key", "Authorization"]);
        headers.insert(header::VARY, HeaderValue::from_static("*"));
        vary(&mut headers, "X-API-Key".into());
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    }
}
