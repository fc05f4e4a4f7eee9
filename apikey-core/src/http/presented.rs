//! The key, or keys, that a request carries.

use std::fmt;

use crate::access::auth_error::AuthError;

/// The key, or keys, that a request carries.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Presented<'a> {
    /// The request carries no key.
    None,
    /// The request carries one key. The bytes may not be text.
    One(&'a [u8]),
    /// The request carries the header twice, or a header and a bearer token that differ. The store refuses it as
    /// invalid.
    Many,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::One(_) => "One([REDACTED])",
            Self::Many => "Many",
        })
    }
}

impl<'a> Presented<'a> {
    /// Returns the one token that the request carries.
    ///
    /// # Errors
    /// [`AuthError::Missing`] if there is none, [`AuthError::Invalid`] if there are several or it is not text.
    pub fn token(self) -> Result<&'a str, AuthError> {
        match self {
            Self::None => Err(AuthError::Missing),
            Self::One(bytes) => std::str::from_utf8(bytes).map_err(|_| AuthError::Invalid),
            Self::Many => Err(AuthError::Invalid),
        }
    }
}
