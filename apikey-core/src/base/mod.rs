//! Foundations that do not depend on keys: the codec, time, interned texts, redaction, files, panics, metrics.

pub(crate) mod base62;
#[cfg(feature = "cluster")]
pub(crate) mod boot_time;
pub(crate) mod clock_lead;
pub(crate) mod codec;
pub(crate) mod files;
#[cfg(feature = "cluster")]
pub(crate) mod forked;
pub(crate) mod interner;
pub(crate) mod invalid_field;
pub(crate) mod json;
pub(crate) mod lock;
pub(crate) mod metrics;
pub(crate) mod pace;
pub(crate) mod panics;
pub(crate) mod patch;
pub(crate) mod redact;
pub(crate) mod runtime;
pub(crate) mod signal;
pub(crate) mod store_time;
pub(crate) mod time;
#[doc(hidden)]
pub mod wiped;
