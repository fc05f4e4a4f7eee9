//! What a caller does with its own key: get a new secret, or end the key.
//!
//! [`rotate`] and [`revoke`] are plain functions for any framework. With the feature `tower` (which `axum` turns on),
//! `SelfService` is both of them as a service:
//!
//! | request | does | answer |
//! |---|---|---|
//! | `POST /rotate` with the key | gives the key a new secret | 200, `{"id", "key", "version", "superseded_until"}` |
//! | `DELETE /` or `POST /revoke` with the key | revokes it | 204 |
//!
//! **Rotating.** The old secret goes on until the new one is first used ([`Overlap::UntilFirstUse`]), unless the service
//! says otherwise. `superseded_until` is the time at which it ends; `null` means at the first use of the new one. The new
//! secret is in the answer and nowhere else, under `Cache-Control: no-store`. A caller that got no answer asks again:
//! with the same `Idempotency-Key` header (1 to 128 bytes, its own for each rotation), or without one. As long as nobody
//! has used the new secret it is replaced by another; after that the answer is a conflict (409). Who holds a secret that
//! ends at a set time may repeat its own request with its `Idempotency-Key`, and nothing else: a secret that was given
//! an end cannot outlive it. What the key may do does not change, so no cap is widened.
//!
//! **Revoking.** It takes any secret of the key that has not ended, also if the key is disabled, expired, not yet valid or
//! revoked already: who has found a token can end it without knowing whose it is.
//!
//! Events have the actor `key:<id>`. Each change is written to the disk, so a caller with a good key can make the service
//! write: put a rate limit around it where callers are not trusted that far.

#[cfg(feature = "tower")]
mod service;
#[cfg(feature = "tower")]
mod worker;

use std::fmt;

use apikey_core::{
    Attempt, AuthError, CapViolation, Conflict, CreatedKey, KeyId, KeyStore, Need, Overlap, OverlapEnd, Refusal,
    RotateOptions, StoreError, VerifiedKey,
};
use chrono::{DateTime, SecondsFormat, Utc};

use crate::ask::{KeySource, Rejection, authorize, reject};

#[cfg(feature = "tower")]
pub use service::{SelfService, SelfServiceFuture};

/// The reason that a revocation by its holder has in the key's record and events.
pub const REASON: &str = "revoked by a holder of the key";
/// Most bytes of an `Idempotency-Key` header.
const MAX_HEADER: usize = 128;

/// A caller's key with its new secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The new token, and the key.
    pub created: CreatedKey,
    /// When the old secret ends; `None`: when the new one is first used.
    pub superseded_until: Option<DateTime<Utc>>,
}

/// Why a caller cannot do this with its key.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// It has no good key.
    Rejection(Rejection),
    /// The store refuses: a conflict, an idempotency key out of bounds, or its disk.
    Store(StoreError),
}

/// A response as plain data, with names in lower case. `Debug` hides the body, which may hold a secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or nothing.
    pub body: String,
}

/// Gives the key that a request carries a new secret. It waits for the disk: call it where that does no harm.
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap, self_service};
///
/// let store = KeyStore::temporary()?;
/// let old = store.create(NewKey::for_owner("alice"))?;
/// let rotated = self_service::rotate(&store, &old.key.expose_secret(), Overlap::UntilFirstUse, Some("may-2031"))?;
/// assert_eq!(rotated.created.info.id(), old.info.id());
/// let answer = self_service::Answer::from(rotated);
/// assert_eq!(answer.status, 200);
/// assert!(answer.body.contains("\"superseded_until\":null"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Refused::Rejection`] for a request without a good key; [`Refused::Store`] for what
/// [`KeyStore::rotate_idempotent`] refuses.
pub fn rotate(
    store: &KeyStore,
    source: &dyn KeySource,
    overlap: Overlap,
    idempotency_key: Option<&str>,
) -> Result<Rotated, Refused> {
    let key = authorize(source, Some(store), &Need::Authenticated).map_err(Refused::Rejection)?;
    rotate_verified(store, &key, overlap, idempotency_key)
}

/// Revokes the key whose secret a request carries, whatever state it is in. Which key it was. It waits for the disk.
///
/// # Errors
/// [`Refused::Rejection`] for a request without a secret of a key; [`Refused::Store`] if the disk refuses.
pub fn revoke(store: &KeyStore, source: &dyn KeySource) -> Result<KeyId, Refused> {
    let id = presented(store, source).map_err(Refused::Rejection)?;
    revoke_presented(store, id)
}

/// Whose secret the request carries. Looks at memory only.
fn presented(store: &KeyStore, source: &dyn KeySource) -> Result<KeyId, Rejection> {
    let token = source.presented(store.header_config()).token();
    let found =
        token.and_then(|token| store.identify_attempt(&Attempt::new(token).peer(source.peer(store.header_config()))));
    source.asked(store, None);
    found.map_err(|error| {
        if error != AuthError::Missing {
            store.note_refusal(&error, None, source.peer(store.header_config()));
        }
        reject(source, store, error)
    })
}

