//! The two modes of a layer.

use crate::ask::Gate;

/// The layer provides the store and requires nothing.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Supply;

/// The layer lets a request pass only with a key that meets its requirement.
#[derive(Debug, Clone)]
pub struct Require {
    pub(super) gate: Gate,
}
