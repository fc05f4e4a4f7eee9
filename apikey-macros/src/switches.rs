//! The features that the facade enables. This crate knows no framework, only these properties of the enabled ones.

/// The properties of the enabled web frameworks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Switches {
    /// A framework reads the parameters of a handler: a function without `request = ..` gets a guard.
    pub(crate) extract: bool,
    /// A framework has a route attribute, which must come after `#[require_api_key]`.
    pub(crate) route_macro: bool,
    /// A framework accepts plain functions, without an attribute of its own.
    pub(crate) plain_fn: bool,
    /// The program lists its guarded functions.
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
