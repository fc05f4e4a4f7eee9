//! What one handle of a store has for itself.

use std::sync::Arc;

use crate::access::owner::Seen;
use crate::commit::cluster::propagation::Propagation;
use crate::key::event::actor::Origin;
use crate::key::owner::key_bounds::KeyBounds;

/// What one handle of a store has for itself.
#[derive(Clone, Default)]
pub(crate) struct HandleView {
    /// The actor and address of its changes, as far as they are named.
    pub(in crate::store) origin: Arc<Origin>,
    /// The keys that it sees.
    pub(in crate::store) seen: Seen,
    /// What its changes may make of them.
    pub(in crate::store) bounds: Option<Arc<KeyBounds>>,
    /// How far its changes have to go before they return.
    pub(in crate::store) propagation: Propagation,
}
