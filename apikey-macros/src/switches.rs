//! What the facade has turned on. This crate knows no framework, only these properties of those that are enabled.

/// The properties of the enabled web frameworks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    /// A framework reads the parameters of a handler: a function without `request = ..` gets a guard.
    pub(crate) extract: bool,
    /// A framework has a route attribute that must come after ours.
    pub(crate) route_macro: bool,
    /// A framework takes plain functions, without any attribute of its own.
    pub(crate) plain_fn: bool,
    /// Guarded functions are listed in the program.
    pub(crate) inventory: bool,
}

impl Switches {
    pub(crate) const fn of_this_build() -> Self {
        Self {
            extract: cfg!(feature = "extract"),
            route_macro: cfg!(feature = "route-macro"),
            plain_fn: cfg!(feature = "plain-fn"),
            inventory: cfg!(feature = "inventory"),
        }
    }
}
