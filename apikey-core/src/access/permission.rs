//! Permissions (`orders:read`), the grammar they follow, and the grants (`orders:*`) that match them.

use std::fmt;

/// The segments in a permission or a grant, at most.
pub const MAX_SEGMENTS: usize = 8;
/// The bytes in a permission or a grant, at most.
pub const MAX_PERMISSION_BYTES: usize = 64;

/// A text that is no permission, or no grant. Its `Display` names the text and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {subject} {text:?}: {fault}{}", self.suggestion())]
pub struct PermissionError {
    subject: &'static str,
    text: String,
    fault: PermissionFault,
}

impl PermissionError {
    pub(crate) fn new(subject: &'static str, text: &str, fault: PermissionFault) -> Self {
        // Bounded: the text comes from outside and may be of any length.
        Self { subject, text: text.chars().take(MAX_PERMISSION_BYTES + 1).collect(), fault }
    }

    fn suggestion(&self) -> String {
        let lower = self.text.to_lowercase();
        let mends = self.fault == PermissionFault::UpperCase && check_grant(&lower).is_ok();
        if mends { format!("; try {lower:?}") } else { String::new() }
    }

    /// What is wrong with the text.
    #[must_use]
    pub fn fault(&self) -> PermissionFault {
        self.fault
    }

    /// The text as given, cut to 65 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Every [`PermissionError`] can be made from "cannot happen": lists of ready requirements use it.
impl From<std::convert::Infallible> for PermissionError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// How a text breaks the grammar of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionFault {
    /// No text at all.
    Empty,
    /// More than [`MAX_PERMISSION_BYTES`] bytes.
    TooLong,
    /// More than [`MAX_SEGMENTS`] segments.
    TooManySegments,
    /// Two colons in a row, or one at either end.
    EmptySegment,
    /// A capital letter.
    UpperCase,
    /// A character other than `a-z 0-9 _ - .`, or one of `_ - .` where a segment begins, or `.` where it ends.
    Character,
    /// A `*` in a requirement.
    Wildcard,
    /// A `*` beside other characters of a segment.
    PartialWildcard,
    /// `any()` or `all()` of nothing: no key would meet the one, and every key the other.
    NothingListed,
    /// A [`Need`](crate::Need) of more than 1024 permissions and lists.
    TooManyParts,
}

impl PermissionFault {
    /// What is wrong, and what is allowed: the text of `Display`, for constant expressions.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Empty => "it is empty; write segments joined by colons, as in `orders:read`",
            Self::TooLong => "at most 64 bytes are allowed",
            Self::TooManySegments => "at most 8 segments are allowed",
            Self::EmptySegment => "a segment is empty; write segments joined by single colons, as in `orders:read`",
            Self::UpperCase => "permissions are lower case",
            Self::Character => {
                "a segment begins with a-z or 0-9, goes on with a-z 0-9 _ - . and does not end with a dot"
            }
            Self::Wildcard => "`*` belongs in the grants of a key, not in a requirement",
            Self::PartialWildcard => "`*` stands for a whole segment, as in `orders:*`",
            Self::NothingListed => {
                "nothing is listed; name at least one permission, or ask for any valid key with `Requirement::authenticated()`"
            }
            Self::TooManyParts => "at most 1024 permissions and lists are allowed in one requirement",
        }
    }
}

impl fmt::Display for PermissionFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

/// Checks a requirement's permission: `segment(:segment)*`, no wildcard. `const`, so that the attribute checks
/// constant expressions while the program is compiled.
///
/// # Errors
/// The first fault found.
pub const fn check_permission(text: &str) -> Result<(), PermissionFault> {
    check(text, false)
}

/// Checks a grant: as a permission, and `*` may stand for a whole segment.
///
/// # Errors
/// The first fault found.
pub const fn check_grant(text: &str) -> Result<(), PermissionFault> {
    check(text, true)
}

