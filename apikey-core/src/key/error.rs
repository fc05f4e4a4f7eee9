//! What can go wrong when a store is changed or read.

use std::fmt;
use std::io;

use chrono::{DateTime, TimeDelta, Utc};

use crate::access::limit::Limit;
use crate::access::permission::PermissionError;
use crate::base::codec::CodecError;
use crate::base::invalid_field::InvalidField;
use crate::token::key_id::KeyId;

/// Why a change or a question to the store failed. `Debug` gives the text, too, since that is what `main` and `unwrap`
/// print.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no key with this id.
    #[error("there is no key {0}")]
    NotFound(KeyId),
    /// A field is out of bounds.
    #[error("invalid {field} {value:?}: allowed are {allowed}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What was given, shortened; never a secret.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// A key, or with a rotation policy each of its secrets, would live longer than the store allows
    /// ([`max_lifetime`](crate::KeyStoreBuilder::max_lifetime)).
    #[error(
        "invalid {field} {value:?}: this store allows a secret to live {}, with its overlap; set an earlier end, or a \
         rotation policy within that",
        describe_span(*max)
    )]
    TooLong {
        /// The field.
        field: &'static str,
        /// What was given.
        value: String,
        /// The longest life that is allowed.
        max: TimeDelta,
    },
    /// A grant breaks the grammar.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// The key's state does not allow it.
    #[error("conflict: {0}")]
    Conflict(Conflict),
    /// A capped change would give, or touch, more than the acting key has.
    #[error("the acting key may not do this: {0}")]
    Exceeds(CapViolation),
    /// The change took rights away: that holds from now on, and the disk refused it. After a restart it may be undone.
    #[error(
        "the change is in force, but not on disk, and would be lost by a restart: {source}; mend the disk or make room, \
         open the store again, and repeat it"
    )]
    NotDurable {
        /// Why the disk refused.
        source: io::Error,
    },
    /// The disk refused. The change is not in force; whether it is on disk shows when the store is reopened.
    #[error(
        "the key store cannot write or read: {source}; after a failed write nothing more is accepted until the disk is \
         mended, or has room, and the store is opened again"
    )]
    Io {
        /// Its error.
        #[source]
        source: io::Error,
    },
    /// The store was closed.
    #[error("the key store is closed")]
    Closed,
}

/// What a change collides with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The key was revoked, which is final.
    #[error("the key is revoked")]
    Revoked,
    /// The key is disabled.
    #[error("the key is disabled; enable it first")]
    Disabled,
    /// The key's time is over.
    #[error("the key has expired; give it a later end first")]
    Expired,
    /// The key is being rotated already, and its new secret is in use.
    #[error(
        "the key is being rotated, and its old secret is good {}; Overlap::None ends it at once",
        describe_end(until)
    )]
    Overlapping {
        /// When the old secret ends; `None`: at the first use of the new one.
        until: Option<DateTime<Utc>>,
    },
    /// An imported key, or one with the same digest, is held already.
    #[error("a key with this digest is held already: {0}")]
    DigestHeld(KeyId),
    /// Another rotator works on the store.
    #[error("another rotator works on this store; a store has one at a time, so stop that first")]
    Rotator,
    /// The same digest twice in one call.
    #[error("the same key is given twice in one call")]
    DigestTwice,
    /// A request with the same idempotency key has made a secret already, and that was used, or is not the key's newest.
    #[error("this request was made before: it made a secret of key {id}, which is in use or was replaced since")]
    Repeated {
        /// The key it made, or rotated.
        id: KeyId,
    },
    /// The idempotency key was used for another request less than 24 hours ago.
    #[error("this idempotency key was used for another request; take a new one for each")]
    OtherRequest,
}

fn describe_end(until: &Option<DateTime<Utc>>) -> String {
    until.as_ref().map_or_else(|| "until the new one is used".into(), |until| format!("until {}", describe_time(until)))
}

fn describe_span(span: TimeDelta) -> String {
    match (span.num_days(), span.num_seconds()) {
        (days, seconds) if days > 0 && seconds % 86_400 == 0 => format!("{days} days"),
        _ => format!("{} seconds", span.as_seconds_f64()),
    }
}

/// Why an acting key may not make a change that is capped by it (`within`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CapViolation {
    /// None of the acting key's grants covers this one.
    #[error("its permissions do not cover {0:?}")]
    Grant(String),
    /// The acting key is not a good key of this store, or not any more.
    #[error("it is not valid: {0}")]
    Actor(crate::AuthError),
    /// The acting key does not cover the key to be changed. What that key may do is not disclosed.
    #[error(
        "key {0} belongs to another owner, or has permissions that it lacks; keys of other owners take the permission \
         keys:any_owner"
    )]
    Target(KeyId),
    /// The key would belong to another owner.
    #[error(
        "the key would belong to {wanted:?}, and the acting key belongs to {actor:?}; that takes the permission \
         keys:any_owner"
    )]
    Owner {
        /// Whose the key would be.
        wanted: String,
        /// Whose the acting key is.
        actor: String,
    },
    /// The key would end later.
    #[error(
        "the key would {}, and the acting key ends at {}; that takes the permission keys:outlive",
        describe_later(wanted),
        describe_time(latest)
    )]
    End {
        /// When the key would end; `None`: never.
        wanted: Option<DateTime<Utc>>,
        /// When the acting key ends.
        latest: DateTime<Utc>,
    },
    /// The key would be good from a network, or `anywhere`, that the acting key is not good from.
    #[error("the key would be good from {0}, and the acting key is not; that takes the permission keys:anywhere")]
    Networks(String),
    /// The key would be faster.
    #[error(
        "the key would have {}, and the acting key has {}; that takes the permission *",
        describe_limit(*wanted), describe_limit(Some(*max))
    )]
    Limit {
        /// The limit that the key would have; `None`: none.
        wanted: Option<Limit>,
        /// That of the acting key.
        max: Limit,
    },
}

fn describe_time(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

fn describe_later(end: &Option<DateTime<Utc>>) -> String {
    end.as_ref().map_or_else(|| "never end".into(), |end| format!("end at {}", describe_time(end)))
}

fn describe_limit(limit: Option<Limit>) -> String {
    limit.map_or_else(
        || "no rate limit".into(),
        |limit| format!("a rate limit of {} requests per {} ms", limit.count(), limit.per().num_milliseconds()),
    )
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StoreError {
    /// The HTTP status that fits, for a handler that manages keys: 404 for a key that is not there, 409 for a conflict,
    /// 403 for a cap, 422 for a field out of bounds, 503 where the store or its disk refuses.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            Self::Conflict(_) => 409,
            Self::Exceeds(_) => 403,
            Self::Invalid { .. } | Self::TooLong { .. } | Self::Permission(_) => 422,
            Self::NotDurable { .. } | Self::Io { .. } | Self::Closed => 503,
        }
    }

    pub(crate) fn invalid(field: &'static str, value: &str, allowed: &'static str) -> Self {
        InvalidField::new(field, value, allowed).into()
    }
}

impl From<InvalidField> for StoreError {
    fn from(InvalidField { field, value, allowed }: InvalidField) -> Self {
        Self::Invalid { field, value, allowed }
    }
}

impl From<io::Error> for StoreError {
    fn from(source: io::Error) -> Self {
        Self::Io { source }
    }
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::Io { source: io::Error::new(io::ErrorKind::InvalidData, error) }
    }
}

impl From<getrandom::Error> for StoreError {
    fn from(error: getrandom::Error) -> Self {
        Self::Io { source: io::Error::other(error) }
    }
}
