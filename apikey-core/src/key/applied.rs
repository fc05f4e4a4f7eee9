//! The result of applying a change to a record.

use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::record::Record;

/// The result of applying a change to a record.
#[derive(Debug)]
pub(crate) enum Applied {
    /// The record had what the change sets already.
    Unchanged,
    Changed {
        /// `None` if the change deletes the record.
        after: Option<Box<Record>>,
        event: Box<EventKind>,
    },
}

impl Applied {
    pub(crate) fn changed(after: Record, event: EventKind) -> Self {
        Self::Changed { after: Some(Box::new(after)), event: Box::new(event) }
    }

    /// The change deletes the record.
    pub(super) fn none(event: EventKind) -> Self {
        Self::Changed { after: None, event: Box::new(event) }
    }
}

pub(crate) fn next_version(record: &Record) -> Result<u32, StoreError> {
    record.version.checked_add(1).ok_or_else(|| {
        StoreError::invalid("version", &record.version.to_string(), "4,294,967,295 rotations of one key")
    })
}
