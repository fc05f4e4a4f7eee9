//! Why a request is refused.

use std::time::Duration;

use crate::access::limit::Limit;
use crate::access::requirement::Requirement;

/// Why a key was refused. `Display` is the text that a caller may be shown; [`code`](Self::code) is for programs.
///
/// Only callers with a key's secret learn its state (revoked, disabled, expired, not yet valid): every token that does not
/// match a stored digest is [`Invalid`](Self::Invalid).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// No key was presented.
    #[error("API key missing")]
    Missing,
    /// Malformed, unknown, or a wrong or ended secret; the error does not say which.
    #[error("Invalid API key")]
    Invalid,
    /// The key was revoked.
    #[error("API key revoked")]
    Revoked,
    /// The key is disabled for now.
    #[error("API key disabled")]
    Disabled,
    /// The key's time is over.
    #[error("API key expired")]
    Expired,
    /// The key's time has not begun.
    #[error("API key not yet valid")]
    NotYetValid,
    /// The key names networks, and the caller's address is in none of them, or not known.
    #[error("API key not allowed from this address")]
    AddressNotAllowed,
    /// The key is used faster than its limit; or too many attempts from this address have failed.
    #[error("Too many requests")]
    RateLimited {
        /// When to try again.
        retry_after: Duration,
        /// The key's limit; `None` if it is about the address.
        limit: Option<Limit>,
    },
    /// The key is good, and lacks the permission.
    #[error("API key lacks permission {required}")]
    InsufficientPermission {
        /// The handler's requirement.
        required: Requirement,
    },
    /// There is no store, it is closed, or it cannot answer.
    #[error("API keys cannot be checked")]
    Unavailable,
}

impl AuthError {
    /// The refusal of a key that does not meet a requirement.
    #[cold]
    pub(crate) fn lacking(requirement: &Requirement) -> Self {
        Self::InsufficientPermission { required: requirement.clone() }
    }

    /// The stable name of the error, as in the body of a refusal.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing_api_key",
            Self::Invalid => "invalid_api_key",
            Self::Revoked => "revoked_api_key",
            Self::Disabled => "disabled_api_key",
            Self::Expired => "expired_api_key",
            Self::NotYetValid => "inactive_api_key",
            Self::AddressNotAllowed => "address_not_allowed",
            Self::RateLimited { .. } => "rate_limited",
            Self::InsufficientPermission { .. } => "insufficient_permission",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status: 401, 403, 429 or 503.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Missing | Self::Invalid | Self::Revoked | Self::Disabled | Self::Expired | Self::NotYetValid => 401,
            Self::AddressNotAllowed | Self::InsufficientPermission { .. } => 403,
            Self::RateLimited { .. } => 429,
            Self::Unavailable => 503,
        }
    }

    /// A title, the same for every refusal with this code (RFC 9457 `title`).
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Missing => "API key missing",
            Self::Invalid => "Invalid API key",
            Self::Revoked => "API key revoked",
            Self::Disabled => "API key disabled",
            Self::Expired => "API key expired",
            Self::NotYetValid => "API key not yet valid",
            Self::AddressNotAllowed => "API key not allowed from this address",
            Self::RateLimited { .. } => "Too many requests",
            Self::InsufficientPermission { .. } => "API key lacks permission",
            Self::Unavailable => "API keys cannot be checked",
        }
    }
}
