//! What one handle of a store has for itself.

use std::sync::Arc;

use crate::key::event::actor::Origin;

/// What one handle of a store has for itself.
#[derive(Clone, Default)]
pub(crate) struct HandleView {
    /// Who makes its changes, where somebody is named.
    pub(super) origin: Arc<Origin>,
    /// The only owner whose keys it sees; `None`: everybody's.
    pub(super) owner: Option<Arc<str>>,
}
