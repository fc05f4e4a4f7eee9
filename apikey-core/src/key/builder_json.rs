//! Helpers for the JSON form of builders, which callers of a service and the admin protocol write.

use chrono::TimeDelta;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::access::limit::Limit;
use crate::base::invalid_field::InvalidField;
use crate::base::json::{from_object, whole};

/// Spans as milliseconds.
pub(crate) mod span_ms {
    use chrono::TimeDelta;
    use serde::de::Error as _;
    use serde::{Deserializer, Serializer};

    use crate::base::json::whole;

    pub(crate) fn serialize<S: Serializer>(span: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(span.num_milliseconds())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        let milliseconds = whole(deserializer)?;
        TimeDelta::try_milliseconds(milliseconds).ok_or_else(|| D::Error::custom("a span in milliseconds is expected"))
    }
}

/// A span in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpanMs(#[serde(with = "span_ms")] pub(crate) TimeDelta);

/// Reads `null` as a missing field.
pub(crate) fn or_default<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// Reads `null` as an empty list.
pub(crate) fn null_for_none<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<String>>, D::Error> {
    or_default(from).map(Some)
}

/// Rejects `null` as a value of the wrong type, because this field cannot be cleared.
pub(crate) fn not_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    T::deserialize(from).map(Some)
}

/// A rate limit as a caller gives it, which the store has not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct UncheckedLimit {
    pub(crate) count: u32,
    #[serde(rename = "per_ms", serialize_with = "span_ms::serialize")]
    pub(crate) per: TimeDelta,
}

#[derive(Deserialize)]
#[serde(remote = "UncheckedLimit", deny_unknown_fields)]
struct LimitJson {
    #[serde(deserialize_with = "whole")]
    count: u32,
    #[serde(rename = "per_ms", deserialize_with = "span_ms::deserialize")]
    per: TimeDelta,
}

from_object!(UncheckedLimit, LimitJson);

impl UncheckedLimit {
    pub(crate) fn check(self) -> Result<Limit, InvalidField> {
        Limit::checked(self.count, self.per)
    }
}

/// Fails to serialise a field that is set: it belongs to this process, and without it the builder would mean something
/// else.
pub(crate) fn only_here<T, S: Serializer>(_: &T, _: S) -> Result<S::Ok, S::Error> {
    Err(S::Error::custom("a cap, an idempotency key and an imported key are not sent"))
}
