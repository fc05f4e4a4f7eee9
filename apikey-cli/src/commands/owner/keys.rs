//! The keys of an owner, and the owners whose names resemble one that has none.

use std::collections::BTreeSet;

use apikey_core::{KeyFilter, KeyInfo};

use crate::failure::{Code, Failure, shortened};
use crate::output::table::one_line;
use crate::store::backend::Backend;

/// How many owners an error names.
const MAX_NAMED: usize = 3;
/// The edits within which two names resemble each other.
const MAX_EDITS: usize = 2;

/// The keys of an owner of this tenant, or of none.
///
/// # Errors
/// The owner has none: the error names owners that resemble it.
pub(crate) fn keys_of(store: &mut Backend, owner: &str, tenant: Option<&str>) -> Result<Vec<KeyInfo>, Failure> {
    let in_tenant = |filter: KeyFilter| match tenant {
        Some(tenant) => filter.tenant(tenant),
        None => filter.no_tenant(),
    };
    let (keys, _) = store.pages(in_tenant(KeyFilter::owner(owner)), usize::MAX, |_| true)?;
    if !keys.is_empty() {
        return Ok(keys);
    }
    let (all, _) = store.pages(KeyFilter::default(), usize::MAX, |_| true)?;
    let (here, elsewhere): (Vec<&KeyInfo>, Vec<&KeyInfo>) = all.iter().partition(|key| key.tenant() == tenant);
    let owners: BTreeSet<&str> = here.into_iter().map(KeyInfo::owner).collect();
    let near: Vec<String> = owners
        .into_iter()
        .filter(|other| is_near(owner, other))
        .take(MAX_NAMED)
        .map(|near| format!("{near:?}"))
        .collect();
    let of_another = elsewhere.into_iter().find(|key| key.owner() == owner).map(|key| key.tenant());
    let near = match (of_another, near.is_empty()) {
        (Some(Some(tenant)), _) => format!("one of the tenant {tenant} has it, whose keys --tenant {tenant} names"),
        (Some(None), _) => "one of no tenant has it, so leave out --tenant".to_owned(),
        (None, true) => "`apikey list` shows the owners".to_owned(),
        (None, false) => format!("near it are {}", near.join(", ")),
    };
    let owner = shortened(&one_line(owner));
    let of = tenant.map(|tenant| format!(" of the tenant {tenant}")).unwrap_or_default();
    Err(Failure::new(Code::NotFound, format!("no key{of} has the owner {owner:?}: {near}")))
}

fn is_near(given: &str, other: &str) -> bool {
    let (given, other) = (given.trim().to_lowercase(), other.trim().to_lowercase());
    let begins = |long: &str, short: &str| short.chars().count() > MAX_EDITS && long.starts_with(short);
    strsim::levenshtein(&given, &other) <= MAX_EDITS.min(given.chars().count() / 2)
        || begins(&given, &other)
        || begins(&other, &given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_resemble_each_other() {
        for (given, other) in [("Vic", "vic"), ("alcie", "alice"), ("alice", "alice@example.com"), (" bob", "bob")] {
            assert!(is_near(given, other), "{given} {other}");
        }
        for (given, other) in [("vic", "bob"), ("a", "b"), ("al", "alice"), ("alice", "carol")] {
            assert!(!is_near(given, other), "{given} {other}");
        }
    }
}
