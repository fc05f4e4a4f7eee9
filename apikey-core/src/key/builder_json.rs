//! How builders serialise, as the admin protocol sends them.

use chrono::TimeDelta;
use serde::ser::Error as _;
use serde::{Deserialize, Serialize, Serializer};

use crate::access::limit::Limit;
use crate::base::invalid_field::InvalidField;

/// Spans as milliseconds.
pub(crate) mod span_ms {
    use chrono::TimeDelta;
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(span: &TimeDelta, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(span.num_milliseconds())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<TimeDelta, D::Error> {
        let milliseconds = i64::deserialize(deserializer)?;
        TimeDelta::try_milliseconds(milliseconds).ok_or_else(|| D::Error::custom("a span in milliseconds is expected"))
    }
}

/// A rate limit as a caller gives it, which the store has not checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UncheckedLimit {
    pub(crate) count: u32,
    #[serde(rename = "per_ms", with = "span_ms")]
    pub(crate) per: TimeDelta,
}

impl UncheckedLimit {
    pub(crate) fn check(self) -> Result<Limit, InvalidField> {
        Limit::checked(self.count, self.per)
    }
}

/// Serialises no field that is set: it belongs to this process, and without it the builder would mean something else.
pub(crate) fn only_here<T, S: Serializer>(_: &T, _: S) -> Result<S::Ok, S::Error> {
    Err(S::Error::custom("a key that caps another, and an imported one, are not sent"))
}