fn rotate_verified(
    store: &KeyStore,
    key: &VerifiedKey,
    overlap: Overlap,
    idempotency_key: Option<&str>,
) -> Result<Rotated, Refused> {
    let id = key.id();
    let mut options = RotateOptions::new(overlap).within(key);
    if let Some(given) = idempotency_key {
        if given.is_empty() || given.len() > MAX_HEADER {
            return Err(Refused::Store(out_of_bounds(given)));
        }
        // A caller's choice must not meet another's.
        options = options.idempotency_key(format!("key:{id}:{given}"));
    }
    let now = Utc::now();
    match store.as_actor(format!("key:{id}")).rotate_with(id, &options) {
        Ok(created) => {
            let superseded_until = match (overlap, created.info.overlap()) {
                (Overlap::UntilFirstUse, _) | (_, Some(OverlapEnd::FirstUse)) => None,
                (_, Some(OverlapEnd::At(end))) => Some(end),
                (_, None) => Some(now),
            };
            Ok(Rotated { created, superseded_until })
        }
        Err(error) => Err(refused(store, error)),
    }
}

fn revoke_presented(store: &KeyStore, id: KeyId) -> Result<KeyId, Refused> {
    match store.as_actor(format!("key:{id}")).revoke(id, REASON) {
        // Purged meanwhile: it is gone.
        Ok(_) | Err(StoreError::NotFound(_)) => Ok(id),
        Err(error) => Err(refused(store, error)),
    }
}

fn out_of_bounds(given: &str) -> StoreError {
    StoreError::Invalid {
        field: "idempotency_key",
        value: format!("{} bytes", given.len()),
        allowed: "1 to 128 bytes without control characters",
    }
}

/// What happened to the key since it was verified is told as if it had happened before.
fn refused(store: &KeyStore, error: StoreError) -> Refused {
    let error = match error {
        StoreError::Exceeds(CapViolation::Actor(error)) => error,
        StoreError::Conflict(Conflict::Revoked) => AuthError::Revoked,
        StoreError::Conflict(Conflict::Disabled) => AuthError::Disabled,
        StoreError::Conflict(Conflict::Expired) => AuthError::Expired,
        StoreError::NotFound(_) => AuthError::Invalid,
        StoreError::Closed => AuthError::Unavailable,
        other => return Refused::Store(other),
    };
    Refused::Rejection(Rejection::of(store, error))
}

impl From<Rotated> for Answer {
    fn from(rotated: Rotated) -> Self {
        let CreatedKey { key, info, .. } = rotated.created;
        let until = rotated.superseded_until.map(|end| end.to_rfc3339_opts(SecondsFormat::Millis, true));
        let until = until.map_or_else(|| "null".to_owned(), |end| format!("\"{end}\""));
        // Neither an id nor a token of the store's own form has a character to escape.
        // With room for all of it: a text that grows leaves copies of the secret.
        let (id, token, version) = (info.id().to_string(), key.expose_secret(), info.version().to_string());
        let parts = [
            r#"{"id":""#,
            &id,
            r#"","key":""#,
            token,
            r#"","version":"#,
            &version,
            r#","superseded_until":"#,
            &until,
            "}",
        ];
        let body = parts.concat();
        Self::new(200, "application/json", body)
    }
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        let error = match refused {
            Refused::Rejection(rejection) => return rejection.into_refusal().into(),
            Refused::Store(error) => error,
        };
        // What the disk said is for the operator, not for the caller.
        let (code, title) = match &error {
            StoreError::Conflict(Conflict::Overlapping { .. }) => {
                ("being_rotated", "The key is being rotated, and its new secret is in use or waits for its holder")
            }
            StoreError::Conflict(Conflict::Repeated { .. }) => {
                ("already_rotated", "This rotation was made before, and its new secret is in use")
            }
            StoreError::Conflict(Conflict::OtherRequest) => {
                ("idempotency_key_reused", "The idempotency key was used for another request")
            }
            StoreError::Conflict(_) => ("conflict", "The key cannot be changed so"),
            StoreError::Invalid { field: "idempotency_key", .. } => {
                ("invalid_idempotency_key", "An idempotency key has 1 to 128 bytes without control characters")
            }
            StoreError::TooLong { .. } => {
                ("overlap_too_long", "The service bounds the life of each secret, and the old one would outlive it")
            }
            StoreError::Exceeds(_) => ("forbidden", "The key may not do this"),
            _ => {
                tracing::error!(%error, "a caller's change of its own key failed");
                ("unavailable", "The change could not be made")
            }
        };
        let status = error.status();
        Self::problem(status, code, title)
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self { status: refusal.status, headers: refusal.headers, body: refusal.body }
    }
}

impl From<Result<Rotated, Refused>> for Answer {
    fn from(result: Result<Rotated, Refused>) -> Self {
        result.map_or_else(Self::from, Self::from)
    }
}

/// The answer to [`revoke`].
impl From<Result<KeyId, Refused>> for Answer {
    fn from(result: Result<KeyId, Refused>) -> Self {
        let no_store = || vec![("cache-control".to_owned(), "no-store".to_owned())];
        result.map_or_else(Self::from, |_| Self { status: 204, headers: no_store(), body: String::new() })
    }
}

impl Answer {
    fn new(status: u16, content_type: &str, body: String) -> Self {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self { status, headers: vec![header("content-type", content_type), header("cache-control", "no-store")], body }
    }

    /// The texts are this module's own, and need no escaping.
    fn problem(status: u16, code: &str, title: &str) -> Self {
        let body = format!(
            r#"{{"type":"urn:apikey:problem:{code}","title":"{title}","status":{status},"detail":"{title}","code":"{code}"}}"#
        );
        Self::new(status, "application/problem+json", body)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejection(rejection) => rejection.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Refused {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Rejection(rejection) => Some(rejection),
            Self::Store(error) => Some(error),
        }
    }
}
