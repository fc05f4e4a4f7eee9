//! The response to a caller that changes its own key.

use apikey_core::{CreatedKey, KeyId};
use chrono::SecondsFormat;

use super::change::{Refused, Rotated};
use crate::answer::{PlainResponse, Problem};

/// The answer to [`rotate`](crate::self_service::rotate).
impl From<Result<Rotated, Refused>> for PlainResponse {
    fn from(result: Result<Rotated, Refused>) -> Self {
        result.map_or_else(Self::from, Self::from)
    }
}

/// The answer to [`revoke`](crate::self_service::revoke).
impl From<Result<KeyId, Refused>> for PlainResponse {
    fn from(result: Result<KeyId, Refused>) -> Self {
        result.map_or_else(Self::from, |_| Self::empty(204))
    }
}

impl From<Rotated> for PlainResponse {
    fn from(rotated: Rotated) -> Self {
        let CreatedKey { key, info, .. } = rotated.created;
        let until = rotated.superseded_until.map(|end| end.to_rfc3339_opts(SecondsFormat::Millis, true));
        let until = until.map_or_else(|| "null".to_owned(), |end| format!("\"{end}\""));
        // Neither an id nor a token of the store's own form has characters to escape. `concat` allocates once: a string
        // that grows leaves copies of the secret in memory.
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
        Self::new(200, "application/json", parts.concat())
    }
}

impl From<Refused> for PlainResponse {
    fn from(refused: Refused) -> Self {
        Problem::from(refused).into()
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Rejection(rejection) => rejection.into(),
            Refused::Store(error) => error.into(),
        }
    }
}
