//! What knows nothing of keys: the codec, time, texts kept once, files, panics, metrics.

pub(crate) mod base62;
pub(crate) mod clock_lead;
pub(crate) mod codec;
pub(crate) mod files;
pub(crate) mod interner;
pub(crate) mod invalid_field;
pub(crate) mod lock;
pub(crate) mod metrics;
pub(crate) mod pace;
pub(crate) mod panics;
pub(crate) mod patch;
pub(crate) mod signal;
pub(crate) mod store_time;
pub(crate) mod time;
#[doc(hidden)]
pub mod wiped;
