//! Sets of grants, as text: the grants of a key joined by spaces, which no grant contains.

use crate::access::permission;
use crate::access::permission::{covers, matches};
use crate::base::interner::{Full, GRANTS};

/// The most grants in a meet; it leaves out the rest.
const MAX_MET: usize = 256;

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
    // Most sets have one grant, and opening a large store joins a million of them.
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

/// The number of the set of all that both sets give.
pub(crate) fn meet(one: u32, other: u32) -> Result<u32, Full> {
    if one == other { Ok(one) } else { GRANTS.number(&joined_meet(GRANTS.text(one), GRANTS.text(other))) }
}

/// The same for grants joined by spaces.
pub(crate) fn joined_meet(one: &str, other: &str) -> String {
    let split = |joined: &'_ str| joined.split(' ').filter(|grant| !grant.is_empty()).map(str::to_owned).collect();
    let (one, other): (Vec<String>, Vec<String>) = (split(one), split(other));
    join(&met(&one, &other))
}

/// The grants of what both sets give. Sets with so many crossing wildcards that these would be many give less.
pub(crate) fn met(one: &[String], other: &[String]) -> Vec<String> {
    let mut met: Vec<String> = one.iter().flat_map(|a| other.iter().filter_map(|b| permission::meet(a, b))).collect();
    met.sort_unstable();
    met.dedup();
    if met.len() > MAX_MET {
        met.retain(|grant| one.contains(grant) || other.contains(grant));
    }
    // The widest alone, so that equal sets have equal texts.
    let is_widest = |grant: &&String| !met.iter().any(|wide| wide != *grant && covers(wide, grant));
    met.iter().filter(is_widest).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_gives_nothing() {
        assert!(!joined_give("", "a"));
        assert!(!give(&[], "a"));
        assert_eq!(joined_meet("", "a"), "");
        assert_eq!(joined_meet("", ""), "");
    }

    #[test]
    fn meets() {
        assert_eq!(joined_meet("a:* b", "a:read c"), "a:read");
        assert_eq!(joined_meet("*", "a:* b"), "a:* b");
        assert_eq!(joined_meet("a b", "b a"), "a b");
        assert_eq!(joined_meet("*:read", "a:* b:*:*"), "a:read");
        assert_eq!(joined_meet("*:x:*", "a:*"), "a:x:*");
        assert_eq!(joined_meet("a:* a:read", "a:* a:b"), "a:*");
    }

    #[test]
    fn a_meet_has_a_bound() {
        let many = |pattern: fn(usize) -> String| (0..64).map(pattern).collect::<Vec<_>>().join(" ");
        let (one, other) = (many(|at| format!("*:b{at}")), many(|at| format!("a{at}:*")) + " a0:b0");
        assert_eq!(joined_meet(&one, &other), "a0:b0");
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