#[allow(clippy::indexing_slicing, reason = "const code has no iterators; every index is below the length")]
const fn check(text: &str, wildcards: bool) -> Result<(), PermissionFault> {
    let bytes = text.as_bytes();
    if bytes.is_empty() {
        return Err(PermissionFault::Empty);
    }
    if bytes.len() > MAX_PERMISSION_BYTES {
        return Err(PermissionFault::TooLong);
    }
    let (mut at, mut segments, mut start) = (0, 1, 0);
    while at <= bytes.len() {
        let ended = at == bytes.len() || bytes[at] == b':';
        if ended {
            if at == start {
                return Err(PermissionFault::EmptySegment);
            }
            if bytes[at - 1] == b'.' {
                return Err(PermissionFault::Character);
            }
            if at < bytes.len() {
                segments += 1;
                start = at + 1;
            }
        } else {
            match bytes[at] {
                b'a'..=b'z' | b'0'..=b'9' => {}
                b'_' | b'-' | b'.' if at > start => {}
                b'A'..=b'Z' => return Err(PermissionFault::UpperCase),
                b'*' => {
                    if !wildcards {
                        return Err(PermissionFault::Wildcard);
                    }
                    let whole = at == start && (at + 1 == bytes.len() || bytes[at + 1] == b':');
                    if !whole {
                        return Err(PermissionFault::PartialWildcard);
                    }
                }
                _ => return Err(PermissionFault::Character),
            }
        }
        at += 1;
    }
    if segments > MAX_SEGMENTS { Err(PermissionFault::TooManySegments) } else { Ok(()) }
}

