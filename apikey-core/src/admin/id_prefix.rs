//! The first characters of a key's id, by which operators name a key.

use std::str::FromStr;

use crate::base::base62;
use crate::key::key_filter::KeyFilter;
use crate::token::api_key::ID_CHARS;
use crate::token::key_id::KeyId;

/// The fewest characters that name a key.
const MIN_CHARS: usize = 4;
/// The digits of an id in hexadecimal.
const HEX_CHARS: usize = 32;

/// The first characters of a key's id: of the UUID, or of the id as a token has it, with or without its prefix.
///
/// The beginning of a token is public up to the end of the id, 22 characters after the last `_` of the prefix. A longer
/// text is an error, since the rest is the secret.
///
/// ```
/// use apikey_core::admin::IdPrefix;
/// use apikey_core::{KeyStore, NewKey};
///
/// let store = KeyStore::temporary()?;
/// let created = store.create(NewKey::for_owner("alice"))?;
/// for text in [&created.info.id().to_string()[..13], &created.key.expose_secret()[..25]] {
///     let prefix: IdPrefix = text.parse()?;
///     let found = store.list(&prefix.filter())?;
///     assert_eq!(found.keys[0].id(), created.info.id());
///     assert!(prefix.matches(created.info.id()));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPrefix {
    first: u128,
    last: u128,
}

/// The error for a text that is not the beginning of an id. It does not repeat the text, which may be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdPrefixError {
    /// The text has too few characters.
    #[error("the beginning of a key id has at least {MIN_CHARS} characters")]
    TooShort,
    /// The text is the beginning of neither a UUID nor a token.
    #[error(
        "invalid key id: a UUID such as 01931a4e-7c3b-7def-8123-456789abcdef is expected, or its first {MIN_CHARS} \
         characters or more, or those of a token up to the end of its id, such as ak_02yDsGQ"
    )]
    Form,
    /// The text is a token, or has more of one than its id.
    #[error(
        "invalid key id: it has more of a token than the id, so it may hold the secret: give at most {ID_CHARS} characters behind the \
         prefix, and rotate the key if others can see what you typed"
    )]
    Secret,
}

impl IdPrefix {
    /// Returns whether an id begins with it.
    #[must_use]
    pub fn matches(&self, id: KeyId) -> bool {
        (self.first..=self.last).contains(&id.as_u128())
    }

    /// Returns a filter whose first page begins with the keys that match; others follow them.
    pub fn filter(&self) -> KeyFilter {
        match self.first.checked_sub(1) {
            Some(before) => KeyFilter::default().after(KeyId::from_u128(before)),
            None => KeyFilter::default(),
        }
    }
}

impl FromStr for IdPrefix {
    type Err = IdPrefixError;

    fn from_str(text: &str) -> Result<Self, IdPrefixError> {
        match text.rsplit_once('_') {
            Some((_, id)) => of_token(id),
            None if is_bare(text) => of_token(text),
            None => of_uuid(text),
        }
    }
}

/// Whether it is the beginning of a token without its prefix. The ids of this era begin with 0 there, and hexadecimal digits
/// alone are those of a UUID.
fn is_bare(text: &str) -> bool {
    let is_long = text.len() > HEX_CHARS;
    text.starts_with('0')
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && (is_long || !text.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn of_uuid(text: &str) -> Result<IdPrefix, IdPrefixError> {
    // If there are hyphens, they are where a UUID has them.
    let hyphens_fit = text.bytes().enumerate().all(|(at, byte)| (byte == b'-') == matches!(at, 8 | 13 | 18 | 23));
    if text.contains('-') && !hyphens_fit {
        return Err(IdPrefixError::Form);
    }
    let digits: String = text.chars().filter(|letter| *letter != '-').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) || digits.len() > HEX_CHARS {
        return Err(IdPrefixError::Form);
    }
    if digits.len() < MIN_CHARS {
        return Err(IdPrefixError::TooShort);
    }
    let number = |fill: char| {
        let padded = digits.chars().chain(std::iter::repeat(fill)).take(HEX_CHARS).collect::<String>();
        u128::from_str_radix(&padded, 16).map_err(|_| IdPrefixError::Form)
    };
    Ok(IdPrefix { first: number('0')?, last: number('f')? })
}

fn of_token(id: &str) -> Result<IdPrefix, IdPrefixError> {
    if id.len() > ID_CHARS {
        return Err(IdPrefixError::Secret);
    }
    if id.len() < MIN_CHARS {
        return Err(IdPrefixError::TooShort);
    }
    let number = |fill: u8| {
        let mut padded = [fill; ID_CHARS];
        padded.iter_mut().zip(id.bytes()).for_each(|(digit, byte)| *digit = byte);
        base62::decode_u128(&padded)
    };
    let first = number(b'0').ok_or(IdPrefixError::Form)?;
    // 22 digits reach beyond 128 bits.
    Ok(IdPrefix { first, last: number(b'z').unwrap_or(u128::MAX) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::base62::encode_u128;

    fn parse(text: &str) -> Result<IdPrefix, IdPrefixError> {
        text.parse()
    }

    #[test]
    fn what_is_no_beginning_of_an_id_is_refused() {
        for text in ["", "0", "019", "0-19", "ak_", "ak_02y", "_02y"] {
            assert!(matches!(parse(text), Err(IdPrefixError::TooShort | IdPrefixError::Form)), "{text}");
        }
        for text in ["nope", "0193-1a4e", "01931a4-7c3b", "01931a4e-7c3b7", "ak_02y-", "ak_zzzzz", &"f".repeat(33)] {
            assert_eq!(parse(text), Err(IdPrefixError::Form), "{text}");
        }
        assert_eq!(parse(&format!("ak_{}", "0".repeat(23))), Err(IdPrefixError::Secret));
        assert_eq!(parse("02yDsGQ6"), parse("ak_02yDsGQ6"));
        assert_eq!(parse(&format!("02yDsG{}", "Q".repeat(20))), Err(IdPrefixError::Secret));
        assert_eq!(parse("acme_live_0000"), parse("ak_0000"));
        assert_eq!(parse("01931A4E-7C3B"), parse("01931a4e7c3b"));
        assert_eq!(parse("0000").unwrap().first, 0);
        assert!(parse("ffff").unwrap().matches(KeyId::from_u128(u128::MAX)));
    }

    proptest! {
        #[test]
        fn an_id_matches_its_own_beginnings_and_no_other(id: u128, other: u128, hex in 4usize..=36, base in 4usize..=22) {
            let key = KeyId::from_u128(id);
            let uuid = key.to_string();
            // No hyphen at the end.
            let uuid = uuid[..hex].trim_end_matches('-');
            let token = |id: u128| String::from_utf8(encode_u128(id).to_vec()).unwrap();
            let start = format!("ak_{}", &token(id)[..base]);
            for text in [uuid, &start] {
                prop_assert!(parse(text).unwrap().matches(key), "{}", text);
            }
            let is_other = parse(uuid).unwrap().matches(KeyId::from_u128(other));
            prop_assert_eq!(is_other, KeyId::from_u128(other).to_string().starts_with(uuid));
            let is_other = parse(&start).unwrap().matches(KeyId::from_u128(other));
            prop_assert_eq!(is_other, token(other).starts_with(&start[3..]));
        }
    }
}
