//! tower: a layer that provides the store, and one that guards every request.

mod layer;
mod mode;
mod service;

pub use layer::ApiKeyLayer;
pub use mode::{Require, Supply};
pub use service::{ApiKeyService, RequireFuture, SupplyFuture};