/// Whether `grant` gives `permission`. A `*` in the middle matches exactly one segment, at the end one or more.
/// Both are well formed.
pub(crate) fn matches(grant: &str, permission: &str) -> bool {
    let mut granted = grant.split(':').peekable();
    let mut wanted = permission.split(':');
    loop {
        match (granted.next(), wanted.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if granted.peek().is_none() => return true,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// Whether `outer` gives every permission that `inner` gives: a key covers what it may change.
pub(crate) fn covers(outer: &str, inner: &str) -> bool {
    let mut outer = outer.split(':').peekable();
    let mut inner = inner.split(':').peekable();
    loop {
        match (outer.next(), inner.next()) {
            (None, None) => return true,
            (Some("*"), Some(_)) if outer.peek().is_none() => return true,
            // A trailing `*` of `inner` is one or more segments: only a trailing `*` of `outer` is as wide.
            (Some(_), Some("*")) if inner.peek().is_none() => return false,
            (Some("*"), Some(_)) => {}
            (Some(a), Some(b)) if a == b => {}
            _ => return false,
        }
    }
}

/// The pattern of what both grants give; `None` if that is nothing.
pub(crate) fn meet(one: &str, other: &str) -> Option<String> {
    let (mut one, mut other) = (one.split(':').peekable(), other.split(':').peekable());
    let mut both = Vec::new();
    loop {
        let (a, b) = match (one.next(), other.next()) {
            (None, None) => break,
            (Some(a), Some(b)) => (a, b),
            _ => return None,
        };
        match (a, b) {
            // A trailing `*` is as long as the rest of the other.
            ("*", _) if one.peek().is_none() => {
                both.push(b);
                both.extend(other);
                break;
            }
            (_, "*") if other.peek().is_none() => {
                both.push(a);
                both.extend(one);
                break;
            }
            (_, "*") => both.push(a),
            ("*", _) => both.push(b),
            (a, b) if a == b => both.push(a),
            _ => return None,
        }
    }
    // A permission has no fewer bytes than a grant that gives it, so one that is too long gives nothing.
    Some(both.join(":")).filter(|both| both.len() <= MAX_PERMISSION_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_grammar() {
        for good in ["a", "orders:read", "orders:items:read", "v1.2:x", "a-b_c:9", "a:b:c:d:e:f:g:h"] {
            assert_eq!(check_permission(good), Ok(()), "{good}");
            assert_eq!(check_grant(good), Ok(()), "{good}");
        }
        for (bad, fault) in [
            ("", PermissionFault::Empty),
            (":", PermissionFault::EmptySegment),
            ("a:", PermissionFault::EmptySegment),
            (":a", PermissionFault::EmptySegment),
            ("a::b", PermissionFault::EmptySegment),
            ("Orders:read", PermissionFault::UpperCase),
            ("a b", PermissionFault::Character),
            ("-a", PermissionFault::Character),
            (".a", PermissionFault::Character),
            ("a.", PermissionFault::Character),
            ("a.:b", PermissionFault::Character),
            ("ä", PermissionFault::Character),
            ("a:b:c:d:e:f:g:h:i", PermissionFault::TooManySegments),
            ("a:*", PermissionFault::Wildcard),
        ] {
            assert_eq!(check_permission(bad), Err(fault), "{bad}");
        }
        assert_eq!(check_permission(&"a".repeat(64)), Ok(()));
        assert_eq!(check_permission(&"a".repeat(65)), Err(PermissionFault::TooLong));
        for good in ["*", "a:*", "*:read", "a:*:b", "*:*"] {
            assert_eq!(check_grant(good), Ok(()), "{good}");
        }
        for bad in ["a*", "*a", "a:b*", "**", "a:**"] {
            assert_eq!(check_grant(bad), Err(PermissionFault::PartialWildcard), "{bad}");
        }
    }

    #[test]
    fn what_a_grant_gives() {
        for (grant, permission, given) in [
            ("orders:*", "orders:read", true),
            ("orders:*", "orders:items:read", true),
            ("orders:*", "orders", false),
            ("orders:*", "ordersx:read", false),
            ("*:read", "orders:read", true),
            ("*:read", "orders:items:read", false),
            ("*:read", "read", false),
            ("*", "a:b:c", true),
            ("a:*:c", "a:b:c", true),
            ("a:*:c", "a:c", false),
            ("a:*:c", "a:b:b:c", false),
            ("orders:read", "orders:read", true),
            ("orders:read", "orders:read:x", false),
            ("orders", "orders:read", false),
            // The peers' faults: a literal wildcard, a prefix without its colon.
            ("chat:*", "chatbot:read", false),
        ] {
            assert_eq!(matches(grant, permission), given, "{grant} {permission}");
        }
    }

    /// Every permission over the letters a, b with up to four segments: enough to tell grants over a, b, * with up to
    /// three segments apart.
    fn universe() -> Vec<String> {
        let mut all = vec![];
        let mut layer = vec![String::new()];
        for _ in 0..4 {
            layer = layer
                .iter()
                .flat_map(|head| {
                    ["a", "b", "c"].map(|s| if head.is_empty() { s.into() } else { format!("{head}:{s}") })
                })
                .collect();
            all.extend(layer.clone());
        }
        all
    }

    /// The definition itself: try every way to stretch a trailing `*`.
    fn naive(grant: &[&str], permission: &[&str]) -> bool {
        match (grant, permission) {
            ([], []) => true,
            (["*"], rest) => !rest.is_empty(),
            ([g, gs @ ..], [p, ps @ ..]) => (*g == "*" || g == p) && naive(gs, ps),
            _ => false,
        }
    }

    fn grant() -> impl Strategy<Value = String> {
        proptest::collection::vec(prop_oneof![Just("a"), Just("b"), Just("*")], 1..4).prop_map(|s| s.join(":"))
    }

    proptest! {
        #[test]
        fn matching_is_the_definition(grant in grant()) {
            for permission in universe() {
                let want = naive(&grant.split(':').collect::<Vec<_>>(), &permission.split(':').collect::<Vec<_>>());
                prop_assert_eq!(matches(&grant, &permission), want, "{} {}", grant, permission);
            }
        }

        #[test]
        fn covering_is_inclusion(outer in grant(), inner in grant()) {
            let included = universe().iter().all(|p| !matches(&inner, p) || matches(&outer, p));
            prop_assert_eq!(covers(&outer, &inner), included);
        }

        #[test]
        fn checking_never_panics(text in "\\PC{0,80}") {
            let _ = check_grant(&text);
            let _ = check_permission(&text);
        }
    }
}
