//! Sets of grants, as text: the grants of a key joined by spaces, which no grant contains.

use crate::access::permission::{covers, matches};

/// Whether one of the grants gives the permission.
pub(crate) fn give(grants: &[String], permission: &str) -> bool {
    grants.iter().any(|grant| matches(grant, permission))
}

/// The same for grants joined by spaces.
pub(crate) fn joined_give(joined: &str, permission: &str) -> bool {
    joined.split(' ').any(|grant| matches(grant, permission))
}

/// One text for a set: sorted, so that equal sets have equal texts.
pub(crate) fn join(grants: &[String]) -> String {
    // Most sets are of one; when a store is opened, a million of them.
    if let [only] = grants {
        return only.clone();
    }
    let mut sorted: Vec<&str> = grants.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.dedup();
    sorted.join(" ")
}

/// The first of `inner` that no grant of `outer` covers.
pub(crate) fn uncovered<'a>(outer: &[String], inner: &'a [String]) -> Option<&'a String> {
    inner.iter().find(|grant| !outer.iter().any(|wide| covers(wide, grant)))
}

/// Whether a grant of the old set is not covered by the new one.
pub(crate) fn lose(old: &str, new: &str) -> bool {
    old.split(' ').any(|grant| !grant.is_empty() && !new.split(' ').any(|wide| covers(wide, grant)))
}

/// What both sets give, at most: each grant of one that a grant of the other covers.
pub(crate) fn common(one: &str, other: &str) -> String {
    let within = |narrow: &str, wide: &str| -> Vec<String> {
        let kept = narrow.split(' ').filter(|grant| wide.split(' ').any(|grants| covers(grants, grant)));
        kept.filter(|grant| !grant.is_empty()).map(str::to_owned).collect()
    };
    join(&[within(one, other), within(other, one)].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_gives_nothing() {
        assert!(!joined_give("", "a"));
        assert!(!give(&[], "a"));
        assert_eq!(common("", "a"), "");
        assert_eq!(common("", ""), "");
    }

    #[test]
    fn what_two_sets_share() {
        assert_eq!(common("a:* b", "a:read c"), "a:read");
        assert_eq!(common("*", "a:* b"), "a:* b");
        assert_eq!(common("a b", "b a"), "a b");
    }

    #[test]
    fn what_a_change_loses() {
        assert!(!lose("a:*", "a:* a:read"));
        assert!(!lose("a:read", "a:*"));
        assert!(lose("a:*", "a:read"));
        assert!(lose("a", ""));
        assert!(!lose("", "a"));
    }

    #[test]
    fn caps() {
        let set = |grants: &[&str]| grants.iter().map(|grant| (*grant).to_owned()).collect::<Vec<_>>();
        assert_eq!(uncovered(&set(&["orders:*"]), &set(&["orders:read", "orders:items:*"])), None);
        let wanted = set(&["orders:read", "customers:read"]);
        assert_eq!(uncovered(&set(&["orders:*"]), &wanted).map(String::as_str), Some("customers:read"));
        assert!(uncovered(&set(&["orders:read"]), &set(&["orders:*"])).is_some());
        assert!(uncovered(&[], &set(&["a"])).is_some());
        assert!(uncovered(&[], &[]).is_none());
    }
}
