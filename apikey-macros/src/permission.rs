//! The grammar of permissions. The core implements it, too, since neither crate can use the other; a test compares the
//! two. That test includes this file, which therefore uses nothing else of this crate.

/// Why `text` is not a permission: a sentence for the author of the attribute.
pub(crate) fn fault(text: &str) -> Option<String> {
    let reason = reason(text)?;
    let better = suggestion(text).map(|better| format!("; try \"{better}\"")).unwrap_or_default();
    // Truncated: the literal may have any length.
    let shown: String = text.chars().take(80).collect();
    Some(format!("invalid permission {shown:?}: {reason}{better}"))
}

fn reason(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty; write segments joined by colons, as in `orders:read`");
    }
    if text.len() > 64 {
        return Some("at most 64 bytes are allowed");
    }
    let too_many = || (text.split(':').count() > 8).then_some("at most 8 segments are allowed");
    text.split(':').find_map(segment_reason).or_else(too_many)
}

fn segment_reason(segment: &str) -> Option<&'static str> {
    const CHARACTER: &str = "a segment begins with a-z or 0-9, goes on with a-z 0-9 _ - . and does not end with a dot";
    if segment.is_empty() {
        return Some("a segment is empty; write segments joined by single colons, as in `orders:read`");
    }
    let bad = segment.char_indices().find_map(|(at, c)| match c {
        'a'..='z' | '0'..='9' => None,
        '_' | '-' | '.' if at > 0 => None,
        'A'..='Z' => Some("permissions are lower case"),
        '*' => Some("`*` belongs in the grants of a key, not in a requirement"),
        _ => Some(CHARACTER),
    });
    bad.or_else(|| segment.ends_with('.').then_some(CHARACTER))
}

/// The permission that the author probably meant: in lower case, with single colons and without spaces around it.
fn suggestion(text: &str) -> Option<String> {
    let lower = text.trim().to_ascii_lowercase();
    let segments: Vec<&str> = lower.split([':', '/', ' ']).filter(|segment| !segment.is_empty()).collect();
    let better = segments.join(":");
    reason(&better).is_none().then_some(better)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions() {
        for good in ["a", "orders:read", "v1.2:x", "a-b_c:9", "a:b:c:d:e:f:g:h"] {
            assert_eq!(fault(good), None);
        }
        assert_eq!(fault(&"a".repeat(64)), None);
    }

    #[test]
    fn faults_say_what_to_write() {
        let message = |text: &str| fault(text).unwrap();
        assert_eq!(
            message("Orders:read"),
            r#"invalid permission "Orders:read": permissions are lower case; try "orders:read""#
        );
        assert!(message("a::b").ends_with("as in `orders:read`; try \"a:b\""), "{}", message("a::b"));
        assert!(message("a b").ends_with("try \"a:b\""), "{}", message("a b"));
        assert!(message("a:*").ends_with("not in a requirement"), "{}", message("a:*"));
        assert!(message("").contains("it is empty"));
        assert!(message(&"a".repeat(65)).ends_with("at most 64 bytes are allowed"));
        assert!(message("a.").contains("does not end with a dot"));
        assert!(message("a:b:c:d:e:f:g:h:i").ends_with("at most 8 segments are allowed"));
    }
}
