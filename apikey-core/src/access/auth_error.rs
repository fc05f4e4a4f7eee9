//! The reasons for which a store refuses a request.

use std::time::Duration;

use crate::access::limit::Limit;
use crate::access::quota::status::QuotaStatus;
use crate::access::requirement::Requirement;

/// The reason for which a store refused a key. `Display` gives a text that is safe to show to the caller;
/// [`code`](Self::code) is for programs.
///
/// Only callers with a key's secret learn its state (revoked, disabled, expired, idle, not yet valid): every token that
/// does not match a stored digest is [`Invalid`](Self::Invalid). The holder of a secret that has ended by a rotation learns
/// that, while the key is good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The request carried no key.
    #[error("API key missing")]
    Missing,
    /// The token is malformed, its key is unknown, or its secret is wrong or has ended; the error does not disclose
    /// which.
    #[error("Invalid API key")]
    Invalid,
    /// The secret is the key's newest one that has ended: the key was rotated, and the caller still has the old secret. The key
    /// itself is good. The body names nobody; the log does. See
    /// [`keep_ended_secrets`](crate::KeyStoreBuilder::keep_ended_secrets).
    #[error("API key rotated")]
    Rotated,
    /// The key was revoked.
    #[error("API key revoked")]
    Revoked,
    /// The key is disabled for now.
    #[error("API key disabled")]
    Disabled,
    /// The key has expired.
    #[error("API key expired")]
    Expired,
    /// Nobody has used the key for as long as it may be idle
    /// ([`NewKey::idle_after`](crate::NewKey::idle_after)).
    #[error("API key not used for too long")]
    Idle,
    /// The key is not valid yet.
    #[error("API key not yet valid")]
    NotYetValid,
    /// The key names networks, and the caller's address is unknown or in none of them.
    #[error("API key not allowed from this address")]
    AddressNotAllowed,
    /// The key has used up its rate limit, or too many attempts from the caller's address have failed.
    #[error("Too many requests")]
    RateLimited {
        /// How long the caller should wait before it tries again.
        retry_after: Duration,
        /// The key's rate limit; `None` if the address is limited.
        limit: Option<Limit>,
    },
    /// The key has used up its [quota](crate::NewKey::quota) of this day or month; or the store has reserved none of a
    /// [strict](crate::Quota::strict) one yet, and will within a moment.
    #[error("{}", status.refusal())]
    QuotaExceeded {
        /// How long the caller should wait before it tries again.
        retry_after: Duration,
        /// The quota, and what is left of it.
        status: QuotaStatus,
    },
    /// The key has used up its [quota](crate::NewKey::quota) in all.
    #[error("API key has no uses left")]
    NoUsesLeft,
    /// The key is valid, but lacks a permission.
    #[error("API key lacks permission {required}")]
    InsufficientPermission {
        /// The handler's requirement.
        required: Requirement,
    },
    /// The key is valid, but is of another tenant than the request is about ([`VerifiedKey::in_tenant`]). The answer is that
    /// for a thing that does not exist.
    ///
    /// [`VerifiedKey::in_tenant`]: crate::VerifiedKey::in_tenant
    #[error("Not found")]
    NotFound,
    /// There is no store, it is closed, or it cannot answer.
    #[error("API keys cannot be checked")]
    Unavailable,
}

impl AuthError {
    /// Creates the refusal of a key that does not meet a requirement.
    #[cold]
    pub(crate) fn lacking(requirement: &Requirement) -> Self {
        Self::InsufficientPermission { required: requirement.clone() }
    }

    /// Creates the refusal of a request that costs more than a key has left at a time.
    #[cold]
    pub(crate) fn used_up(status: QuotaStatus, now: i64) -> Self {
        let Some(end) = status.resets_at() else { return Self::NoUsesLeft };
        let retry_after = Duration::from_millis(u64::try_from(end.timestamp_millis() - now).unwrap_or(0));
        Self::QuotaExceeded { retry_after, status }
    }

    /// The codes of all errors, as [`code`](Self::code) returns them.
    pub const CODES: [&str; 15] = [
        "missing_api_key",
        "invalid_api_key",
        "rotated_api_key",
        "revoked_api_key",
        "disabled_api_key",
        "expired_api_key",
        "idle_api_key",
        "inactive_api_key",
        "address_not_allowed",
        "rate_limited",
        "quota_exceeded",
        "no_uses_left",
        "insufficient_permission",
        "not_found",
        "unavailable",
    ];

    /// Returns the stable name of the error, which the body of a refusal contains.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing_api_key",
            Self::Invalid => "invalid_api_key",
            Self::Rotated => "rotated_api_key",
            Self::Revoked => "revoked_api_key",
            Self::Disabled => "disabled_api_key",
            Self::Expired => "expired_api_key",
            Self::Idle => "idle_api_key",
            Self::NotYetValid => "inactive_api_key",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
            Self::QuotaExceeded { .. } => "quota_exceeded",
            Self::NoUsesLeft => "no_uses_left",
            Self::InsufficientPermission { .. } => "insufficient_permission",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
        }
    }

    /// Returns the HTTP status: 401, 403, 404, 429 or 503.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Missing
            | Self::Invalid
            | Self::Rotated
            | Self::Revoked
            | Self::Disabled
            | Self::Expired
            | Self::Idle
            | Self::NotYetValid => 401,
            Self::AddressNotAllowed | Self::NoUsesLeft | Self::InsufficientPermission { .. } => 403,
            Self::NotFound => 404,
            Self::RateLimited { .. } | Self::QuotaExceeded { .. } => 429,
            Self::Unavailable => 503,
        }
    }

    /// Returns the title that every refusal with this code has (RFC 9457 `title`).
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Missing => "API key missing",
            Self::Invalid => "Invalid API key",
            Self::Rotated => "API key rotated",
            Self::Revoked => "API key revoked",
            Self::Disabled => "API key disabled",
            Self::Expired => "API key expired",
            Self::Idle => "API key not used for too long",
            Self::NotYetValid => "API key not yet valid",
            Self::AddressNotAllowed => "API key not allowed from this address",
            Self::RateLimited { .. } => "Too many requests",
            Self::QuotaExceeded { .. } => "API key quota exceeded",
            Self::NoUsesLeft => "API key has no uses left",
            Self::InsufficientPermission { .. } => "API key lacks permission",
            Self::NotFound => "Not found",
            Self::Unavailable => "API keys are unavailable",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_has_the_code_of_every_error() {
        // These have fields of their own.
        let limited = ["rate_limited", "quota_exceeded"].iter().filter(|code| AuthError::CODES.contains(code)).count();
        let codes = [
            AuthError::Missing,
            AuthError::Invalid,
            AuthError::Rotated,
            AuthError::Revoked,
            AuthError::Disabled,
            AuthError::Expired,
            AuthError::Idle,
            AuthError::NotYetValid,
            AuthError::AddressNotAllowed,
            AuthError::NoUsesLeft,
            AuthError::lacking(&Requirement::authenticated()),
            AuthError::NotFound,
            AuthError::Unavailable,
        ]
        .map(|error| error.code());
        assert!(codes.iter().all(|code| AuthError::CODES.contains(code)));
        assert_eq!(codes.len() + limited, AuthError::CODES.len());
    }
}
