//! The response to a caller that changes its own key.

use std::fmt;

use apikey_core::{Conflict, CreatedKey, KeyId, Refusal, StoreError};
use chrono::SecondsFormat;

use super::change::{Refused, Rotated};

/// A response as plain data, with header names in lower case. `Debug` hides the body, which may contain a secret.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The header fields, in order.
    pub headers: Vec<(String, String)>,
    /// The body: JSON, or empty.
    pub body: String,
}

impl From<Rotated> for Answer {
    fn from(rotated: Rotated) -> Self {
        let CreatedKey { key, info, .. } = rotated.created;
        let until = rotated.superseded_until.map(|end| end.to_rfc3339_opts(SecondsFormat::Millis, true));
        let until = until.map_or_else(|| "null".to_owned(), |end| format!("\"{end}\""));
        // Neither an id nor a token of the store's own form has characters to escape. `concat` allocates once: a string that
        // grows leaves copies of the secret in memory.
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
        // The disk's error is for the operator, not for the caller.
        let (code, title) = match &error {
            StoreError::Conflict(Conflict::Overlapping { .. }) => {
                ("being_rotated", "The key is being rotated, and its new secret is in use or waits for delivery")
            }
            StoreError::Conflict(Conflict::Repeated { .. }) => {
                ("already_rotated", "This rotation was made before, and its new secret is in use")
            }
            StoreError::Conflict(Conflict::OtherRequest) => {
                ("idempotency_key_reused", "The idempotency key was used for another request")
            }
            StoreError::Conflict(_) => ("conflict", "The key's state does not allow this change"),
            StoreError::Invalid { field: "idempotency_key", .. } => {
                ("invalid_idempotency_key", "An idempotency key has 1 to 128 bytes without control characters")
            }
            StoreError::TooLong { .. } => {
                ("overlap_too_long", "The service limits the lifetime of secrets, and the old one would exceed it")
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

/// The answer to [`revoke`](crate::self_service::revoke).
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

    /// A problem body. The texts come from this room and need no escaping.
    pub(super) fn problem(status: u16, code: &str, title: &str) -> Self {
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
