//! What the engine of changes has for a store in a cluster.

#[cfg(feature = "cluster")]
pub(crate) mod gate;
pub(crate) mod health;
pub(crate) mod propagation;
