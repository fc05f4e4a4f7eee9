//! What a handler asks of a key: one permission, or a tree of `any` and `all`.

use std::fmt;
use std::sync::Arc;

use crate::permission::{PermissionError, PermissionFault, check_permission};

/// A requirement known while the program is compiled: what the attribute makes.
///
/// The attribute checks every permission in it; one built by hand with a text that is no permission is never met.
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
    fn met(&self, has: &impl Fn(&str) -> bool) -> bool {
        match self {
            Self::Authenticated => true,
            Self::Permission(permission) => has(permission),
            Self::Any(needs) => needs.iter().any(|need| need.met(has)),
            Self::All(needs) => needs.iter().all(|need| need.met(has)),
        }
    }

    fn visit<'a>(&'a self, leaf: &mut impl FnMut(&'a str)) {
        match self {
            Self::Authenticated => {}
            Self::Permission(permission) => leaf(permission),
            Self::Any(needs) | Self::All(needs) => needs.iter().for_each(|need| need.visit(leaf)),
        }
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authenticated => f.write_str("any valid key"),
            Self::Permission(permission) => f.write_str(permission),
            Self::Any(needs) => write_list(f, "any", needs),
            Self::All(needs) => write_list(f, "all", needs),
        }
    }
}

/// What a key must be allowed to do. Made at start-up, used for every request; cloning it copies no text.
///
/// ```
/// use apikey_core::Requirement;
///
/// let read = Requirement::permission("orders:read")?;
/// let either = Requirement::any(["orders:write", "admin"])?;
/// assert_eq!(Requirement::all([read, either])?.to_string(), "all(orders:read, any(orders:write, admin))");
/// assert!(Requirement::permission("orders:*").is_err()); // wildcards belong in grants
/// # Ok::<(), apikey_core::PermissionError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Requirement(Tree);

#[derive(Clone, PartialEq, Eq)]
enum Tree {
    Static(&'static Need),
    Permission(Arc<str>),
    Any(Arc<[Requirement]>),
    All(Arc<[Requirement]>),
}

impl Requirement {
    /// Any valid key.
    #[must_use]
    pub const fn authenticated() -> Self {
        Self(Tree::Static(&Need::Authenticated))
    }

    /// One permission, such as `orders:read`.
    ///
    /// # Errors
    /// The text breaks the grammar of permissions, or has a wildcard.
    pub fn permission(permission: impl AsRef<str>) -> Result<Self, PermissionError> {
        let text = permission.as_ref();
        check_permission(text).map_err(|fault| PermissionError::new("permission", text, fault))?;
        Ok(Self(Tree::Permission(text.into())))
    }

    /// At least one of these: permissions, or requirements.
    ///
    /// # Errors
    /// One of them is no permission, or there is none.
    pub fn any<T>(of: impl IntoIterator<Item = T>) -> Result<Self, PermissionError>
    where
        T: TryInto<Requirement>,
        PermissionError: From<T::Error>,
    {
        Ok(Self(Tree::Any(collect("any()", of)?)))
    }

    /// Every one of these: permissions, or requirements.
    ///
    /// # Errors
    /// One of them is no permission, or there is none.
    pub fn all<T>(of: impl IntoIterator<Item = T>) -> Result<Self, PermissionError>
    where
        T: TryInto<Requirement>,
        PermissionError: From<T::Error>,
    {
        Ok(Self(Tree::All(collect("all()", of)?)))
    }

    /// Whether a key for which `has` holds meets this.
    pub(crate) fn met(&self, has: &impl Fn(&str) -> bool) -> bool {
        match &self.0 {
            Tree::Static(need) => need.met(has),
            Tree::Permission(permission) => has(permission),
            Tree::Any(of) => of.iter().any(|requirement| requirement.met(has)),
            Tree::All(of) => of.iter().all(|requirement| requirement.met(has)),
        }
    }

    /// Every permission named in the tree, in the order written, repeats included.
    #[must_use]
    pub fn permissions(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.visit(&mut |permission| found.push(permission));
        found
    }

    fn visit<'a>(&'a self, leaf: &mut impl FnMut(&'a str)) {
        match &self.0 {
            Tree::Static(need) => need.visit(leaf),
            Tree::Permission(permission) => leaf(permission),
            Tree::Any(of) | Tree::All(of) => of.iter().for_each(|requirement| requirement.visit(leaf)),
        }
    }
}

fn collect<T>(name: &'static str, of: impl IntoIterator<Item = T>) -> Result<Arc<[Requirement]>, PermissionError>
where
    T: TryInto<Requirement>,
    PermissionError: From<T::Error>,
{
    let list: Vec<Requirement> = of.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
    if list.is_empty() {
        return Err(PermissionError::new("requirement", name, PermissionFault::Empty));
    }
    Ok(list.into())
}

impl From<&'static Need> for Requirement {
    fn from(need: &'static Need) -> Self {
        Self(Tree::Static(need))
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
            Tree::Static(need) => need.fmt(f),
            Tree::Permission(permission) => f.write_str(permission),
            Tree::Any(of) => write_list(f, "any", of),
            Tree::All(of) => write_list(f, "all", of),
        }
    }
}

impl fmt::Debug for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Requirement({self})")
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, name: &str, of: &[impl fmt::Display]) -> fmt::Result {
    write!(f, "{name}(")?;
    for (at, item) in of.iter().enumerate() {
        if at > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "invalid requirement \"any()\": it is empty; write segments joined by colons, as in `orders:read`"
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
}
