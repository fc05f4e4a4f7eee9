//! A verified key, which shows that a request came with a good key.

use std::fmt;

use chrono::{DateTime, Utc};

use crate::access::auth_error::AuthError;
use crate::access::control_word::ControlWord;
use crate::access::grants;
use crate::access::requirement::Requirement;
use crate::base::base62;
use crate::base::interner::{GRANTS, OWNERS};
use crate::base::time::from_ms;
use crate::token::api_key::ID_CHARS;
use crate::token::digest::DigestPrefix;
use crate::token::key_id::KeyId;

/// A key that a store has verified: who called, and what they may do.
///
/// Only a store makes one, so a function that takes a `VerifiedKey` cannot be reached without a good key. It is a
/// snapshot: what it says never changes, whatever happens to the key. Long work asks again with
/// [`KeyStore::recheck`](crate::KeyStore::recheck). Cloning it copies a few words.
#[derive(Clone)]
pub struct VerifiedKey {
    pub(crate) id: IdForm,
    /// With this the index finds its secret again.
    pub(crate) prefix: DigestPrefix,
    /// The number of the store that verified it.
    pub(crate) store: u64,
    pub(crate) control: ControlWord,
    pub(crate) owner: u32,
    pub(crate) grants: u32,
    pub(crate) version: u32,
}

/// Decoding the id costs more than finding the key, and few handlers ask for it.
#[derive(Clone, Copy)]
pub(crate) enum IdForm {
    Written([u8; ID_CHARS]),
    /// The bytes of its number.
    Known([u8; 16]),
}

impl IdForm {
    pub(crate) fn known(id: KeyId) -> Self {
        Self::Known(id.as_u128().to_be_bytes())
    }

    pub(crate) fn key_id(self) -> KeyId {
        KeyId::from_u128(match self {
            // The digest covers these characters, and it matched one of an id that was written out: they decode.
            Self::Written(text) => base62::decode_u128(&text).unwrap_or_default(),
            Self::Known(id) => u128::from_be_bytes(id),
        })
    }
}

impl VerifiedKey {
    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.id.key_id()
    }

    /// Whose key it is.
    #[must_use]
    pub fn owner(&self) -> &str {
        OWNERS.text(self.owner)
    }

    /// Whether the key's grants give this permission. `false` for a text that is no permission.
    #[must_use]
    pub fn allows(&self, permission: &str) -> bool {
        crate::access::permission::check_permission(permission).is_ok() && self.gives(permission)
    }

    /// Checks a requirement.
    ///
    /// # Errors
    /// [`AuthError::InsufficientPermission`], which names the requirement, if the key does not meet it.
    pub fn require(&self, requirement: &Requirement) -> Result<(), AuthError> {
        if requirement.met_by(self.grants) { Ok(()) } else { Err(AuthError::lacking(requirement)) }
    }

    fn gives(&self, permission: &str) -> bool {
        grants::joined_give(GRANTS.text(self.grants), permission)
    }

    /// The key's grants, sorted.
    pub fn permissions(&self) -> impl Iterator<Item = &str> {
        GRANTS.text(self.grants).split(' ').filter(|grant| !grant.is_empty())
    }

    /// The number of the secret that was presented, 1 for the key's first.
    #[must_use]
    pub fn secret_version(&self) -> u32 {
        self.version
    }

    /// Whether the key was rotated and the caller still presents the older secret.
    #[must_use]
    pub fn superseded(&self) -> bool {
        self.control.superseded()
    }

    /// When that older secret ends; `None` if it is not superseded, or ends when the newer one is used.
    #[must_use]
    pub fn superseded_until(&self) -> Option<DateTime<Utc>> {
        self.control.superseded_until().map(from_ms)
    }

    /// The value of the response header `X-API-Key-Superseded`: the end as an HTTP-date (RFC 9110 section 5.6.7), or
    /// `?1` when it depends on the successor's first use; `None` if the secret is the current one.
    #[must_use]
    pub fn superseded_header(&self) -> Option<String> {
        let date = |end: DateTime<Utc>| end.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
        self.superseded().then(|| self.superseded_until().map_or_else(|| "?1".into(), date))
    }
}

impl fmt::Debug for VerifiedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedKey")
            .field("id", &self.id())
            .field("owner", &self.owner())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
