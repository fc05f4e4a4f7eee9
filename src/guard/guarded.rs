//! The list of guarded functions, which the attribute collects at compile time.

use std::fmt;

use apikey_core::Need;

/// A function with the attribute.
///
/// Its `Display` is a line for a table: `shop::orders::list requires orders:read`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guarded {
    module: &'static str,
    function: &'static str,
    line: u32,
    need: Option<&'static Need>,
    optional: bool,
    tenant: GuardedTenant,
    cost: u32,
}

/// The keys that pass a guarded function, by their tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum GuardedTenant {
    /// Those of every tenant, and of none: an attribute without `tenant`.
    Any,
    /// Those of no tenant: `tenant = none`.
    None,
    /// Those of the tenant that the request names: `tenant = expr`.
    Named,
}

inventory::collect!(Guarded);

impl Guarded {
    /// Returns every function of this program that has the attribute, sorted by module and line.
    ///
    /// It lists generic functions and methods once. It omits handlers that are guarded in another way, by a layer or by
    /// a guard in their parameters. It lists a function of a library if the linker includes its object file, which it
    /// does when the program uses anything in that file.
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use apikey::{Guarded, VerifiedKey, require_api_key};
    ///
    /// #[require_api_key(perm = "orders:read")]
    /// async fn list(key: VerifiedKey) -> String {
    ///     key.owner().to_owned()
    /// }
    ///
    /// let found = Guarded::all();
    /// assert!(found.iter().any(|guarded| guarded.function() == "list" && guarded.requirement() == "orders:read"));
    /// # }
    /// ```
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = inventory::iter::<Self>.into_iter().copied().collect();
        all.sort_by_key(|guarded| (guarded.module, guarded.line));
        all
    }

    /// Returns the path of its module.
    #[must_use]
    pub fn module(&self) -> &'static str {
        self.module
    }

    /// Returns its name; that of a method is without the type.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// Returns the line of the attribute.
    #[must_use]
    pub fn line(&self) -> u32 {
        self.line
    }

    /// Returns the requirement; `None` if it is a constant of `Self`, which the list cannot name.
    #[must_use]
    pub fn need(&self) -> Option<&'static Need> {
        self.need
    }

    /// Returns the requirement as text.
    #[must_use]
    pub fn requirement(&self) -> String {
        self.need.map_or_else(|| "a permission of its type".to_owned(), Need::to_string)
    }

    /// Returns whether a request without a key passes.
    #[must_use]
    pub fn optional(&self) -> bool {
        self.optional
    }

    /// Returns which keys pass, by their tenant.
    #[must_use]
    pub fn tenant(&self) -> GuardedTenant {
        self.tenant
    }

    /// Returns the uses of the key's [quota](crate::NewKey::quota) that a request takes; 1 for an attribute without `cost`.
    #[must_use]
    pub fn cost(&self) -> u32 {
        self.cost
    }
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (module, function, verb) = (self.module, self.function, if self.optional { "allows" } else { "requires" });
        let tenant = match self.tenant {
            GuardedTenant::Any => "",
            GuardedTenant::None => " of a key of no tenant",
            GuardedTenant::Named => " of a key of the tenant",
        };
        write!(f, "{module}::{function} {verb} {}{tenant}", self.requirement())
    }
}

/// An entry; generated code calls this.
#[must_use]
pub const fn guarded(
    module: &'static str,
    function: &'static str,
    line: u32,
    need: Option<&'static Need>,
    optional: bool,
    tenant: GuardedTenant,
    cost: u32,
) -> Guarded {
    Guarded { module, function, line, need, optional, tenant, cost }
}
