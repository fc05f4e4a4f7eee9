//! The caller's key in the span of its request.

use apikey_core::{KeyId, VerifiedKey};
use tracing::Span;
use tracing::field::display;
use tracing::level_filters::LevelFilter;

/// The fields that are filled in, if the span declares them.
const ID: &str = "apikey.id";
const OWNER: &str = "apikey.owner";
const TENANT: &str = "apikey.tenant";

/// Records the key in the current span. A span without these fields costs only a look-up, and a program without a
/// subscriber not even that.
pub(super) fn record(key: &VerifiedKey) {
    if LevelFilter::current() != LevelFilter::OFF {
        record_in(&Span::current(), key.id(), || Some((key.owner(), key.tenant())));
    }
}

/// Records a key in a span, which may be the current one of another thread. Asks for the owner and the tenant only if the
/// span declares a field of theirs.
pub(crate) fn record_in<O: AsRef<str>>(span: &Span, id: KeyId, owner: impl FnOnce() -> Option<(O, Option<O>)>) {
    if span.has_field(ID) {
        span.record(ID, display(id));
    }
    if (span.has_field(OWNER) || span.has_field(TENANT))
        && let Some((owner, tenant)) = owner()
    {
        span.record(OWNER, owner.as_ref());
        if let Some(tenant) = tenant {
            span.record(TENANT, tenant.as_ref());
        }
    }
}
