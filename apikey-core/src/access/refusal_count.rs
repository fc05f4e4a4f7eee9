//! The counts of refusals that operators see.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::token::key_id::KeyId;

/// How often the store refused requests with one code: those that presented the secret of one key, or of no key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RefusalCount {
    /// The key whose secret the callers presented. `None` for tokens of no key, and for keys beyond the first 100,000.
    pub key: Option<KeyId>,
    /// The owner of that key.
    pub owner: Option<String>,
    /// The tenant of that key; `None` also for a key of no tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The code of the refusal, [`AuthError::code`](crate::AuthError::code).
    pub code: String,
    /// The number of requests.
    pub count: u64,
    /// The time of the last of them. `None` for `invalid_api_key` without a key: the store only counts guesses.
    pub last_at: Option<DateTime<Utc>>,
    /// The address from which the last of them came, if it is known.
    pub last_peer: Option<IpAddr>,
}
