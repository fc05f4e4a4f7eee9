//! Entity tags (RFC 9110 section 8.8.3).

use http::{HeaderMap, HeaderName};

use super::call::field;
use crate::answer::Problem;

/// The entity tags of `If-Match` or `If-None-Match`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    /// `*`
    Any,
    /// Each with its quotes, and whether it is a weak one.
    Listed(Vec<(String, bool)>),
}

impl Tags {
    /// The tags of a header field, if there are any.
    ///
    /// # Errors
    /// `invalid_field` (422) for a field that has something else.
    pub(crate) fn read(headers: &HeaderMap, name: HeaderName) -> Result<Option<Self>, Problem> {
        let values: Vec<&str> = headers.get_all(&name).iter().map(|value| value.to_str().unwrap_or("?")).collect();
        if values.is_empty() {
            return Ok(None);
        }
        let detail = "expected `*`, or entity tags in their quotes, separated by commas";
        Self::parse(&values.join(",")).map(Some).ok_or_else(|| field([name.as_str()], "wrong_type", detail))
    }

    fn parse(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let (mut rest, mut tags) = (text.trim(), Vec::new());
        loop {
            let (after, is_weak) = rest.strip_prefix("W/").map_or((rest, false), |after| (after, true));
            let (tag, after) = after.strip_prefix('"')?.split_once('"')?;
            if !tag.bytes().all(|byte| byte.is_ascii_graphic()) {
                return None;
            }
            tags.push((format!("\"{tag}\""), is_weak));
            rest = match after.trim_start() {
                "" => return Some(Self::Listed(tags)),
                more => more.strip_prefix(',')?.trim_start(),
            };
        }
    }

    /// Whether one of them is this one, weak or not.
    pub(crate) fn has(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(held, _)| held == tag),
        }
    }

    /// Whether one of them is this one. A weak tag is never.
    pub(super) fn has_strong(&self, tag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|(held, is_weak)| held == tag && !is_weak),
        }
    }
}

/// 64-bit FNV-1a of a text, for what is no secret.
pub(super) fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_as_the_standard_says() {
        assert_eq!(Tags::parse(" * "), Some(Tags::Any));
        let tags = Tags::parse(r#""17" , W/"18","a,b""#).unwrap();
        let expected = [("\"17\"", false), ("\"18\"", true), ("\"a,b\"", false)];
        assert_eq!(tags, Tags::Listed(expected.map(|(tag, is_weak)| (tag.to_owned(), is_weak)).into()));
        assert!(tags.has("\"17\"") && tags.has("\"18\"") && !tags.has("\"19\"") && !tags.has("17"));
        assert!(tags.has_strong("\"17\"") && !tags.has_strong("\"18\""));
        assert!(Tags::Any.has("\"0\"") && Tags::Any.has_strong("\"0\""));
        for wrong in ["", "17", "\"17", "\"1\" \"2\"", "\"1\",", ",", "w/\"1\"", "\"a b\"", "\"ü\"", "*,\"1\""] {
            assert_eq!(Tags::parse(wrong), None, "{wrong}");
        }
    }
}
