//! The errors of calls that change or read a store.

pub(crate) mod cap_violation;
pub(crate) mod cluster_error;
pub(crate) mod field_error;

use std::fmt;
use std::io;

use chrono::{DateTime, TimeDelta, Utc};

use crate::access::catalog::UnknownGrant;
use crate::access::permission::PermissionError;
use crate::base::codec::CodecError;
use crate::base::invalid_field::InvalidField;
use crate::base::time::span_text;
use crate::key::error::cap_violation::{CapViolation, describe_time};
use crate::key::error::cluster_error::ClusterError;
use crate::token::key_id::KeyId;

/// The error of a call that changes or reads a store. `Debug` gives the same text as `Display`, since `main` and
/// `unwrap` print it.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store has no key with this id.
    #[error("there is no key {0}")]
    NotFound(KeyId),
    /// A field is out of bounds.
    #[error("invalid {field} {value:?}: allowed are {allowed}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// The part of the field that is out of bounds: an index of a list, or the name of a metadata entry.
        entry: Option<String>,
        /// The value that the caller gave, shortened; never a secret.
        value: String,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The key, or with a rotation policy each of its secrets, would live longer than the store allows
    /// ([`max_lifetime`](crate::KeyStoreBuilder::max_lifetime)).
    #[error(
        "invalid {field} {value:?}: this store allows a secret to live {}, with its overlap; set an earlier end, or a \
         rotation policy within that",
        span_text(*max)
    )]
    TooLong {
        /// The field.
        field: &'static str,
        /// The value that the caller gave.
        value: String,
        /// The longest lifetime that the store allows.
        max: TimeDelta,
    },
    /// A grant breaks the grammar.
    #[error(transparent)]
    Permission(#[from] PermissionError),
    /// A grant matches no permission of the store's [catalogue](crate::KeyStoreBuilder::catalog).
    #[error(transparent)]
    UnknownGrant(#[from] UnknownGrant),
    /// The key's state does not allow the change.
    #[error("conflict: {0}")]
    Conflict(Conflict),
    /// A capped change would give more than the acting key has, or change a key that the acting key does not cover.
    #[error("the acting key may not do this: {0}")]
    Exceeds(CapViolation),
    /// The change takes something away from a key, and the store could not write it to the disk. What it takes away is in
    /// force, until a restart; what it gives, if it gives something, too, is not.
    #[error(
        "what the change takes away is in force, but not on disk, and a restart undoes it: {source}; repair the disk or \
         make room, open the store again, and repeat the change"
    )]
    NotDurable {
        /// The error of the write.
        source: io::Error,
    },
    /// A read or a write failed. The change is not in force; the disk may have it all the same, in which case it is in
    /// force once the store is reopened.
    #[error(
        "the key store cannot write or read: {source}; after a failed write nothing more is accepted until the disk is \
         repaired, or has room, and the store is opened again"
    )]
    Io {
        /// The error of the read or the write.
        #[source]
        source: io::Error,
    },
    /// The store is a node of a cluster, and the cluster did not make the change.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The store is closed.
    #[error("the key store is closed")]
    Closed,
}

