//! What may be put on keys.

use std::collections::BTreeSet;

use apikey_core::{KeyStore, Need, OF_THE_STORE, grant_matches};

use crate::guard::{Guarded, Offered};

/// What may be put on keys, with what it is for.
#[derive(Debug, Clone, Default)]
pub(super) struct Offer {
    /// What the service offers; `None` for what its guarded handlers ask for, and if there are none for everything.
    given: Option<Vec<(String, String)>>,
}

impl Offer {
    pub(super) fn of<P: Offered>(permissions: &[P]) -> Self {
        let entry = |permission: &P| (permission.permission().to_owned(), permission.description().trim().to_owned());
        Self { given: Some(permissions.iter().map(entry).collect()) }
    }

    /// The permissions of the service, with what they are for; `None` if there are no bounds.
    pub(super) fn permissions(&self) -> Option<Vec<(String, String)>> {
        if let Some(given) = &self.given {
            return Some(given.clone());
        }
        let guarded: BTreeSet<&str> = Guarded::all().iter().filter_map(Guarded::need).flat_map(asks_for).collect();
        let guarded: Vec<_> = guarded.into_iter().map(|name| (name.to_owned(), String::new())).collect();
        (!guarded.is_empty()).then_some(guarded)
    }

    /// The first of these grants that may not be put on a key. A wildcard may if all that it covers of what is known may.
    pub(super) fn refuses<'g>(&self, store: &KeyStore, mut grants: impl Iterator<Item = &'g str>) -> Option<&'g str> {
        let permissions = self.permissions()?;
        let mut offered: BTreeSet<&str> = permissions.iter().map(|(name, _)| name.as_str()).collect();
        for name in OF_THE_STORE {
            offered.insert(name);
        }
        let mut known = offered.clone();
        for name in Guarded::all().iter().filter_map(Guarded::need).flat_map(asks_for) {
            known.insert(name);
        }
        known.extend(store.catalog().unwrap_or_default().iter().map(String::as_str));
        let may = |grant: &str| {
            let mut covered = known.iter().filter(|permission| grant_matches(grant, permission)).peekable();
            covered.peek().is_some() && covered.all(|permission| offered.contains(permission))
        };
        grants.find(|grant| !offered.contains(grant) && !may(grant))
    }
}

/// The permissions that a requirement names.
pub(super) fn asks_for(need: &'static Need) -> Vec<&'static str> {
    match need {
        Need::Authenticated => Vec::new(),
        Need::Permission(permission) => vec![*permission],
        Need::Any(of) | Need::All(of) => of.iter().flat_map(|need| asks_for(need)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_may_if_all_that_it_covers_may() {
        let store = KeyStore::builder().catalog(["orders:read", "orders:write", "stock:read"]).temporary().unwrap();
        let refused =
            |offer: &[&str], grant: &'static str| Offer::of(offer).refuses(&store, [grant].into_iter()).is_some();
        let orders = ["orders:read", "orders:write"];
        for (grant, is_refused) in [
            ("orders:read", false),
            ("orders:*", false),
            ("*:write", false),
            ("*:read", true), // stock:read
            ("*", true),
            ("stock:read", true),
            ("billing:*", true), // it covers nothing
            ("keys:*", false),
            ("keys:create", false),
        ] {
            assert_eq!(refused(&orders, grant), is_refused, "{grant}");
        }
        assert!(!refused(&["orders:read", "orders:write", "stock:read"], "*"));
        // Without an offer, and without guarded handlers, everything well-formed may.
        assert_eq!(Offer::default().refuses(&store, ["anything:at:all"].into_iter()), None);
    }
}
