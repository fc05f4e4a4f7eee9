//! Owners of keys, and the keys that a handle or a call sees.

use std::fmt;
use std::sync::Arc;

/// The owner of a key: one of a tenant, or of none. Owners of the same name in two tenants have nothing in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnerRef<'a> {
    pub(crate) tenant: Option<&'a str>,
    pub(crate) name: &'a str,
}

/// `"alice"`, or `"alice" of tenant "acme"`.
impl fmt::Display for OwnerRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.name)?;
        self.tenant.map_or(Ok(()), |tenant| write!(f, " of tenant {tenant:?}"))
    }
}

/// One owner, or all owners of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owners<'a> {
    One(OwnerRef<'a>),
    AllOf(&'a str),
}

impl Owners<'_> {
    pub(crate) fn has(self, owner: OwnerRef<'_>) -> bool {
        match self {
            Self::One(one) => one == owner,
            Self::AllOf(tenant) => owner.tenant == Some(tenant),
        }
    }
}

/// The keys that a handle or a call sees: all of the store's, those of a tenant, or those of an owner.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) tenants: Tenants,
    /// One owner. `None` means every owner.
    pub(crate) owner: Option<Arc<str>>,
}

/// Keys of which tenants.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Tenants {
    /// Of every tenant, and of none. An owner is then one of no tenant.
    #[default]
    All,
    None,
    One(Arc<str>),
}

impl Seen {
    /// Those that the other has, too; `None` if these are none.
    pub(crate) fn meet(&self, other: &Self) -> Option<Self> {
        let owner = self.owner.clone().or_else(|| other.owner.clone());
        if other.owner.as_ref().is_some_and(|name| owner.as_ref() != Some(name)) {
            return None;
        }
        let tenants = match (self.within(), other.within()) {
            (Tenants::All, tenants) | (tenants, Tenants::All) => tenants,
            (one, other) if one == other => one,
            _ => return None,
        };
        Some(Self { tenants, owner })
    }

    /// The tenants, of which an owner is one at most.
    fn within(&self) -> Tenants {
        if self.owner.is_some() && self.tenants == Tenants::All { Tenants::None } else { self.tenants.clone() }
    }

    /// The one tenant whose keys they are.
    pub(crate) fn tenant(&self) -> Option<&str> {
        match &self.tenants {
            Tenants::One(tenant) => Some(tenant),
            Tenants::All | Tenants::None => None,
        }
    }

    /// The owners whose keys they are, as far as the store can look keys up by them; `None` if it has to read every key.
    pub(crate) fn owners(&self) -> Option<Owners<'_>> {
        match &self.owner {
            Some(name) => Some(Owners::One(OwnerRef { tenant: self.tenant(), name })),
            None => self.tenant().map(Owners::AllOf),
        }
    }

    /// Whether the keys of this owner are among them.
    pub(crate) fn has(&self, owner: OwnerRef<'_>) -> bool {
        match (self.owners(), &self.tenants) {
            (Some(owners), _) => owners.has(owner),
            (None, Tenants::None) => owner.tenant.is_none(),
            (None, _) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_sees_the_keys_that_it_is_for() {
        let owner = |tenant, name| OwnerRef { tenant, name };
        let seen = |tenants: Tenants, owner: Option<&str>| Seen { tenants, owner: owner.map(Arc::from) };
        let acme = || Tenants::One("acme".into());
        let owners = [
            owner(None, "alice"),
            owner(None, "bob"),
            owner(Some("acme"), "alice"),
            owner(Some("acme"), "bob"),
            owner(Some("apex"), "alice"),
        ];
        for (seen, expected) in [
            (seen(Tenants::All, None), [true; 5]),
            (seen(Tenants::None, None), [true, true, false, false, false]),
            (seen(Tenants::All, Some("alice")), [true, false, false, false, false]),
            (seen(acme(), None), [false, false, true, true, false]),
            (seen(acme(), Some("alice")), [false, false, true, false, false]),
            // A name that no owner has sees nothing, and not all.
            (seen(Tenants::All, Some("")), [false; 5]),
            (seen(acme(), Some("")), [false; 5]),
        ] {
            assert_eq!(owners.map(|owner| seen.has(owner)), expected, "{seen:?}");
        }
        let all = || {
            let names = [None, Some("alice"), Some("bob")];
            [Tenants::All, Tenants::None, acme()]
                .into_iter()
                .flat_map(move |tenants| names.map(|name| seen(tenants.clone(), name)))
        };
        for (one, other) in all().flat_map(|one| all().map(move |other| (one.clone(), other))) {
            let met = one.meet(&other);
            let both = owners.map(|owner| one.has(owner) && other.has(owner));
            assert_eq!(owners.map(|owner| met.as_ref().is_some_and(|met| met.has(owner))), both, "{one:?} {other:?}");
        }
    }
}