/// The state of a key or a store that prevents a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The key was revoked, which is final.
    #[error("the key is revoked")]
    Revoked,
    /// The key is disabled.
    #[error(
        "the key is disabled; enable it first, or rotate it with the overlap none, which ends its secrets and leaves it disabled"
    )]
    Disabled,
    /// The key has expired.
    #[error("the key has expired; give it a later end first")]
    Expired,
    /// Nobody has used the key for as long as it may be idle. An update that sets its
    /// [`idle_after`](crate::KeyUpdate::idle_after) again revives it, and so does one that disables it and one that enables
    /// it.
    #[error(
        "the key is idle, as nobody has used it for too long; set its idle_after again, or disable and enable it, first"
    )]
    Idle,
    /// A rotation of the key has not ended yet, and its new secret is in use.
    #[error(
        "the key is being rotated, and its old secret is valid {}; the overlap none ends it at once",
        describe_end(until)
    )]
    Overlapping {
        /// When the old secret ends; `None` if the first use of the new one ends it.
        until: Option<DateTime<Utc>>,
    },
    /// The store already has the imported key, or one with the same digest: this one, if the handle and the acting key
    /// see keys of its owner.
    #[error("a key with this digest is held already{}", .0.map(|id| format!(": {id}")).unwrap_or_default())]
    DigestHeld(Option<KeyId>),
    /// Another rotator runs on the store.
    #[error("another rotator works on this store; a store has one at a time, so stop that first")]
    Rotator,
    /// A [`SecretSink`](crate::SecretSink) called the rotator that waits for its answer.
    #[error("the sink called the rotator that is waiting for it; call the rotator after the sink has returned")]
    RotatorWaits,
    /// One call contains the same digest twice.
    #[error("the same key is given twice in one call")]
    DigestTwice,
    /// An earlier request with the same idempotency key created a secret, which was used since or is no longer the
    /// key's newest.
    #[error("this request was made before: it made a secret of key {id}, which is in use or was replaced since")]
    Repeated {
        /// The key that the earlier request created or rotated.
        id: KeyId,
    },
    /// Keys have the role that a call would delete. Take it from them first, or put the role without grants.
    #[error("the role is in use: {keys} {} it", if *keys == 1 { "key has" } else { "keys have" })]
    RoleInUse {
        /// How many keys have the role, also those that are revoked or have expired.
        keys: u64,
    },
    /// The tenant has ended, which is final: its keys are refused as revoked, it gets no others, and its bounds do not change.
    #[error("the tenant has ended, which is final")]
    TenantEnded,
    /// The key was changed after the caller had read it ([`KeyUpdate::only_if`](crate::KeyUpdate::only_if)).
    #[error("the key was changed meanwhile, by event {last_event}; read it again")]
    Changed {
        /// Its [`KeyInfo::last_event`](crate::KeyInfo::last_event) now.
        last_event: u64,
    },
    /// The role or the tenant was changed after the caller had read it ([`Role::only_if`](crate::Role::only_if),
    /// [`Tenant::only_if`](crate::Tenant::only_if)).
    #[error("it was changed meanwhile; read it again")]
    Outdated,
    /// The owner has as many keys as its [bounds](crate::KeyBounds::max_keys) allow.
    #[error("the owner may have {max} keys, and would have more; revoke one that is not needed")]
    TooManyKeys {
        /// How many keys the owner may have.
        max: usize,
    },
    /// The owner has this many keys that were revoked or have expired, so its [bounds](crate::KeyBounds) allow no new one until
    /// they are [purged](crate::KeyStore::purge).
    #[error("the owner has {keys} keys, most of which have ended; these have to be purged before it gets others")]
    TooManyEnded {
        /// How many keys the owner has, also those that have ended.
        keys: usize,
    },
    /// The key has a permission that is not [offered](crate::KeyBounds::offer) to its owner, who therefore gets no new secret of
    /// it.
    #[error(
        "the key has the permission {grant:?}, which is not offered to its owner; those who run the service rotate it"
    )]
    NotOffered {
        /// The permission.
        grant: String,
    },
    /// A different request had the same idempotency key less than 24 hours ago.
    #[error("this idempotency key was used for another request; take a new one for each")]
    OtherRequest,
}

impl Conflict {
    fn code(&self) -> &'static str {
        match self {
            Self::Revoked => "revoked_key",
            Self::Disabled => "disabled_key",
            Self::Expired => "expired_key",
            Self::Idle => "idle_key",
            Self::Overlapping { .. } => "being_rotated",
            Self::DigestHeld(_) | Self::DigestTwice => "digest_held",
            Self::Repeated { .. } => "already_made",
            Self::OtherRequest => "idempotency_key_reused",
            Self::RoleInUse { .. } => "role_in_use",
            Self::TenantEnded => "tenant_ended",
            Self::Changed { .. } | Self::Outdated => "precondition_failed",
            Self::TooManyKeys { .. } | Self::TooManyEnded { .. } => "too_many_keys",
            Self::NotOffered { .. } => "not_offered",
            Self::Rotator | Self::RotatorWaits => "unavailable",
        }
    }
}

