//! What a guard asks of the key of a request.

use apikey_core::{AuthError, Need, VerifiedKey};

/// What a guard asks of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Condition<'t> {
    pub(crate) need: &'static Need,
    pub(crate) tenant: TenantCondition<'t>,
    /// The uses of its quota that the request takes.
    pub(crate) cost: u32,
}

/// Keys of which tenant pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TenantCondition<'t> {
    /// Of every tenant, and of none.
    Any,
    None,
    Named(&'t str),
}

impl From<&'static Need> for Condition<'_> {
    fn from(need: &'static Need) -> Self {
        Self { need, tenant: TenantCondition::Any, cost: 1 }
    }
}

impl Condition<'_> {
    /// The same of a key of this tenant.
    pub(crate) fn of_tenant(self, name: &str) -> Condition<'_> {
        Condition { tenant: TenantCondition::Named(name), ..self }
    }
}

impl TenantCondition<'_> {
    pub(crate) fn check(self, key: &VerifiedKey) -> Result<(), AuthError> {
        match self {
            Self::Any => Ok(()),
            Self::None => key.in_no_tenant(),
            Self::Named(name) => key.in_tenant(name),
        }
    }
}
