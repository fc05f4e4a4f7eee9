//! The token a caller presents: `{prefix}_{id}{secret}{checksum}`.

use std::fmt;
use std::io;

use zeroize::{Zeroize, Zeroizing};

use crate::base::base62;
use crate::base::base62::DIGITS;
use crate::token::key_id::KeyId;

/// Characters of the id in a token.
pub(crate) const ID_CHARS: usize = 22;
/// Characters of the secret in a token.
const SECRET_CHARS: usize = 32;
/// Characters of id and secret: what is digested.
pub(crate) const BODY_CHARS: usize = ID_CHARS + SECRET_CHARS;
const CHECK_CHARS: usize = 6;
/// Everything after `{prefix}_`.
const TAIL_CHARS: usize = BODY_CHARS + CHECK_CHARS;

/// A token from its last underscore on: the underscore, id, secret and checksum. The checksum was right.
pub(crate) type Tail = [u8; 1 + TAIL_CHARS];

/// The longest prefix.
pub(crate) const MAX_PREFIX: usize = 16;

/// A token, which a caller presents to authenticate. Read it with [`expose_secret`](Self::expose_secret), pass it to
/// the key's user, and drop it: dropping wipes it from memory. It has no `Display`, does not serialise, and `Debug`
/// hides it.
///
/// ```compile_fail,E0277
/// # fn show(key: apikey::ApiKey) {
/// println!("{key}"); // no `Display`
/// # }
/// ```
#[derive(Clone)]
pub struct ApiKey(Zeroizing<String>);

impl ApiKey {
    pub(crate) fn new(token: Zeroizing<String>) -> Self {
        Self(token)
    }

    /// Returns the whole token, as the caller sends it in the `X-API-Key` header.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey([REDACTED])")
    }
}

/// A fresh secret, wiped when dropped.
pub(crate) struct Secret(Zeroizing<[u8; SECRET_CHARS]>);

impl Secret {
    /// Generates a secret that is uniform over base62, from the operating system's generator: 32 digits have 190 bits.
    pub(crate) fn generate() -> io::Result<Self> {
        let mut secret = Zeroizing::new([0u8; SECRET_CHARS]);
        let mut random = [0u8; 64];
        let mut digits = secret.iter_mut();
        let mut next = digits.next();
        while next.is_some() {
            getrandom::fill(&mut random).map_err(io::Error::other)?;
            // 248 is the last multiple of 62: above it a remainder would favour the low digits.
            for byte in random.iter().filter(|byte| **byte < 248) {
                let Some(digit) = next.take() else { break };
                *digit = DIGITS.get(usize::from(byte % 62)).copied().unwrap_or(b'0');
                next = digits.next();
            }
        }
        random.zeroize();
        Ok(Self(secret))
    }

    #[cfg(test)]
    pub(crate) fn from_text(text: &[u8; SECRET_CHARS]) -> Self {
        Self(Zeroizing::new(*text))
    }

    /// The id and secret, as the token has them and as the digest covers them.
    pub(crate) fn body(&self, id: KeyId) -> Zeroizing<[u8; BODY_CHARS]> {
        let mut body = Zeroizing::new([0u8; BODY_CHARS]);
        let (head, tail) = body.split_at_mut(ID_CHARS);
        head.copy_from_slice(&base62::encode_u128(id.as_u128()));
        tail.copy_from_slice(self.0.as_slice());
        body
    }
}

/// Writes the token out.
pub(crate) fn format(prefix: &str, body: &[u8; BODY_CHARS]) -> ApiKey {
    let mut token = Zeroizing::new(String::with_capacity(prefix.len() + 1 + TAIL_CHARS));
    token.push_str(prefix);
    token.push('_');
    token.extend(body.iter().copied().map(char::from));
    let check = base62::encode_u32(crc32fast::hash(token.as_bytes()));
    token.extend(check.map(char::from));
    ApiKey::new(token)
}

/// The prefixes that a store accepts, prepared for comparison: first that of new tokens, then the others.
pub(crate) struct Prefixes {
    own: Prefix,
    accepted: Box<[Prefix]>,
}

struct Prefix {
    text: Box<str>,
    /// The first 16 bytes that all tokens with this prefix share, and the mask of the bits that they share.
    head: u128,
    mask: u128,
    /// The checksum after the prefix, which it covers first: a token's checksum continues from here.
    check: crc32fast::Hasher,
}

impl Prefixes {
    pub(crate) fn new(own: String, accepted: impl IntoIterator<Item = String>) -> Self {
        Self { own: Prefix::new(own), accepted: accepted.into_iter().map(Prefix::new).collect() }
    }

