//! The requirement of a handler: one permission, or a tree of `any` and `all`.

mod cache;

use std::fmt;
use std::sync::Arc;

use crate::access::grants;
use crate::access::need::{Need, write_list};
use crate::access::permission::{PermissionError, PermissionFault, check_permission};
use crate::access::requirement::cache::RequirementCache;
use crate::base::interner::GRANTS;

/// The permissions that a key must have. A service creates its requirements at start-up and uses them for every
/// request; a clone copies no text.
///
/// ```
/// use apikey::Requirement;
///
/// let read = Requirement::permission("orders:read")?;
/// let either = Requirement::any(["orders:write", "admin"])?;
/// assert_eq!(Requirement::all([read, either])?.to_string(), "all(orders:read, any(orders:write, admin))");
/// assert!(Requirement::permission("orders:*").is_err()); // wildcards belong in grants
/// # Ok::<(), apikey::PermissionError>(())
/// ```
#[derive(Clone)]
pub struct Requirement(Tree);

#[derive(Clone)]
enum Tree {
    /// With its cache, if there is room for one.
    Static(&'static Need, Option<&'static RequirementCache>),
    Dynamic(Arc<Dynamic>),
}

struct Dynamic {
    form: Form,
    cache: RequirementCache,
}

#[derive(PartialEq, Eq)]
enum Form {
    Permission(Box<str>),
    Any(Box<[Requirement]>),
    All(Box<[Requirement]>),
}

impl PartialEq for Requirement {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            // A `static` can contain itself, so compare the addresses first.
            (Tree::Static(one, _), Tree::Static(other, _)) => std::ptr::eq(*one, *other) || one == other,
            (Tree::Dynamic(one), Tree::Dynamic(other)) => Arc::ptr_eq(one, other) || one.form == other.form,
            _ => false,
        }
    }
}

impl Eq for Requirement {}

impl Requirement {
    /// Creates the requirement that any valid key meets.
    #[must_use]
    pub const fn authenticated() -> Self {
        Self(Tree::Static(&Need::Authenticated, None))
    }

    /// Creates the requirement of one permission, such as `orders:read`.
    ///
    /// # Errors
    /// The text breaks the grammar of permissions, or has a wildcard.
    pub fn permission(permission: impl AsRef<str>) -> Result<Self, PermissionError> {
        let text = permission.as_ref();
        check_permission(text).map_err(|fault| PermissionError::new("permission", text, fault))?;
        Ok(Self::dynamic(Form::Permission(text.into())))
    }

    /// Creates the requirement of at least one of these permissions or requirements.
    ///
    /// # Errors
    /// One of them is malformed or not a permission, or the list is empty.
    pub fn any<T>(of: impl IntoIterator<Item = T>) -> Result<Self, PermissionError>
    where
        T: TryInto<Requirement>,
        PermissionError: From<T::Error>,
    {
        Ok(Self::dynamic(Form::Any(collect("any()", of)?)))
    }

    /// Creates the requirement of every one of these permissions or requirements.
    ///
    /// # Errors
    /// One of them is malformed or not a permission, or the list is empty.
    pub fn all<T>(of: impl IntoIterator<Item = T>) -> Result<Self, PermissionError>
    where
        T: TryInto<Requirement>,
        PermissionError: From<T::Error>,
    {
        Ok(Self::dynamic(Form::All(collect("all()", of)?)))
    }

    fn dynamic(form: Form) -> Self {
        Self(Tree::Dynamic(Arc::new(Dynamic { form, cache: RequirementCache::new() })))
    }

    /// Whether a key with this set of grants meets the requirement. The first call for a set computes the answer and
    /// caches it.
    #[inline]
    pub(crate) fn met_by(&self, grants: u32) -> bool {
        let cache = match &self.0 {
            Tree::Static(Need::Authenticated, _) => return true,
            Tree::Static(_, cache) => *cache,
            Tree::Dynamic(dynamic) => Some(&dynamic.cache),
        };
        match cache.and_then(|cache| cache.answer(grants)) {
            Some(met) => met,
            None => self.compute(grants, cache),
        }
    }

    /// Returns the parts of an `all` that a key with this set of grants does not meet; of any other form the whole.
    pub(crate) fn missing(&self, grants: u32) -> Self {
        let Tree::Dynamic(dynamic) = &self.0 else { return self.clone() };
        let Form::All(of) = &dynamic.form else { return self.clone() };
        let missing: Vec<Self> = of.iter().filter(|part| !part.met_by(grants)).cloned().collect();
        match missing.as_slice() {
            [one] => one.clone(),
            _ => Self::dynamic(Form::All(missing.into())),
        }
    }

    #[cold]
    fn compute(&self, grants: u32, cache: Option<&RequirementCache>) -> bool {
        let met = match self.fault() {
            None => self.met(&|permission| grants::joined_give(GRANTS.text(grants), permission)),
            Some((part, fault)) => {
                tracing::error!(part, %fault, "a requirement is malformed, so no key meets it");
                false
            }
        };
        if let Some(cache) = cache {
            cache.note(grants, met);
        }
        met
    }

    /// Returns the first part that is malformed, and its fault. A dynamic tree has none.
    fn fault(&self) -> Option<(&'static str, PermissionFault)> {
        match &self.0 {
            Tree::Static(need, _) => need.fault(),
            Tree::Dynamic(_) => None,
        }
    }

    /// Whether a key for which `has` holds meets this, which is well formed.
    fn met(&self, has: &impl Fn(&str) -> bool) -> bool {
        match &self.0 {
            Tree::Static(need, _) => need.met(has),
            Tree::Dynamic(dynamic) => match &dynamic.form {
                Form::Permission(permission) => has(permission),
                Form::Any(of) => of.iter().any(|requirement| requirement.met(has)),
                Form::All(of) => of.iter().all(|requirement| requirement.met(has)),
            },
        }
    }

