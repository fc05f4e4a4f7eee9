//! The answer to a request that failed.

use serde::{Deserialize, Serialize};

use crate::access::permission::PermissionError;
use crate::copies::backup_report::BackupError;
use crate::key::error::StoreError;

/// The reason why a request failed. The text contains no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct Fault {
    /// The kind, for programs.
    pub kind: FaultKind,
    /// The text, for people.
    pub text: String,
}

/// The kind of a [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// The store has no such key.
    NotFound,
    /// A field is out of bounds.
    Invalid,
    /// The key's state does not allow the change.
    Conflict,
    /// A file is damaged, or has another format.
    Unusable,
    /// The disk failed, or the cluster did not take the change.
    Refused,
    /// The service ended the connection, or has closed the store.
    Closed,
    /// The service rejected the connection, or one side did not understand the other.
    Protocol,
}

impl Fault {
    /// Creates a fault of this kind.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound(_) => FaultKind::NotFound,
            StoreError::Invalid { .. }
            | StoreError::Permission(_)
            | StoreError::UnknownGrant(_)
            | StoreError::TooLong { .. } => FaultKind::Invalid,
            StoreError::Conflict(_) | StoreError::Exceeds(_) => FaultKind::Conflict,
            StoreError::NotDurable { .. } | StoreError::Io { .. } | StoreError::Cluster(_) => FaultKind::Refused,
            StoreError::Closed => FaultKind::Closed,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<PermissionError> for Fault {
    fn from(error: PermissionError) -> Self {
        Self::new(FaultKind::Invalid, error.to_string())
    }
}

impl From<BackupError> for Fault {
    fn from(error: BackupError) -> Self {
        let kind = match &error {
            BackupError::Damaged { .. } | BackupError::NewerFormat { .. } | BackupError::OldFormat { .. } => {
                FaultKind::Unusable
            }
            BackupError::Destination { .. } => FaultKind::Conflict,
            BackupError::Store(_) | BackupError::Io { .. } | BackupError::Stopped => FaultKind::Refused,
        };
        Self::new(kind, error.to_string())
    }
}