    /// The prefix of new tokens.
    pub(crate) fn own(&self) -> &str {
        &self.own.text
    }

    pub(crate) fn knows(&self, text: &str) -> bool {
        [&self.own].into_iter().chain(&self.accepted).any(|prefix| *prefix.text == *text)
    }

    /// Returns the tail of a token with one of the prefixes; `None` for a wrong length, prefix or checksum. It does not
    /// check the characters: the digest of a token with others than base62 matches no key.
    #[inline]
    pub(crate) fn parse<'a>(&self, token: &'a [u8]) -> Option<&'a Tail> {
        let head = u128::from_le_bytes(*token.first_chunk()?);
        let accepted = || self.accepted.iter().find_map(|prefix| prefix.parse(token, head));
        self.own.parse(token, head).or_else(accepted)
    }
}

impl Prefix {
    fn new(text: String) -> Self {
        let (mut head, mut mask) = ([0; 16], [0; 16]);
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(text.bytes()) {
            (*head, *mask) = (byte, 0xff);
        }
        let mut check = crc32fast::Hasher::new();
        check.update(text.as_bytes());
        check.update(b"_");
        Self { text: text.into(), head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask), check }
    }

    #[inline]
    fn parse<'a>(&self, token: &'a [u8], head: u128) -> Option<&'a Tail> {
        let (before, tail) = token.split_last_chunk()?;
        // A prefix has 16 characters at most, so it is in the head.
        if before.len() != self.text.len() || head & self.mask != self.head || tail.first() != Some(&b'_') {
            return None;
        }
        let mut sum = self.check.clone();
        sum.update(body(tail));
        let (_, check) = tail.split_last_chunk()?;
        base62::is_u32(check, sum.finalize()).then_some(tail)
    }
}

/// Id and secret.
#[inline]
pub(crate) fn body(tail: &Tail) -> &[u8; BODY_CHARS] {
    let (_, rest) = tail.split_first_chunk::<1>().unwrap_or((b"_", &[]));
    rest.first_chunk().unwrap_or(&[b'0'; BODY_CHARS])
}

/// The id within a body; it is one only after the digest has matched.
pub(crate) fn id_chars(body: &[u8; BODY_CHARS]) -> &[u8; ID_CHARS] {
    let (id, _) = body.split_first_chunk().unwrap_or((&[b'0'; ID_CHARS], &[]));
    id
}

/// Whether a text has a token in it: one with any prefix, and with the checksum of a token.
///
/// ```
/// let store = apikey_core::KeyStore::temporary()?;
/// let created = store.create(apikey_core::NewKey::for_owner("alice"))?;
/// let token = created.key.expose_secret();
/// assert!(apikey_core::admin::has_token(&format!("see {token}, or ask")));
/// assert!(!apikey_core::admin::has_token(&token[..25]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn has_token(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').any(|(at, _)| {
        let (before, rest) = bytes.split_at(at);
        let Some(tail) = rest.first_chunk::<{ 1 + TAIL_CHARS }>() else { return false };
        tail.iter().skip(1).all(u8::is_ascii_alphanumeric)
            && (1..=MAX_PREFIX.min(before.len())).any(|length| {
                let prefix = before.get(before.len() - length..).and_then(|prefix| str::from_utf8(prefix).ok());
                let Some(prefix) = prefix.filter(|prefix| is_prefix(prefix)) else { return false };
                let mut sum = crc32fast::Hasher::new();
                sum.update(prefix.as_bytes());
                sum.update(b"_");
                sum.update(body(tail));
                let check = tail.split_last_chunk().map(|(_, check)| check);
                check.is_some_and(|check| base62::is_u32(check, sum.finalize()))
            })
    })
}

/// What is a prefix, for errors.
pub(crate) const PREFIXES: &str =
    "lower-case letters and digits in parts joined by `_`, a letter first, at most 16 characters";

