//! What a change leaves of a record.

use crate::key::record::Record;

/// The outcome of a change for a record; `after` is `None` if the change deletes it.
pub(crate) struct Outcome {
    pub(crate) after: Option<Record>,
    /// Whether anything changed.
    pub(crate) changed: bool,
}
