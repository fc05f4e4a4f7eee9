//! The bounds of an acting key that a change would exceed.

use chrono::{DateTime, TimeDelta, Utc};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::access::auth_error::AuthError;
use crate::access::limit::Limit;
use crate::access::quota::Quota;
use crate::base::redact::redact;
use crate::base::time::span_text;
use crate::key::builder_json::SpanMs;
use crate::token::key_id::KeyId;

/// The bound that a change would exceed, if an acting key caps it (`within`).
///
/// It serialises as an object with its [`kind`](Self::kind) and its fields: `{"kind":"grant","grant":"orders:*"}`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapViolation {
    /// None of the acting key's grants covers this one.
    #[error("its permissions do not cover {0:?}")]
    Grant(String),
    /// The grant, which the acting key has, manages keys, and the acting key would hand it on. These are the grants that
    /// match any permission of `keys:`, `roles:`, `tenants:`, `events:` or `usage:`, such as `*:create`.
    #[error(
        "its permission {0:?} manages keys, and another key would have it; that takes the permission keys:delegate"
    )]
    Delegation(String),
    /// The acting key is not, or is no longer, a valid key of this store.
    #[error("it is not valid: {0}")]
    Actor(AuthError),
    /// The acting key does not cover the permissions of the key to be changed. The error does not disclose what that key
    /// may do. If that key belongs to another owner, and the acting key lacks `keys:any_owner`, the error is
    /// [`StoreError::NotFound`](crate::StoreError::NotFound) instead.
    #[error("key {0} has permissions that it lacks")]
    Target(KeyId),
    /// The role grants what the acting key lacks, so the acting key may neither change nor delete it.
    #[error("the role {0:?} grants what it lacks")]
    Role(String),
    /// The change concerns keys of another owner.
    #[error(
        "it belongs to {actor:?}, and the change concerns keys of {:?}; that takes the permission keys:any_owner",
        redact(wanted)
    )]
    Owner {
        /// The owner of the keys that the change creates or revokes.
        wanted: String,
        /// The owner of the acting key.
        actor: String,
    },
    /// The change concerns keys of another tenant.
    #[error("it belongs to {}, and the change concerns keys of {}; {}", describe_tenant(actor.as_ref()),
        describe_tenant(wanted.as_ref()), describe_bound(actor.as_ref()))]
    Tenant {
        /// The tenant of the keys that the change creates or revokes; `None` for keys of no tenant.
        wanted: Option<String>,
        /// The tenant of the acting key; `None` if it has none.
        actor: Option<String>,
    },
    /// The key would end later than the acting key.
    #[error(
        "the key would {}, and the acting key ends at {}; that takes the permission keys:outlive",
        describe_later(wanted),
        describe_time(latest)
    )]
    End {
        /// When the key would end; `None` if it would never end.
        wanted: Option<DateTime<Utc>>,
        /// When the acting key ends.
        latest: DateTime<Utc>,
    },
    /// Nobody would have to use the key for longer than the acting key.
    #[error(
        "the key would {}, and the acting key ends after {} without use; that takes the permission keys:outlive",
        describe_idle(wanted),
        span_text(*max)
    )]
    Idle {
        /// How long nobody would have to use the key; `None` if it would be any time.
        wanted: Option<TimeDelta>,
        /// The same of the acting key.
        max: TimeDelta,
    },
    /// The key would have a label that the acting key does not have, or would lose one.
    #[error(
        "the key would have {}, and the acting key has {}; that takes the permission *",
        describe_label(name, wanted.as_ref()),
        describe_label(name, held.as_ref())
    )]
    Label {
        /// The name of the label.
        name: String,
        /// The value that the key would have; `None` if it would lose the label.
        wanted: Option<String>,
        /// The value that the acting key has; `None` if it does not have the label.
        held: Option<String>,
    },
    /// The key would have another prefix than the acting key.
    #[error("the key would have the prefix {wanted:?}, and the acting key has {held:?}; that takes the permission *")]
    Prefix {
        /// The prefix that the key would have.
        wanted: String,
        /// The prefix of the acting key.
        held: String,
    },
    /// The key would be valid from this network, or from `anywhere`, and the acting key is not.
    #[error("the key would be valid from {0}, and the acting key is not; that takes the permission keys:anywhere")]
    Networks(String),
    /// The key would have a higher rate limit than the acting key.
    #[error(
        "the key would have {}, and the acting key has {}; that takes the permission *",
        describe_limit(*wanted), describe_limit(Some(*max))
    )]
    Limit {
        /// The limit that the key would have; `None` if it would have none.
        wanted: Option<Limit>,
        /// The limit of the acting key.
        max: Limit,
    },
    /// The key would have a larger quota than the acting key.
    #[error(
        "the key would have {}, and the acting key has {}; that takes the permission *",
        describe_quota(*wanted), describe_quota(Some(*max))
    )]
    Quota {
        /// The quota that the key would have; `None` if it would have none.
        wanted: Option<Quota>,
        /// The quota of the acting key.
        max: Quota,
    },
}

pub(crate) fn describe_time(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn describe_tenant(tenant: Option<&String>) -> String {
    tenant.map_or_else(|| "no tenant".into(), |tenant| format!("the tenant {:?}", redact(tenant)))
}

fn describe_bound(actor: Option<&String>) -> &'static str {
    match actor {
        Some(_) => "a key of a tenant manages that tenant only",
        None => "that takes the permissions keys:any_owner and keys:any_tenant",
    }
}

fn describe_later(end: &Option<DateTime<Utc>>) -> String {
    end.as_ref().map_or_else(|| "never end".into(), |end| format!("end at {}", describe_time(end)))
}