/// `[a-z][a-z0-9]*(_[a-z0-9]+)*`, at most 16 characters.
pub(crate) fn is_prefix(text: &str) -> bool {
    text.len() <= MAX_PREFIX
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .split('_')
            .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "01931a4e-7c3b-7def-8123-456789abcdef";
    /// python3: "ak_" + base62(id) + secret + base62(zlib.crc32(all before))
    const TOKEN: &str = "ak_02yDXp0LU9xkmhF27wr7JX0123456789ABCDEFGHIJKLMNOPQRSTUV2kAcLU";

    fn prefixes(list: &[&str]) -> Prefixes {
        let mut all = list.iter().map(|prefix| (*prefix).to_owned());
        Prefixes::new(all.next().unwrap(), all)
    }

    fn ak() -> Prefixes {
        prefixes(&["ak"])
    }

    #[test]
    fn a_known_token() {
        let secret = Secret::from_text(b"0123456789ABCDEFGHIJKLMNOPQRSTUV");
        let body = secret.body(ID.parse().unwrap());
        assert_eq!(format("ak", &body).expose_secret(), TOKEN);
        assert_eq!(ak().parse(TOKEN.as_bytes()).map(super::body), Some(&*body));
        assert_eq!(base62::decode_u128(id_chars(&body)).map(KeyId::from_u128), ID.parse().ok());
    }

    #[test]
    fn every_changed_character_is_refused() {
        for at in 0..TOKEN.len() {
            for other in [b'0', b'z', b'-', b' ', 0xff] {
                let mut token = TOKEN.as_bytes().to_vec();
                if token[at] != other {
                    token[at] = other;
                    assert_eq!(ak().parse(&token), None, "{at}");
                }
            }
        }
    }

    #[test]
    fn nothing_is_trimmed() {
        for token in [format!(" {TOKEN}"), format!("{TOKEN} "), format!("{TOKEN}\n"), TOKEN[1..].into(), "".into()] {
            assert_eq!(ak().parse(token.as_bytes()), None);
        }
    }

    #[test]
    fn the_prefix_is_part_of_the_token() {
        let body = Secret::generate().unwrap().body(ID.parse().unwrap());
        let token = format("acme_live", &body);
        assert!(prefixes(&["acme_live"]).parse(token.expose_secret().as_bytes()).is_some());
        assert!(prefixes(&["ak", "acme_live"]).parse(token.expose_secret().as_bytes()).is_some());
        assert!(prefixes(&["acme_test"]).parse(token.expose_secret().as_bytes()).is_none());
        assert!(ak().parse(token.expose_secret().as_bytes()).is_none());
    }

    #[test]
    fn which_texts_are_prefixes() {
        for good in ["ak", "a", "acme_live", "acme_test", "a1_2", "abcdefghijklmnop"] {
            assert!(is_prefix(good), "{good}");
        }
        for bad in ["", "1a", "_a", "a_", "a__b", "A", "a-b", "abcdefghijklmnopq", "ä"] {
            assert!(!is_prefix(bad), "{bad}");
        }
    }

    #[test]
    fn debug_hides_the_token() {
        let token = format("ak", &Secret::generate().unwrap().body(ID.parse().unwrap()));
        assert_eq!(format!("{token:?}"), "ApiKey([REDACTED])");
    }

    #[test]
    fn secrets_are_base62_and_differ() {
        let all: std::collections::HashSet<_> = (0..1000).map(|_| *Secret::generate().unwrap().0).collect();
        assert_eq!(all.len(), 1000);
        let mut seen = [0u32; 256];
        all.iter().flatten().for_each(|byte| seen[usize::from(*byte)] += 1);
        // 32,000 digits, 516 of each expected; a digit is outside 350..700 once in 10^9 runs.
        assert!(DIGITS.iter().all(|digit| (350..700).contains(&seen[usize::from(*digit)])));
        assert_eq!(seen.iter().sum::<u32>(), 32_000);
    }

    #[test]
    fn a_token_is_found_wherever_it_stands_in_a_text() {
        let long = format("acme_live_eu_001", &[b'x'; BODY_CHARS]);
        for token in [TOKEN, long.expose_secret()] {
            for (before, after) in [("", ""), ("X", "glued"), ("key: ", "."), ("__", "_"), ("é", "é")] {
                assert!(has_token(&format!("{before}{token}{after}")), "{before} {after}");
            }
            let wrong = format!("{}{}", &token[..token.len() - 1], if token.ends_with('0') { '1' } else { '0' });
            assert!(!has_token(&wrong) && !has_token(&token[..token.len() - 1]));
        }
        assert!(!has_token("") && !has_token("_") && !has_token(&format!("_{}", "0".repeat(60))));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(token in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(ak().parse(&token), None);
        }

        #[test]
        fn tokens_come_back(id: u128, prefix in "[a-z][a-z0-9]{0,7}(_[a-z0-9]{1,7})?") {
            let body = Secret::generate().unwrap().body(KeyId::from_u128(id));
            let token = format(&prefix, &body);
            prop_assert_eq!(token.expose_secret().len(), prefix.len() + 61);
            prop_assert_eq!(prefixes(&[&prefix]).parse(token.expose_secret().as_bytes()).map(super::body), Some(&*body));
        }
    }
}
