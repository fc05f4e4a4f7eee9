//! Removes tokens from text: for logs, error reports and pasted text.

use std::borrow::Cow;

/// A regular expression for the tokens of every store, for log pipelines and scanners. [`redact`] finds the same.
///
/// It is deliberately wider than the form of a token: it also matches letters and digits that follow one directly. For
/// the tokens of one store, use its prefix: `\bacme_live_[0-9A-Za-z]{60}\b`.
pub const TOKEN_PATTERN: &str = "[a-z][0-9a-z_]{0,15}_[0-9A-Za-z]{60,}";

/// The number of characters after the prefix: id, secret and checksum.
const BODY: usize = 60;
/// The longest prefix.
const MAX_PREFIX: usize = 16;

/// Replaces each token in a text by its prefix and `[REDACTED]`, whatever the prefix and whether or not the token is
/// valid.
///
/// Imported keys do not have the form of a token, so it does not find them.
///
/// ```
/// let token = format!("acme_live_{}", "x".repeat(60));
/// let line = format!("GET /orders X-API-Key: {token} 200");
/// assert_eq!(apikey::redact(&line), "GET /orders X-API-Key: acme_live_[REDACTED] 200");
/// ```
#[must_use]
pub fn redact(text: &str) -> Cow<'_, str> {
    let mut redacted = String::new();
    let mut rest = text;
    while let Some((start, body, end)) = find(rest) {
        let (Some(before), Some(prefix), Some(after)) = (rest.get(..start), rest.get(start..body), rest.get(end..))
        else {
            break;
        };
        redacted.push_str(before);
        redacted.push_str(prefix);
        redacted.push_str("[REDACTED]");
        rest = after;
    }
    if redacted.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(redacted + rest) }
}

/// The positions where the first token begins, where its prefix with the underscore ends, and where it ends.
fn find(text: &str) -> Option<(usize, usize, usize)> {
    let bytes = text.as_bytes();
    let underscores = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'_').map(|(at, _)| at);
    underscores.into_iter().find_map(|at| {
        let (before, after) = (bytes.get(..at)?, bytes.get(at + 1..)?);
        let length = after.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let part_of_prefix = |byte: &&u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || **byte == b'_';
        let longest = before.iter().rev().take(MAX_PREFIX).take_while(part_of_prefix).count();
        let start = at - longest + before.iter().skip(at - longest).position(u8::is_ascii_lowercase)?;
        (length >= BODY).then_some((start, at + 1, at + 1 + length))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyStore, NewKey};

    #[test]
    fn no_token_is_left_in_a_text() {
        for prefix in ["ak", "acme_live", "a234567890123456"] {
            let store = KeyStore::builder().prefix(prefix).temporary().unwrap();
            let created = store.create(NewKey::for_owner("alice")).unwrap();
            let token = created.key.expose_secret();
            for (before, after) in [("", ""), ("key=", "&x"), ("\"", "\""), ("é", "é"), ("X", "glued"), ("__", "_")] {
                let text = format!("{before}{token}{after} and {token}");
                let redacted = redact(&text);
                let secret = &token[prefix.len() + 1 + 22..];
                assert!(!redacted.contains(secret), "{redacted}");
                assert_eq!(redacted.matches("[REDACTED]").count(), 2, "{redacted}");
            }
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in ["", "nothing here", "ak_", "_", &format!("ak_{}", "x".repeat(59)), &format!("_{}", "x".repeat(60))]
        {
            assert!(matches!(redact(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }
}
