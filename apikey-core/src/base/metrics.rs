//! Counters for the `metrics` crate; without the feature they do nothing.

/// Counts verifications by their answer, and changes by their kind. Names and labels are in
/// `docs/guides/observability.md`.
#[cfg(feature = "metrics")]
pub(crate) struct Meter {
    /// The store registers it when it is opened: a look-up of a counter costs more than a verification.
    verified: metrics::Counter,
    invalid: metrics::Counter,
}

#[cfg(feature = "metrics")]
const VERIFICATIONS: &str = "apikey_verifications_total";

#[cfg(feature = "metrics")]
impl Meter {
    pub(crate) fn new() -> Self {
        metrics::describe_counter!(VERIFICATIONS, "Verifications of API keys, by the code of the answer");
        metrics::describe_counter!("apikey_changes_total", "Changes of API keys, by kind");
        Self {
            verified: metrics::counter!(VERIFICATIONS, "code" => "ok"),
            invalid: metrics::counter!(VERIFICATIONS, "code" => "invalid_api_key"),
        }
    }

    #[inline]
    pub(crate) fn verified(&self) {
        self.verified.increment(1);
    }

    pub(crate) fn refused(&self, code: &'static str) {
        match code {
            "invalid_api_key" => self.invalid.increment(1),
            _ => metrics::counter!(VERIFICATIONS, "code" => code).increment(1),
        }
    }

    #[allow(clippy::unused_self, reason = "as without the feature")]
    pub(crate) fn changed(&self, kind: &'static str) {
        metrics::counter!("apikey_changes_total", "kind" => kind).increment(1);
    }
}

#[cfg(not(feature = "metrics"))]
pub(crate) struct Meter;

#[cfg(not(feature = "metrics"))]
#[allow(clippy::unused_self, reason = "as with the feature")]
impl Meter {
    pub(crate) fn new() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn verified(&self) {}

    #[inline]
    pub(crate) fn refused(&self, _: &'static str) {}

    #[inline]
    pub(crate) fn changed(&self, _: &'static str) {}
}
