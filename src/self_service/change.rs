//! Changes a caller's own key.

use std::fmt;

use apikey_core::{
    Attempt, AuthError, CapViolation, Conflict, CreatedKey, KeyId, KeyStore, Need, Overlap, OverlapEnd, Peer,
    RotateOptions, StoreError, VerifiedKey,
};
use chrono::{DateTime, Utc};
use tracing::Span;

use crate::ask::{KeySource, Rejection, authorize, record_in, reject};

/// The reason in the key's record and events when its holder revokes it.
pub const REASON: &str = "revoked by a holder of the key";
/// The longest `Idempotency-Key` header, in bytes.
const MAX_IDEMPOTENCY_KEY: usize = 128;

/// A key with its new secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct Rotated {
    /// The key and its new token.
    pub created: CreatedKey,
    /// When the old secret ends; `None` if it ends at the first use of the new one.
    pub superseded_until: Option<DateTime<Utc>>,
}

/// The reason for which a caller's key was not changed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Refused {
    /// The request carries no valid key.
    Rejection(Rejection),
    /// The store rejected the change: a conflict, an idempotency key out of bounds, or a failure of the disk.
    Store(StoreError),
}

/// Gives the key of a request a new secret. It waits for the disk: do not call it on an async executor's thread.
///
/// ```
/// use apikey::{KeyStore, NewKey, Overlap, PlainResponse, self_service};
///
/// let store = KeyStore::temporary()?;
/// let old = store.create(NewKey::for_owner("alice"))?;
/// let rotated = self_service::rotate(&store, &old.key.expose_secret(), Overlap::UntilFirstUse, Some("may-2031"))?;
/// assert_eq!(rotated.created.info.id(), old.info.id());
/// let answer = PlainResponse::from(rotated);
/// assert_eq!(answer.status, 200);
/// assert!(answer.body.contains("\"superseded_until\":null"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Refused::Rejection`] for a request without a valid key; [`Refused::Store`] with the errors of
/// [`KeyStore::rotate_idempotent`].
pub fn rotate(
    store: &KeyStore,
    source: &dyn KeySource,
    overlap: Overlap,
    idempotency_key: Option<&str>,
) -> Result<Rotated, Refused> {
    let key = authorize(source, Some(store), (&Need::Authenticated).into()).map_err(Refused::Rejection)?;
    rotate_verified(store, &key, source.peer(store.header_config()), overlap, idempotency_key)
}

/// Revokes the key whose secret a request carries, whatever its state, and returns its id. It waits for the disk.
///
/// # Errors
/// [`Refused::Rejection`] for a request without a secret of a key; [`Refused::Store`] if the disk fails.
pub fn revoke(store: &KeyStore, source: &dyn KeySource) -> Result<KeyId, Refused> {
    let id = identify(store, source).map_err(Refused::Rejection)?;
    revoke_identified(store, id, source.peer(store.header_config()), &Span::current())
}

/// Returns the key whose secret the request carries. Reads memory only.
pub(super) fn identify(store: &KeyStore, source: &dyn KeySource) -> Result<KeyId, Rejection> {
    let token = source.presented(store.header_config()).token();
    let found =
        token.and_then(|token| store.identify_attempt(&Attempt::new(token).peer(source.peer(store.header_config()))));
    source.record(store, None);
    found.map_err(|error| {
        if error != AuthError::Missing {
            store.note_refusal(&error, None, source.peer(store.header_config()));
        }
        reject(source, store, error)
    })
}

/// Rotates a verified key.
pub(super) fn rotate_verified(
    store: &KeyStore,
    key: &VerifiedKey,
    peer: Peer,
    overlap: Overlap,
    idempotency_key: Option<&str>,
) -> Result<Rotated, Refused> {
    let id = key.id();
    let mut options = RotateOptions::new(overlap).within(key);
    if let Some(given) = idempotency_key {
        if given.is_empty() || given.len() > MAX_IDEMPOTENCY_KEY {
            return Err(Refused::Store(out_of_bounds(given)));
        }
        // The key's id keeps callers' idempotency keys apart.
        options = options.idempotency_key(format!("key:{id}:{given}"));
    }
    let now = Utc::now();
    match store.as_actor_from(id, peer).rotate_with(id, &options) {
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

/// Revokes an identified key, and records it in the span of the request.
pub(super) fn revoke_identified(store: &KeyStore, id: KeyId, peer: Peer, span: &Span) -> Result<KeyId, Refused> {
    match store.as_actor_from(id, peer).revoke(id, REASON) {
        // Purged in the meantime.
        Ok(_) | Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(refused(store, error)),
    }
    record_in(span, id, || {
        let info = store.get(id).ok().flatten()?;
        Some((info.owner().to_owned(), info.tenant().map(str::to_owned)))
    });
    Ok(id)
}

/// The error for an idempotency key that is too long, too short or not text.
pub(super) fn out_of_bounds(given: &str) -> StoreError {
    StoreError::Invalid {
        field: "idempotency_key",
        entry: None,
        value: format!("{} bytes", given.len()),
        allowed: "1 to 128 bytes without control characters",
    }
}

/// Maps a change that overtook the verification to the refusal that a later request would get.
fn refused(store: &KeyStore, error: StoreError) -> Refused {
    let error = match error {
        StoreError::Exceeds(CapViolation::Actor(error)) => error,
        StoreError::Conflict(Conflict::Revoked) => AuthError::Revoked,
        StoreError::Conflict(Conflict::Disabled) => AuthError::Disabled,
        StoreError::Conflict(Conflict::Expired) => AuthError::Expired,
        StoreError::Conflict(Conflict::Idle) => AuthError::Idle,
        StoreError::NotFound(_) => AuthError::Invalid,
        StoreError::Closed => AuthError::Unavailable,
        other => return Refused::Store(other),
    };
    Refused::Rejection(Rejection::of(store, error))
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
