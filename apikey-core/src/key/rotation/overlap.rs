//! The time after a rotation in which the old secret is still valid.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::base::time::from_ms;
use crate::key::builder_json::{SpanMs, span_ms};
use crate::key::record::SecretEnd;

/// How long the old secret stays valid when a key is rotated. As JSON: `"none"`, `"first_use"`, or `{"ms": 3600000}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The old secret ends at once, and so does every older one, as after a leak.
    None,
    /// The old secret stays valid for this time, one millisecond or more.
    #[serde(rename = "ms", serialize_with = "span_ms::serialize")]
    For(TimeDelta),
    /// The old secret stays valid until the first verification of the new one.
    #[serde(rename = "first_use")]
    UntilFirstUse,
}

/// The object of an overlap that is a time.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OverlapMs {
    ms: SpanMs,
}

/// What serde derives for an enum reports a second member as text that is not JSON.
impl<'de> Deserialize<'de> for Overlap {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Form;

        impl<'de> Visitor<'de> for Form {
            type Value = Overlap;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(r#""none", "first_use", or a time such as {"ms": 3600000}"#)
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Overlap, E> {
                match text {
                    "none" => Ok(Overlap::None),
                    "first_use" => Ok(Overlap::UntilFirstUse),
                    other => Err(E::invalid_value(Unexpected::Str(other), &self)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Overlap, A::Error> {
                let OverlapMs { ms: SpanMs(span) } = OverlapMs::deserialize(MapAccessDeserializer::new(object))?;
                Ok(Overlap::For(span))
            }
        }

        from.deserialize_any(Form)
    }
}

/// When the older secret ends, during the overlap of a rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverlapEnd {
    /// It ends at this time.
    At(DateTime<Utc>),
    /// It ends at the first use of the new secret.
    FirstUse,
}

impl OverlapEnd {
    pub(crate) fn of(end: SecretEnd) -> Option<Self> {
        match end {
            SecretEnd::At(end) => Some(Self::At(from_ms(end))),
            SecretEnd::FirstUse => Some(Self::FirstUse),
            SecretEnd::Never | SecretEnd::Pending { .. } => None,
        }
    }
}
