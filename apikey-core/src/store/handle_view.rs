//! What one handle of a store has for itself.

use std::sync::Arc;

/// What one handle of a store has for itself.
#[derive(Clone, Default)]
pub(crate) struct HandleView {
    /// Who makes its changes; `None` where nobody is named.
    pub(super) actor: Option<Arc<str>>,
    /// The only owner whose keys it sees; `None`: everybody's.
    pub(super) owner: Option<Arc<str>>,
}
