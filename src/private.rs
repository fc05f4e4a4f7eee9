//! The items that generated code names. They are not part of the public interface: the three crates are released
//! together.

use std::future::{Ready, ready};
use std::pin::Pin;

#[cfg(feature = "inventory")]
pub use crate::guard::guarded;
#[cfg(feature = "inventory")]
pub use inventory::submit;

use apikey_core::{KeyStore, VerifiedKey};

use crate::ask::{self, FromRejection, KeySource, Rejection};
pub use crate::guard::{All, Any, Authenticated, Perm, PermExpr, chunk, declared, same, unknown};
use crate::guard::{Required, condition};

/// The check in a function's body, with the request's store or the installed one.
pub fn authorize<R: Required, S: KeySource>(source: &S) -> Result<VerifiedKey, Rejection> {
    ask::authorize(source, None, condition::<R>())
}

/// The check in a function's body, with `store = ..`.
pub fn authorize_with<R: Required, S: KeySource>(source: &S, store: &KeyStore) -> Result<VerifiedKey, Rejection> {
    ask::authorize(source, Some(store), condition::<R>())
}

/// The check in a function's body, with `tenant = ..`.
pub fn authorize_in<R: Required, S: KeySource>(source: &S, tenant: &str) -> Result<VerifiedKey, Rejection> {
    ask::authorize(source, None, condition::<R>().of_tenant(tenant))
}

/// The check in a function's body, with `store = ..` and `tenant = ..`.
pub fn authorize_in_with<R: Required, S: KeySource>(
    source: &S,
    store: &KeyStore,
    tenant: &str,
) -> Result<VerifiedKey, Rejection> {
    ask::authorize(source, Some(store), condition::<R>().of_tenant(tenant))
}

/// The text of an expression that names a tenant.
pub fn name_of_tenant<T: AsRef<str> + ?Sized>(tenant: &T) -> &str {
    tenant.as_ref()
}

/// The check in a function's body, with `optional`.
pub fn authorize_optional<R: Required, S: KeySource>(source: &S) -> Result<Option<VerifiedKey>, Rejection> {
    ask::authorize_optional(source, None, condition::<R>())
}

/// The check in a function's body, with `optional` and `store = ..`.
pub fn authorize_optional_with<R: Required, S: KeySource>(
    source: &S,
    store: &KeyStore,
) -> Result<Option<VerifiedKey>, Rejection> {
    ask::authorize_optional(source, Some(store), condition::<R>())
}

/// What the function returns for a rejection.
pub fn reject<T: FromRejection>(rejection: Rejection) -> T {
    T::from_rejection(rejection)
}

/// What the function returns for a rejection with `on_reject = ..`. A call, so that a closure's parameter type is
/// inferred.
pub fn reject_with<T>(on_reject: impl FnOnce(Rejection) -> T, rejection: Rejection) -> T {
    on_reject(rejection)
}

/// A ready future of a value, where `#[async_trait]` has boxed the return type.
pub fn boxed<T>(value: T) -> Pin<Box<Ready<T>>> {
    Box::pin(ready(value))
}

/// Replaces the key in a function that does not compile, so that the body can name it.
#[must_use]
pub fn absent() -> VerifiedKey {
    unreachable!("a function with an error in its attribute does not compile")
}
