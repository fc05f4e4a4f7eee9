//! Requirements as types, and the guards in a handler's signature.

#[cfg(any(feature = "openapi", feature = "salvo-oapi"))]
mod alternatives;
mod catalog;
mod compile_error;
#[cfg(feature = "inventory")]
mod guarded;
mod optional_api_key;
mod perm;
mod require_api_key;
mod required;

#[cfg(any(feature = "openapi", feature = "salvo-oapi"))]
pub(crate) use alternatives::alternatives;
pub use catalog::{Offered, UnknownPermission, declared, same, unknown};
#[cfg(feature = "inventory")]
pub use guarded::{Guarded, GuardedTenant, guarded};
pub use optional_api_key::OptionalApiKey;
pub use perm::{All, Any, Perm, PermExpr, chunk};
pub use require_api_key::RequireApiKey;
pub(crate) use required::condition;
pub use required::{Authenticated, Cost, NoTenant, Required};