    /// Returns every permission in the tree, in the order in which it was written, with repeats. A malformed
    /// requirement has none.
    #[must_use]
    pub fn permissions(&self) -> Vec<&str> {
        let mut found = Vec::new();
        if self.fault().is_some() {
            return found;
        }
        self.visit(&mut |permission| found.push(permission));
        found
    }

    fn visit<'a>(&'a self, leaf: &mut impl FnMut(&'a str)) {
        match &self.0 {
            Tree::Static(need, _) => need.visit(leaf),
            Tree::Dynamic(dynamic) => match &dynamic.form {
                Form::Permission(permission) => leaf(permission),
                Form::Any(of) | Form::All(of) => of.iter().for_each(|requirement| requirement.visit(leaf)),
            },
        }
    }
}

fn collect<T>(name: &'static str, of: impl IntoIterator<Item = T>) -> Result<Box<[Requirement]>, PermissionError>
where
    T: TryInto<Requirement>,
    PermissionError: From<T::Error>,
{
    let list: Vec<Requirement> = of.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    let fault = if list.is_empty() {
        Some((name, PermissionFault::NothingListed))
    } else {
        list.iter().find_map(Requirement::fault)
    };
    match fault {
        None => Ok(list.into()),
        Some((part, fault)) => Err(PermissionError::new("requirement", part, fault)),
    }
}

/// No key meets a malformed requirement: see [`Need`].
impl From<&'static Need> for Requirement {
    fn from(need: &'static Need) -> Self {
        Self(Tree::Static(need, cache::of(need)))
    }
}

impl TryFrom<&str> for Requirement {
    type Error = PermissionError;

    fn try_from(permission: &str) -> Result<Self, PermissionError> {
        Self::permission(permission)
    }
}

impl TryFrom<&String> for Requirement {
    type Error = PermissionError;

    fn try_from(permission: &String) -> Result<Self, PermissionError> {
        Self::permission(permission)
    }
}

impl TryFrom<String> for Requirement {
    type Error = PermissionError;

    fn try_from(permission: String) -> Result<Self, PermissionError> {
        Self::permission(permission)
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Tree::Static(need, _) => need.fmt(f),
            Tree::Dynamic(dynamic) => match &dynamic.form {
                Form::Permission(permission) => f.write_str(permission),
                Form::Any(of) => write_list(f, "any", of, fmt::Display::fmt),
                Form::All(of) => write_list(f, "all", of, fmt::Display::fmt),
            },
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn trees_read_as_they_were_written() {
        static TREE: Need =
            Need::Any(&[&Need::Permission("a:b"), &Need::All(&[&Need::Permission("c"), &Need::Permission("d")])]);
        let fixed = Requirement::from(&TREE);
        let made =
            Requirement::any([Requirement::permission("a:b").unwrap(), Requirement::all(["c", "d"]).unwrap()]).unwrap();
        assert_eq!(fixed.to_string(), "any(a:b, all(c, d))");
        assert_eq!(made.to_string(), fixed.to_string());
        assert_eq!(made.permissions(), ["a:b", "c", "d"]);
        assert_eq!(fixed.permissions(), ["a:b", "c", "d"]);
        for held in [&["a:b"][..], &["c"], &["c", "d"], &[]] {
            let has = |p: &str| held.contains(&p);
            assert_eq!(fixed.met(&has), made.met(&has), "{held:?}");
            assert_eq!(fixed.met(&has), held != ["c"] && !held.is_empty(), "{held:?}");
        }
    }

    #[test]
    fn nothing_is_no_requirement() {
        let none: [&str; 0] = [];
        let error = Requirement::any(none).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid requirement \"any()\": nothing is listed; name at least one permission, \
             or ask for any valid key with `Requirement::authenticated()`"
        );
        assert!(Requirement::all(none).is_err());
        assert!(Requirement::authenticated().met(&|_| false));
    }

    #[test]
    fn a_bad_permission_is_named() {
        let error = Requirement::any(["a:b", "Orders:read"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid permission \"Orders:read\": permissions are lower case; try \"orders:read\""
        );
        assert_eq!(error.text(), "Orders:read");
    }

    fn tree() -> impl Strategy<Value = Requirement> {
        let leaf = "[ab](:[ab])?".prop_map(|text| Requirement::permission(text).unwrap());
        leaf.prop_recursive(3, 12, 3, |inner| {
            let list = || proptest::collection::vec(inner.clone(), 1..4);
            prop_oneof![
                list().prop_map(|of| Requirement::any(of).unwrap()),
                list().prop_map(|of| Requirement::all(of).unwrap()),
            ]
        })
    }

    proptest! {
        /// More sets than a cache has room for, and two questions about each.
        #[test]
        fn cached_answers_are_those_that_are_computed(
            tree in tree(),
            sets in proptest::collection::vec(proptest::collection::vec("[ab*](:[ab*])?", 0..3), 1..300),
        ) {
            for set in sets.iter().chain(&sets) {
                let joined = grants::join(set);
                let number = GRANTS.number(&joined).unwrap();
                prop_assert_eq!(tree.met_by(number), tree.met(&|permission| grants::joined_give(&joined, permission)));
            }
        }
    }

    #[test]
    fn each_static_tree_has_its_own_cache() {
        static ONE: Need = Need::Permission("one:of:these");
        static OTHER: Need = Need::Permission("another:of:these");
        let grants = GRANTS.number("one:of:these").unwrap();
        for _ in 0..3 {
            assert!(Requirement::from(&ONE).met_by(grants));
            assert!(!Requirement::from(&OTHER).met_by(grants));
        }
    }
}
