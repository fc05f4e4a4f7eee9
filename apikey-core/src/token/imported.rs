//! Imported keys, which other systems issued: how a program hands them to the store, and how it reads a presented one.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use crate::token::digest::ImportedDigest;

/// The longest token that the store hashes as an imported key, in bytes.
pub const MAX_IMPORTED_BYTES: usize = 256;
/// The shortest raw key that the store imports without [`NewKey::allow_weak`](crate::NewKey::allow_weak), in bytes.
pub const MIN_IMPORTED_BYTES: usize = 20;

/// The part of an imported key that is its secret: what its issuer hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ImportScheme {
    /// The whole key.
    Whole,
    /// What follows the first `|`: Laravel Sanctum.
    AfterPipe,
    /// What follows the last `_`: prefixed-api-key.
    AfterLastUnderscore,
}

/// The hash that the issuer stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) enum ImportHash {
    Sha256,
    Sha512,
}

/// How to read a presented key. A store tries the forms of all keys that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(crate) struct ImportForm {
    pub(crate) scheme: ImportScheme,
    pub(crate) hash: ImportHash,
}

impl ImportForm {
    /// The digest that the issuer would have stored for this key.
    pub(crate) fn digest(self, token: &[u8]) -> Option<ImportedDigest> {
        let secret = self.scheme.secret(token)?;
        Some(match self.hash {
            ImportHash::Sha256 => ImportedDigest::Sha256(Sha256::digest(secret).into()),
            ImportHash::Sha512 => ImportedDigest::Sha512(Sha512::digest(secret).into()),
        })
    }
}

impl ImportScheme {
    fn secret(self, token: &[u8]) -> Option<&[u8]> {
        let at = match self {
            Self::Whole => return Some(token),
            Self::AfterPipe => token.iter().position(|byte| *byte == b'|')?,
            Self::AfterLastUnderscore => token.iter().rposition(|byte| *byte == b'_')?,
        };
        token.get(at + 1..).filter(|secret| !secret.is_empty())
    }
}

/// A key that another system issued, for [`NewKey::imported`](crate::NewKey::imported): the raw key, or the digest that
/// its issuer stored.
#[derive(Clone)]
pub struct Imported(Source);

#[derive(Clone)]
enum Source {
    Raw(Zeroizing<String>),
    Hex(ImportHash, String),
}

impl Imported {
    /// Takes the key itself, as its caller presents it: 20 to 256 bytes of visible ASCII.
    #[must_use]
    pub fn raw(key: impl Into<String>) -> Self {
        Self(Source::Raw(Zeroizing::new(key.into())))
    }

