//! Permissions (`orders:read`), the grammar they follow, and the grants (`orders:*`) that match them.

use std::fmt;

use crate::base::redact::redact;

/// The most segments in a permission or a grant.
pub const MAX_SEGMENTS: usize = 8;
/// The most bytes in a permission or a grant.
pub const MAX_PERMISSION_BYTES: usize = 64;

/// The error for a text that is not a permission, or not a grant. Its `Display` names the text and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid {subject} {text:?}: {fault}{}", self.suggestion())]
pub struct PermissionError {
    subject: &'static str,
    text: String,
    fault: PermissionFault,
    /// The list that contains the grant, and its index there.
    place: Option<(&'static str, usize)>,
}

impl PermissionError {
    pub(crate) fn new(subject: &'static str, text: &str, fault: PermissionFault) -> Self {
        // Bounded and without tokens: the text comes from outside.
        let text = redact(text).chars().take(MAX_PERMISSION_BYTES + 1).collect();
        Self { subject, text, fault, place: None }
    }

    /// Names the list that contains the grant, and its index there.
    pub(crate) fn at(self, list: &'static str, index: usize) -> Self {
        Self { place: Some((list, index)), ..self }
    }

    pub(crate) fn place(&self) -> Option<(&'static str, usize)> {
        self.place
    }

    fn suggestion(&self) -> String {
        let lower = self.text.to_lowercase();
        let mends = self.fault == PermissionFault::UpperCase && check_grant(&lower).is_ok();
        if mends { format!("; try {lower:?}") } else { String::new() }
    }

    /// Returns what is wrong with the text.
    #[must_use]
    pub fn fault(&self) -> PermissionFault {
        self.fault
    }

    /// Returns the text as the caller gave it, without [tokens](crate::redact) and cut to 65 characters.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Lets `any` and `all` take lists of requirements that exist already, whose conversion cannot fail.
impl From<std::convert::Infallible> for PermissionError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// How a text breaks the grammar of permissions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PermissionFault {
    /// The text is empty.
    Empty,
    /// The text has more than [`MAX_PERMISSION_BYTES`] bytes.
    TooLong,
    /// The text has more than [`MAX_SEGMENTS`] segments.
    TooManySegments,
    /// The text has two colons in a row, or one at either end.
    EmptySegment,
    /// The text has a capital letter.
    UpperCase,
    /// The text has a character other than `a-z 0-9 _ - .`, or a segment begins with one of `_ - .` or ends with `.`.
    Character,
    /// A requirement has a `*`.
    Wildcard,
    /// A segment has a `*` beside other characters.
    PartialWildcard,
    /// An `any()` or `all()` is empty: no key would meet the first, and every key would meet the second.
    NothingListed,
    /// A [`Need`](crate::Need) has more than 1024 permissions and lists.
    TooManyParts,
}

impl PermissionFault {
    /// Returns what is wrong and what is allowed: the text of `Display`, for constant expressions.
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

/// Checks a requirement's permission: `segment(:segment)*`, no wildcard. It is `const`, so that the attribute can check
/// constant expressions at compile time.
///
/// # Errors
/// The first fault found.
pub const fn check_permission(text: &str) -> Result<(), PermissionFault> {
    check(text, false)
}

/// Checks a grant: a permission in which `*` may replace a whole segment.
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

/// Whether `grant` gives `permission`. A `*` in the middle matches exactly one segment, and a `*` at the end one or
/// more. Both texts are well formed.
#[must_use]
pub fn matches(grant: &str, permission: &str) -> bool {
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

/// The first segments of the permissions by which keys, and what belongs to them, are managed.
const MANAGING: [&str; 5] = ["events", "keys", "roles", "tenants", "usage"];

/// Whether `grant` gives any permission by which keys, roles, tenants, events or usage are managed: `keys:create` does, and
/// so do `*:create` and `*`.
pub(crate) fn manages(grant: &str) -> bool {
    match grant.split_once(':') {
        Some((first, _)) => first == "*" || MANAGING.contains(&first),
        None => grant == "*",
    }
}

/// Whether `outer` gives every permission that `inner` gives. An acting key must cover the keys that it changes.
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

/// Returns the pattern of the permissions that both grants give; `None` if there are none.
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
    fn which_grants_manage_keys() {
        for grant in [
            "*",
            "*:*",
            "*:create",
            "keys:*",
            "keys:create",
            "roles:put",
            "tenants:*",
            "events:read",
            "usage:read",
            "*:a:b",
        ] {
            assert!(manages(grant), "{grant}");
        }
        for grant in ["orders:read", "orders:*", "keys", "keyset:read", "a:keys:create"] {
            assert!(!manages(grant), "{grant}");
        }
    }

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
            // Faults of other implementations: a literal wildcard, a prefix without its colon.
            ("chat:*", "chatbot:read", false),
        ] {
            assert_eq!(matches(grant, permission), given, "{grant} {permission}");
        }
    }

    /// Every permission over the letters a, b with up to four segments: enough to distinguish grants over a, b, * with
    /// up to three segments.
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
