//! The decisions that the guards of one request made, for the layer that sees the response.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "warp")]
use apikey_core::{AuthError, Requirement};
use apikey_core::{Charge, KeyStore, VerifiedKey};

use super::header_fields::{DEFAULT_HEADER, HeaderFields};
#[cfg(feature = "warp")]
use super::rejection::Rejection;

/// The decision of every guard on a request, in order. The request carries one handle; the layer keeps another.
#[derive(Debug, Clone, Default)]
pub(crate) struct GuardLog(Arc<Mutex<Decisions>>);

/// Most requests pass one guard, whose decision needs no allocation of its own.
#[derive(Debug, Default)]
struct Decisions {
    first: Option<Decision>,
    more: Vec<Decision>,
    /// What was taken from quotas for this request, each with the instance number of the store that took it.
    charges: Vec<(u64, Charge)>,
    /// The refusals, each with the instance number of the store that refused.
    #[cfg(feature = "warp")]
    refusals: Vec<(u64, Rejection)>,
}

#[derive(Debug)]
struct Decision {
    store: KeyStore,
    /// The key, if the guard let the request pass with one.
    key: Option<VerifiedKey>,
}

impl GuardLog {
    /// A log for the guards inside of a layer, which has the charges of the guards around it.
    #[cfg(any(feature = "management", feature = "tower", feature = "actix-web", feature = "poem", feature = "salvo"))]
    pub(crate) fn inside(outer: Option<&Self>) -> Self {
        let log = Self::default();
        if let Some(outer) = outer {
            log.decisions().charges.clone_from(&outer.decisions().charges);
        }
        log
    }

    /// What guards have taken from a quota of this store.
    pub(crate) fn charge(&self, store: &KeyStore) -> Charge {
        let decisions = self.decisions();
        let charge = decisions.charges.iter().find(|(number, _)| *number == store.instance());
        charge.map(|(_, charge)| charge.clone()).unwrap_or_default()
    }

    /// Notes what guards have taken from a quota of this store.
    pub(crate) fn note_charge(&self, store: &KeyStore, charge: &Charge) {
        // The key of most requests has no quota.
        if charge.is_noted() {
            let mut decisions = self.decisions();
            decisions.charges.retain(|(number, _)| *number != store.instance());
            decisions.charges.push((store.instance(), charge.clone()));
        }
    }

    /// Records that a guard asked this store, and the key that it accepted.
    pub(crate) fn record(&self, store: &KeyStore, key: Option<&VerifiedKey>) {
        let decision = Decision { store: store.clone(), key: key.cloned() };
        let mut decisions = self.decisions();
        match decisions.first {
            None => decisions.first = Some(decision),
            Some(_) => decisions.more.push(decision),
        }
    }

    /// Whether no guard has decided.
    #[cfg(feature = "poem")]
    pub(crate) fn is_empty(&self) -> bool {
        self.decisions().first.is_none()
    }

    /// The key that a guard accepted last.
    pub(crate) fn key(&self) -> Option<VerifiedKey> {
        let decisions = self.decisions();
        decisions.first.iter().chain(&decisions.more).rev().find_map(|decision| decision.key.clone())
    }

    /// Records the rejection with which this store refused the request.
    #[cfg(feature = "warp")]
    pub(crate) fn record_refusal(&self, store: &KeyStore, rejection: &Rejection) {
        self.decisions().refusals.push((store.instance(), rejection.clone()));
    }

    /// The rejection of this store, if it already refused the request in a way that applies to this requirement too.
    #[cfg(feature = "warp")]
    pub(crate) fn refusal(&self, store: &KeyStore, requirement: &Requirement) -> Option<Rejection> {
        let applies = |rejection: &Rejection| match rejection.error() {
            AuthError::InsufficientPermission { required } => required == requirement,
            _ => true,
        };
        let decisions = self.decisions();
        let mut of_store = decisions.refusals.iter().filter(|(number, _)| *number == store.instance());
        of_store.find(|(_, rejection)| applies(rejection)).map(|(_, rejection)| rejection.clone())
    }

    /// Writes the headers of a response that depends on the caller's key: `Vary`, `Cache-Control`,
    /// `X-API-Key-Superseded`, and the fields of the rate limit and the quota.
    pub(crate) fn write_headers(&self, fields: &mut impl HeaderFields) {
        let decisions = self.decisions();
        for decision in decisions.first.iter().chain(&decisions.more) {
            let config = decision.store.header_config();
            vary(fields, static_name(config.header()));
            if config.bearer() {
                vary(fields, "Authorization".into());
            }
            // Two guards on one request report the same values: the first writes them.
            if let Some(superseded) = decision.key.as_ref().and_then(VerifiedKey::superseded_header)
                && fields.lacks("x-api-key-superseded")
            {
                fields.add("x-api-key-superseded", superseded.into());
            }
            if let Some([(_, policy), (_, now)]) =
                decision.key.as_ref().and_then(|key| decision.store.limit_fields(key))
                && fields.lacks("ratelimit")
            {
                fields.add("ratelimit-policy", policy.into());
                fields.add("ratelimit", now.into());
            }
        }
        if decisions.first.is_some() && fields.lacks("cache-control") {
            // `private` keeps the response out of shared caches, which do not know that `X-API-Key` is a credential
            // (RFC 9111 section 3.5 covers `Authorization` only). `no-cache` makes the caller's own cache revalidate
            // each time, so that a revoked key is refused there too. `no-store` would go too far: it forbids the
            // conditional requests that save the application's bandwidth.
            fields.add("cache-control", "private, no-cache".into());
        }
    }

    /// Puts the key among the extensions of a response, for a layer further out that logs it.
    #[cfg(all(feature = "http", any(feature = "management", feature = "tower", feature = "poem", feature = "salvo")))]
    pub(crate) fn insert_key(&self, extensions: &mut http::Extensions) {
        if let Some(key) = self.key() {
            extensions.insert(key);
        }
    }

    fn decisions(&self) -> MutexGuard<'_, Decisions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of the header, without a copy if it is the default one.
fn static_name(header: &str) -> Cow<'static, str> {
    if header == DEFAULT_HEADER { DEFAULT_HEADER.into() } else { header.to_owned().into() }
}

/// Adds a name to `Vary`, unless the field has it or `*`.
fn vary(fields: &mut impl HeaderFields, name: Cow<'static, str>) {
    let is_present = {
        let mut names = fields.texts("vary").flat_map(|list| list.split(',').map(str::trim));
        names.any(|field| field == "*" || field.eq_ignore_ascii_case(&name))
    };
    if !is_present {
        fields.add("vary", name);
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
        let values: Vec<_> = headers.get_all(header::VARY).iter().collect();
        assert_eq!(values, ["Origin, x-api-key", "Authorization"]);
        headers.insert(header::VARY, HeaderValue::from_static("*"));
        vary(&mut headers, "X-API-Key".into());
        assert_eq!(headers.get_all(header::VARY).iter().count(), 1);
    }
}