    /// Takes the SHA-256 of the key's secret part, as 64 hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(digest: impl Into<String>) -> Self {
        Self(Source::Hex(ImportHash::Sha256, digest.into()))
    }

    /// Takes the SHA-512 of the key's secret part, as 128 hexadecimal digits.
    #[must_use]
    pub fn sha512_hex(digest: impl Into<String>) -> Self {
        Self(Source::Hex(ImportHash::Sha512, digest.into()))
    }

    /// The raw key, if that is what was given.
    pub(crate) fn raw_key(&self) -> Option<&str> {
        match &self.0 {
            Source::Raw(key) => Some(key),
            Source::Hex(..) => None,
        }
    }

    /// Whether its secret is known, and too long to guess.
    pub(crate) fn is_strong(&self, scheme: ImportScheme) -> bool {
        self.raw_key().is_some() && self.resolve(scheme, false).is_ok()
    }

    /// Returns the form by which to read the key, and its digest; or an error, which does not contain the key.
    pub(crate) fn resolve(
        &self,
        scheme: ImportScheme,
        allow_weak: bool,
    ) -> Result<(ImportForm, ImportedDigest), &'static str> {
        match &self.0 {
            Source::Raw(key) => {
                if key.is_empty() || key.len() > MAX_IMPORTED_BYTES {
                    return Err("a raw key has 1 to 256 bytes");
                }
                // No caller could present a key that an HTTP header cannot carry unchanged.
                if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
                    return Err("a raw key is visible ASCII without spaces");
                }
                let form = ImportForm { scheme, hash: ImportHash::Sha256 };
                let secret = scheme.secret(key.as_bytes()).ok_or("the key has no secret part under its scheme")?;
                if secret.len() < MIN_IMPORTED_BYTES && !allow_weak {
                    return Err(
                        "the secret is shorter than 20 bytes and may be guessed; allow_weak() takes it all the same",
                    );
                }
                let digest = form.digest(key.as_bytes()).ok_or("the key has no secret part under its scheme")?;
                Ok((form, digest))
            }
            Source::Hex(ImportHash::Sha256, text) => {
                let digest = from_hex(text).ok_or("a SHA-256 digest is 64 hexadecimal digits")?;
                Ok((ImportForm { scheme, hash: ImportHash::Sha256 }, ImportedDigest::Sha256(digest)))
            }
            Source::Hex(ImportHash::Sha512, text) => {
                let digest = from_hex(text).ok_or("a SHA-512 digest is 128 hexadecimal digits")?;
                Ok((ImportForm { scheme, hash: ImportHash::Sha512 }, ImportedDigest::Sha512(digest)))
            }
        }
    }
}

impl fmt::Debug for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Raw(_) => "Imported::raw([REDACTED])",
            Source::Hex(ImportHash::Sha256, _) => "Imported::sha256_hex([REDACTED])",
            Source::Hex(ImportHash::Sha512, _) => "Imported::sha512_hex([REDACTED])",
        })
    }
}

pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes: Option<Vec<u8>> = pairs.iter().map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?)).collect();
    if rest.is_empty() { bytes?.try_into().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_of_each_scheme() {
        assert_eq!(ImportScheme::Whole.secret(b"a|b_c"), Some(&b"a|b_c"[..]));
        assert_eq!(ImportScheme::AfterPipe.secret(b"12|b|c"), Some(&b"b|c"[..]));
        assert_eq!(ImportScheme::AfterPipe.secret(b"abc"), None);
        assert_eq!(ImportScheme::AfterLastUnderscore.secret(b"pre_short_long"), Some(&b"long"[..]));
        assert_eq!(ImportScheme::AfterLastUnderscore.secret(b"pre_"), None);
    }

    #[test]
    fn raw_and_digest_agree() {
        // printf %s 0123456789abcdef0123456789 | sha256sum
        let hex = "f4d5332088e579bfad3a9c1a04f97a2de4c4d3f38f129433e7e00d0b873bec69";
        let raw = Imported::raw("0123456789abcdef0123456789").resolve(ImportScheme::Whole, false).unwrap();
        let given = Imported::sha256_hex(hex.to_uppercase()).resolve(ImportScheme::Whole, false).unwrap();
        assert!(raw == given);
    }

    #[test]
    fn what_is_refused() {
        let refused = |imported: Imported, weak| imported.resolve(ImportScheme::Whole, weak).err();
        assert!(refused(Imported::raw("short"), false).unwrap().contains("allow_weak"));
        assert_eq!(refused(Imported::raw("short"), true), None);
        assert!(refused(Imported::raw(""), true).is_some());
        assert!(refused(Imported::raw("x".repeat(257)), true).is_some());
        assert!(refused(Imported::raw("with a space in the middle"), true).is_some());
        assert!(refused(Imported::sha256_hex("ab"), false).unwrap().contains("64"));
        assert!(refused(Imported::sha256_hex("zz".repeat(32)), false).is_some());
        assert!(refused(Imported::sha256_hex("a".repeat(65)), false).is_some());
        assert_eq!(refused(Imported::sha512_hex("0A".repeat(64)), false), None);
        assert!(format!("{:?}", Imported::raw("a key that is secret")).contains("REDACTED"));
    }
}
