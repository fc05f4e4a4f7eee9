//! Why a request was not done.

use serde::{Deserialize, Serialize};

use crate::access::permission::PermissionError;
use crate::copies::backup_report::BackupError;
use crate::key::error::StoreError;

/// Why a request was not done. The text holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{text}")]
#[non_exhaustive]
pub struct Fault {
    /// What a program goes by.
    pub kind: FaultKind,
    /// What people read.
    pub text: String,
}

/// What a program goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaultKind {
    /// There is no such key.
    NotFound,
    /// A field is out of bounds.
    Invalid,
    /// The key's state does not allow it.
    Conflict,
    /// A file cannot be used: damaged, or newer.
    Unusable,
    /// The disk refused, or the store is closed.
    Refused,
    /// Service and command do not understand each other, or the service lets nobody more in.
    Protocol,
}

impl Fault {
    /// A fault of this kind.
    pub fn new(kind: FaultKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::NotFound(_) => FaultKind::NotFound,
            StoreError::Invalid { .. } | StoreError::Permission(_) | StoreError::TooLong { .. } => FaultKind::Invalid,
            StoreError::Conflict(_) | StoreError::Exceeds(_) => FaultKind::Conflict,
            StoreError::NotDurable { .. } | StoreError::Io { .. } | StoreError::Closed => FaultKind::Refused,
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
            BackupError::Damaged { .. } | BackupError::NewerFormat { .. } => FaultKind::Unusable,
            BackupError::Store(_) | BackupError::Io { .. } | BackupError::Stopped => FaultKind::Refused,
        };
        Self::new(kind, error.to_string())
    }
}