fn describe_idle(after: &Option<TimeDelta>) -> String {
    after
        .map_or_else(|| "never end for want of use".into(), |span| format!("end after {} without use", span_text(span)))
}

fn describe_label(name: &str, value: Option<&String>) -> String {
    value.map_or_else(|| format!("no label {name:?}"), |value| format!("the label {name:?} with the value {value:?}"))
}

fn describe_limit(limit: Option<Limit>) -> String {
    limit.map_or_else(
        || "no rate limit".into(),
        |limit| format!("a rate limit of {} requests per {}", limit.count(), span_text(limit.per())),
    )
}

fn describe_quota(quota: Option<Quota>) -> String {
    quota.map_or_else(|| "no quota".into(), |quota| format!("a quota of {quota}"))
}

impl CapViolation {
    /// Returns the name of the violated bound: `grant`, `delegation`, `actor`, `target`, `role`, `owner`, `tenant`, `label`,
    /// `prefix`, `end`, `idle`, `networks`, `limit` or `quota`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Grant(_) => "grant",
            Self::Delegation(_) => "delegation",
            Self::Actor(_) => "actor",
            Self::Target(_) => "target",
            Self::Role(_) => "role",
            Self::Owner { .. } => "owner",
            Self::Tenant { .. } => "tenant",
            Self::Label { .. } => "label",
            Self::Prefix { .. } => "prefix",
            Self::End { .. } => "end",
            Self::Idle { .. } => "idle",
            Self::Networks(_) => "networks",
            Self::Limit { .. } => "limit",
            Self::Quota { .. } => "quota",
        }
    }
}

impl Serialize for CapViolation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.kind())?;
        match self {
            Self::Grant(grant) | Self::Delegation(grant) => map.serialize_entry("grant", grant)?,
            Self::Actor(error) => map.serialize_entry("code", error.code())?,
            Self::Target(id) => map.serialize_entry("id", id)?,
            Self::Role(name) => map.serialize_entry("role", name)?,
            // What a caller wants may be anything, a token for one.
            Self::Owner { wanted, actor } => {
                map.serialize_entry("wanted", &redact(wanted))?;
                map.serialize_entry("actor", actor)?;
            }
            Self::Tenant { wanted, actor } => {
                map.serialize_entry("wanted", &wanted.as_deref().map(redact))?;
                map.serialize_entry("actor", actor)?;
            }
            Self::Label { name, wanted, held } => {
                map.serialize_entry("name", name)?;
                map.serialize_entry("wanted", wanted)?;
                map.serialize_entry("held", held)?;
            }
            Self::Prefix { wanted, held } => {
                map.serialize_entry("wanted", wanted)?;
                map.serialize_entry("held", held)?;
            }
            Self::End { wanted, latest } => {
                map.serialize_entry("wanted", wanted)?;
                map.serialize_entry("latest", latest)?;
            }
            Self::Idle { wanted, max } => {
                map.serialize_entry("wanted_ms", &wanted.map(SpanMs))?;
                map.serialize_entry("max_ms", &SpanMs(*max))?;
            }
            Self::Networks(network) => map.serialize_entry("network", network)?,
            Self::Limit { wanted, max } => {
                map.serialize_entry("wanted", wanted)?;
                map.serialize_entry("max", max)?;
            }
            Self::Quota { wanted, max } => {
                map.serialize_entry("wanted", wanted)?;
                map.serialize_entry("max", max)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::from_ms;
    use chrono::TimeDelta;

    #[test]
    fn a_violation_serialises_with_its_kind_and_its_fields() {
        let id = KeyId::from_u128(7);
        let limit = Limit::checked(5, TimeDelta::minutes(1)).unwrap();
        let target = format!(r#"{{"kind":"target","id":"{id}"}}"#);
        for (violation, expected) in [
            (CapViolation::Grant("orders:*".into()), r#"{"kind":"grant","grant":"orders:*"}"#),
            (CapViolation::Delegation("keys:*".into()), r#"{"kind":"delegation","grant":"keys:*"}"#),
            (CapViolation::Actor(AuthError::Revoked), r#"{"kind":"actor","code":"revoked_api_key"}"#),
            (CapViolation::Target(id), &target),
            (CapViolation::Role("reader".into()), r#"{"kind":"role","role":"reader"}"#),
            (
                CapViolation::Owner { wanted: "bob".into(), actor: "alice".into() },
                r#"{"kind":"owner","wanted":"bob","actor":"alice"}"#,
            ),
            (
                CapViolation::Tenant { wanted: None, actor: Some("acme".into()) },
                r#"{"kind":"tenant","wanted":null,"actor":"acme"}"#,
            ),
            (
                CapViolation::Label { name: "plan".into(), wanted: Some("pro".into()), held: None },
                r#"{"kind":"label","name":"plan","wanted":"pro","held":null}"#,
            ),
            (
                CapViolation::Prefix { wanted: "acme_live".into(), held: "acme_test".into() },
                r#"{"kind":"prefix","wanted":"acme_live","held":"acme_test"}"#,
            ),
            (
                CapViolation::End { wanted: None, latest: from_ms(0) },
                r#"{"kind":"end","wanted":null,"latest":"1970-01-01T00:00:00Z"}"#,
            ),
            (
                CapViolation::Idle { wanted: None, max: TimeDelta::hours(1) },
                r#"{"kind":"idle","wanted_ms":null,"max_ms":3600000}"#,
            ),
            (CapViolation::Networks("anywhere".into()), r#"{"kind":"networks","network":"anywhere"}"#),
            (
                CapViolation::Limit { wanted: None, max: limit },
                r#"{"kind":"limit","wanted":null,"max":{"count":5,"per_ms":60000}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&violation).unwrap(), expected);
        }
    }
}