fn describe_end(until: &Option<DateTime<Utc>>) -> String {
    until.as_ref().map_or_else(|| "until the new one is used".into(), |until| format!("until {}", describe_time(until)))
}

impl fmt::Debug for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StoreError {
    /// Returns the HTTP status for a handler that manages keys: 404 for a key that does not exist, 409 for a conflict, 412
    /// for what was changed meanwhile, 403 for a cap, 422 for a field out of bounds, and 503 if the store is closed, its disk
    /// or its cluster fails, or another rotator runs on it.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::NotFound(_) => 404,
            // The request is valid: the deployment must end the other rotator.
            Self::Conflict(Conflict::Rotator | Conflict::RotatorWaits) => 503,
            Self::Conflict(Conflict::Changed { .. } | Conflict::Outdated) => 412,
            Self::Conflict(_) => 409,
            Self::Exceeds(_) => 403,
            Self::Invalid { .. } | Self::TooLong { .. } | Self::Permission(_) | Self::UnknownGrant(_) => 422,
            Self::NotDurable { .. } | Self::Io { .. } | Self::Cluster(_) | Self::Closed => 503,
        }
    }

    /// Returns the stable name of the error, for programs. `apikey::Problem` contains it.
    ///
    /// | code | status | error |
    /// |---|---|---|
    /// | `not_found` | 404 | [`NotFound`](Self::NotFound) |
    /// | `exceeds_actor` | 403 | [`Exceeds`](Self::Exceeds) |
    /// | `invalid_field` | 422 | [`Invalid`](Self::Invalid), [`TooLong`](Self::TooLong), [`Permission`](Self::Permission), [`UnknownGrant`](Self::UnknownGrant) |
    /// | `revoked_key`, `disabled_key`, `expired_key` | 409 | the key's state does not allow the change |
    /// | `being_rotated` | 409 | [`Conflict::Overlapping`] |
    /// | `already_made` | 409 | [`Conflict::Repeated`] |
    /// | `idempotency_key_reused` | 409 | [`Conflict::OtherRequest`] |
    /// | `role_in_use` | 409 | [`Conflict::RoleInUse`] |
    /// | `tenant_ended` | 409 | [`Conflict::TenantEnded`] |
    /// | `precondition_failed` | 412 | [`Conflict::Changed`], [`Conflict::Outdated`] |
    /// | `too_many_keys` | 409 | [`Conflict::TooManyKeys`], [`Conflict::TooManyEnded`] |
    /// | `not_offered` | 409 | [`Conflict::NotOffered`] |
    /// | `digest_held` | 409 | [`Conflict::DigestHeld`], [`Conflict::DigestTwice`] |
    /// | `unavailable` | 503 | [`Io`](Self::Io), [`NotDurable`](Self::NotDurable), [`Cluster`](Self::Cluster), [`Closed`](Self::Closed), [`Conflict::Rotator`], [`Conflict::RotatorWaits`] |
    ///
    /// [`NotDurable`](Self::NotDurable) is `unavailable`, too, although what it takes away is in force: a restart may undo it,
    /// so the caller should repeat the request once the service has recovered.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "not_found",
            Self::Exceeds(_) => "exceeds_actor",
            Self::Invalid { .. } | Self::TooLong { .. } | Self::Permission(_) | Self::UnknownGrant(_) => {
                "invalid_field"
            }
            Self::Conflict(conflict) => conflict.code(),
            Self::NotDurable { .. } | Self::Io { .. } | Self::Cluster(_) | Self::Closed => "unavailable",
        }
    }

    pub(crate) fn invalid(field: &'static str, value: &str, allowed: &'static str) -> Self {
        InvalidField::new(field, value, allowed).into()
    }
}

impl From<InvalidField> for StoreError {
    fn from(InvalidField { field, entry, value, allowed }: InvalidField) -> Self {
        Self::Invalid { field, entry, value, allowed }
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
