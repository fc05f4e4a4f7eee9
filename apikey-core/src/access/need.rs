//! A requirement that is known at compile time.

use std::fmt;

use crate::access::permission::{PermissionFault, check_permission};

/// The most permissions and lists in one [`Need`]. A `static` can contain itself, so the check needs a bound.
const MAX_PARTS: usize = 1024;

/// A requirement that is known at compile time. The attribute generates one for each handler that it guards.
///
/// The attribute and `perm!` check their requirements at compile time. A `Need` that a program writes itself can be
/// malformed: it can have a text that is not a permission, an empty list, or more than 1024 parts. No key ever meets a
/// malformed requirement, whatever else is in it; [`check`](Self::check) says what is wrong.
///
/// ```
/// use apikey::{Need, PermissionFault};
///
/// static READ: Need = Need::Any(&[&Need::Permission("orders:read"), &Need::Permission("admin")]);
/// const _: () = assert!(READ.check().is_ok()); // a compile error, if it were malformed
/// assert_eq!(Need::Permission("orders:*").check(), Err(PermissionFault::Wildcard));
/// assert_eq!(Need::All(&[]).check(), Err(PermissionFault::NothingListed));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Any valid key.
    Authenticated,
    /// One permission.
    Permission(&'static str),
    /// At least one of these.
    Any(&'static [&'static Need]),
    /// Every one of these.
    All(&'static [&'static Need]),
}

impl Need {
    /// Checks that the requirement is well formed. It is `const`, so that a faulty requirement can fail the build.
    ///
    /// # Errors
    /// The first fault: that of a permission, [`PermissionFault::NothingListed`] for an empty `Any` or `All`, or
    /// [`PermissionFault::TooManyParts`].
    pub const fn check(&self) -> Result<(), PermissionFault> {
        match self.fault() {
            None => Ok(()),
            Some((_, fault)) => Err(fault),
        }
    }

    /// Returns the first part that is malformed, and its fault.
    pub(crate) const fn fault(&self) -> Option<(&'static str, PermissionFault)> {
        self.first_fault(&mut 0)
    }

    #[allow(clippy::indexing_slicing, reason = "const code has no iterators; every index is below the length")]
    const fn first_fault(&self, parts: &mut usize) -> Option<(&'static str, PermissionFault)> {
        *parts += 1;
        if *parts > MAX_PARTS {
            return Some((self.name(), PermissionFault::TooManyParts));
        }
        let of = match self {
            Self::Authenticated => return None,
            Self::Permission(permission) => {
                return match check_permission(permission) {
                    Ok(()) => None,
                    Err(fault) => Some((permission, fault)),
                };
            }
            Self::Any(of) | Self::All(of) => *of,
        };
        if of.is_empty() {
            return Some((self.name(), PermissionFault::NothingListed));
        }
        let mut at = 0;
        while at < of.len() {
            if let Some(fault) = of[at].first_fault(parts) {
                return Some(fault);
            }
            at += 1;
        }
        None
    }

    const fn name(&self) -> &'static str {
        match self {
            Self::Authenticated => "any valid key",
            Self::Permission(permission) => permission,
            Self::Any(_) => "any()",
            Self::All(_) => "all()",
        }
    }

    /// Whether a key for which `has` holds meets this, which is well formed.
    pub(crate) fn met(&self, has: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Authenticated => true,
            Self::Permission(permission) => has(permission),
            Self::Any(needs) => needs.iter().any(|need| need.met(has)),
            Self::All(needs) => needs.iter().all(|need| need.met(has)),
        }
    }

    /// Visits every permission of a well-formed requirement.
    pub(super) fn visit<'a>(&'a self, leaf: &mut impl FnMut(&'a str)) {
        match self {
            Self::Authenticated => {}
            Self::Permission(permission) => leaf(permission),
            Self::Any(needs) | Self::All(needs) => needs.iter().for_each(|need| need.visit(leaf)),
        }
    }

    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated | Self::Permission(_) => f.write_str(self.name()),
            Self::Any(needs) => write_list(f, "any", needs, |need, f| need.write(f)),
            Self::All(needs) => write_list(f, "all", needs, |need, f| need.write(f)),
        }
    }
}

/// Writes the tree as in the attribute: `any(orders:write, admin)`. For a malformed requirement it writes the fault.
impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault() {
            None => self.write(f),
            Some((part, fault)) => write!(f, "a malformed requirement ({part:?}: {fault})"),
        }
    }
}

/// `name(one, other)`.
pub(super) fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    of: &[T],
    write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{name}(")?;
    for (at, item) in of.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        write(item, f)?;
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::requirement::Requirement;
    use crate::base::interner::GRANTS;

    static EMPTY: Need = Need::Permission("");
    static WILD: Need = Need::Permission("orders:*");
    static NONE_OF_ALL: Need = Need::All(&[]);
    static NONE_OF_ANY: Need = Need::Any(&[]);
    static ITSELF: Need = Need::All(&[&ITSELF, &ITSELF]);
    static INSIDE: Need = Need::Any(&[&Need::Permission("orders:read"), &Need::All(&[])]);
    static BESIDE: Need = Need::All(&[&Need::Authenticated, &Need::Permission("orders:")]);

    #[test]
    fn a_malformed_one_is_never_met() {
        for (need, fault) in [
            (&EMPTY, PermissionFault::Empty),
            (&WILD, PermissionFault::Wildcard),
            (&NONE_OF_ALL, PermissionFault::NothingListed),
            (&NONE_OF_ANY, PermissionFault::NothingListed),
            (&ITSELF, PermissionFault::TooManyParts),
            (&INSIDE, PermissionFault::NothingListed),
            (&BESIDE, PermissionFault::EmptySegment),
        ] {
            assert_eq!(need.check(), Err(fault));
            let requirement = Requirement::from(need);
            assert!(requirement == requirement.clone());
            for grants in ["", "*", "orders:*", "orders:read", "*:*"] {
                let number = GRANTS.number(grants).unwrap();
                // Computed, and then cached.
                for _ in 0..2 {
                    assert!(!requirement.met_by(number), "{requirement} {grants:?}");
                }
            }
            assert_eq!(requirement.permissions(), Vec::<&str>::new());
            assert!(requirement.to_string().starts_with("a malformed requirement ("), "{requirement}");
            // Nor can it hide in a tree that is made at start-up.
            let read = || Requirement::permission("orders:read").unwrap();
            for made in [Requirement::any([read(), requirement.clone()]), Requirement::all([requirement.clone()])] {
                assert_eq!(made.unwrap_err().fault(), fault);
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let wild = "a malformed requirement (\"orders:*\": `*` belongs in the grants of a key, not in a requirement)";
        assert_eq!(WILD.to_string(), wild);
        let error = Requirement::any([Requirement::from(&INSIDE)]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid requirement \"all()\": nothing is listed; name at least one permission, \
             or ask for any valid key with `Requirement::authenticated()`"
        );
    }

    #[test]
    fn a_large_tree_is_well_formed() {
        const LEAF: &Need = &Need::Permission("a:b");
        static ROW: Need = Need::Any(&[LEAF; 100]);
        static TREE: Need = Need::All(&[&ROW; 10]);
        assert_eq!(TREE.check(), Ok(()));
        assert!(Requirement::from(&TREE).met_by(GRANTS.number("a:*").unwrap()));
    }
}
