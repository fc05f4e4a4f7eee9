//! A requirement as a type: a handler's signature names it, and the compiler checks it.

use std::marker::PhantomData;

use apikey_core::Need;

use super::compile_error::stop;
use crate::ask::{Condition, TenantCondition};

/// The most that a request may cost. The attribute has the same bound.
const MAX_COST: u32 = 1_000_000;

/// A requirement as a type. [`perm!`](crate::perm) and the attribute generate such types; implement it for a type of
/// your own to name a requirement that many handlers share.
///
/// ```
/// use apikey::{Need, RequireApiKey, Required};
///
/// enum ReadOrders {}
///
/// impl Required for ReadOrders {
///     const NEED: &'static Need = &Need::Permission("orders:read");
/// }
///
/// async fn list(key: RequireApiKey<ReadOrders>) -> String {
///     key.owner().to_owned()
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a requirement",
    note = "write `RequireApiKey<perm!(\"orders:read\")>`, or implement `apikey::Required`"
)]
pub trait Required {
    /// The requirement that a key must meet. A guard with a malformed requirement does not compile:
    ///
    /// ```compile_fail,E0080
    /// use apikey::{Need, RequireApiKey, Required};
    ///
    /// enum Everything {}
    ///
    /// impl Required for Everything {
    ///     const NEED: &'static Need = &Need::All(&[]);
    /// }
    ///
    /// let guard = RequireApiKey::<Everything>::from_source("ak_0");
    /// ```
    const NEED: &'static Need;

    /// Whether the key must be one of no tenant, as [`NoTenant`] says.
    const NO_TENANT: bool = false;

    /// The uses of the key's [quota](crate::NewKey::quota) that a request takes, 1 to 1,000,000, as [`Cost`] says.
    const COST: u32 = 1;
}

/// The requirement `R` of a key of no tenant, as the keys of those who run the service are: `tenant = none` in the
/// attribute. A key of a tenant is refused with 404 `not_found`.
///
/// ```
/// use apikey::{NoTenant, RequireApiKey, perm};
///
/// async fn invoices_of_all(key: RequireApiKey<NoTenant<perm!("invoices:read")>>) -> String {
///     key.owner().to_owned()
/// }
/// ```
#[derive(Debug, Clone, Copy)]
pub struct NoTenant<R>(PhantomData<fn() -> R>);

#[diagnostic::do_not_recommend]
impl<R: Required> Required for NoTenant<R> {
    const NEED: &'static Need = R::NEED;
    const NO_TENANT: bool = true;
    const COST: u32 = R::COST;
}

/// The requirement `R` of a request that takes so many uses of the key's [quota](crate::NewKey::quota): `cost = 5` in the
/// attribute. Allowed are 1 to 1,000,000. Of the costs of the guards that a request passes, the largest counts.
///
/// ```
/// use apikey::{Cost, RequireApiKey, perm};
///
/// async fn report(key: RequireApiKey<Cost<perm!("reports:run"), 5>>) -> String {
///     key.owner().to_owned()
/// }
/// ```
///
/// A guard with another cost does not compile:
///
/// ```compile_fail,E0080
/// use apikey::{Cost, RequireApiKey};
///
/// let guard = RequireApiKey::<Cost<apikey::Authenticated, 0>>::from_source("ak_0");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Cost<R, const USES: u32>(PhantomData<fn() -> R>);

#[diagnostic::do_not_recommend]
impl<R: Required, const USES: u32> Required for Cost<R, USES> {
    const NEED: &'static Need = R::NEED;
    const NO_TENANT: bool = R::NO_TENANT;
    const COST: u32 = USES;
}

/// The requirement of a type, checked at compile time.
pub(crate) const fn need<R: Required>() -> &'static Need {
    const {
        if let Err(fault) = R::NEED.check() {
            stop(fault.message());
        }
    }
    R::NEED
}

/// The cost of a type, checked at compile time.
const fn cost<R: Required>() -> u32 {
    const {
        if R::COST < 1 || R::COST > MAX_COST {
            stop("a request costs 1 to 1,000,000 uses");
        }
    }
    R::COST
}

/// What a guard with the requirement of a type asks of a key.
pub(crate) fn condition<R: Required>() -> Condition<'static> {
    let tenant = if R::NO_TENANT { TenantCondition::None } else { TenantCondition::Any };
    Condition { need: need::<R>(), tenant, cost: cost::<R>() }
}

/// Any valid key.
#[derive(Debug, Clone, Copy)]
pub enum Authenticated {}

impl Required for Authenticated {
    const NEED: &'static Need = &Need::Authenticated;
}

#[cfg(test)]
mod tests {
    use super::super::perm::Any;
    use super::*;

    enum Orders {}

    impl Required for Orders {
        const NEED: &'static Need = &Need::Any(&[&Need::Permission("orders:read"), Authenticated::NEED]);
    }

    #[test]
    fn a_type_gives_its_requirement() {
        assert_eq!(need::<Orders>(), Orders::NEED);
        assert_eq!(need::<Authenticated>(), &Need::Authenticated);
    }

    #[test]
    fn a_type_gives_its_cost() {
        type Dear = Cost<Orders, 5>;
        let costs = [
            condition::<Orders>(),
            condition::<Dear>(),
            condition::<NoTenant<Dear>>(),
            condition::<Any<(Orders, Dear)>>(),
        ];
        assert_eq!(costs.map(|condition| condition.cost), [1, 5, 5, 5]);
        assert_eq!(condition::<Cost<NoTenant<Orders>, 7>>().tenant, TenantCondition::None);
    }
}
