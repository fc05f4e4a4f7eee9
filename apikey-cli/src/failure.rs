//! Why the command failed: an exit code for programs, a text for people. No text contains a secret.

use std::io;
use std::path::Path;

use apikey_core::admin::{Fault, FaultKind};
use apikey_core::{BackupError, OpenError, RestoreError, StoreError};

/// The exit codes, as `--help` and docs/operations.md list them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    No = 1,
    Usage = 2,
    NotFound = 3,
    Conflict = 4,
    InUse = 5,
    Unusable = 6,
    Refused = 7,
}

impl Code {
    /// The stable name, for `--json`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::InUse => "in_use",
            Self::Unusable => "unusable",
            Self::Refused => "refused",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    /// Empty if the output has said it already.
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(code: Code, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Self {
        Self::new(Code::Usage, text)
    }

    /// The answer is no; standard output has said so.
    pub(crate) fn no() -> Self {
        Self::new(Code::No, "")
    }

    pub(crate) fn file(path: &Path, error: &io::Error) -> Self {
        Self::new(Code::Refused, format!("{}: {error}", path.display()))
    }

    /// Standard output failed. Silent if its reader closed it, as `head` does.
    pub(crate) fn output(error: io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self::new(Code::Refused, if quiet { String::new() } else { format!("standard output: {error}") })
    }

    pub(crate) fn input(error: &io::Error) -> Self {
        Self::new(Code::Refused, format!("standard input: {error}"))
    }
}

/// Replaces the library's calls in a text by the command's options.
pub(crate) fn in_options(text: &str) -> String {
    text.replace("Overlap::None", "--overlap none")
        .replace("allow_weak()", "--allow-weak")
        .replace("is given twice in one call", "is given twice")
        .replace("add accept_prefix for it", "add --accept-prefix for it")
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::NotFound(_) => Code::NotFound,
            StoreError::Conflict(_) | StoreError::Exceeds(_) => Code::Conflict,
            StoreError::Invalid { .. } | StoreError::Permission(_) => Code::Usage,
            _ => Code::Refused,
        };
        Self::new(code, in_options(&error.to_string()))
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        let code = match fault.kind {
            FaultKind::NotFound => Code::NotFound,
            FaultKind::Conflict => Code::Conflict,
            FaultKind::Invalid => Code::Usage,
            FaultKind::Unusable => Code::Unusable,
            _ => Code::Refused,
        };
        Self::new(code, in_options(&fault.text))
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match &error {
            OpenError::Missing { path } => Self::new(
                Code::Unusable,
                format!(
                    "there is no key store at {}: name another with --store, or create one with `apikey init`",
                    path.display()
                ),
            ),
            OpenError::Damaged { path, backup, .. } => {
                let backup = backup.as_ref().map_or_else(|| "BACKUP".to_owned(), |backup| backup.display().to_string());
                let store = path.display();
                Self::new(
                    Code::Unusable,
                    format!(
                        "{error}\nTwo commands help; each creates a new store: `apikey restore {backup} --into NEW --over \
                         {store}`, or without a backup `apikey salvage --store {store} --into NEW`"
                    ),
                )
            }
            OpenError::Config(_) => Self::usage(format!(
                "{error} (as options: --prefix PREFIX, --accept-prefix PREFIX, --pepper NUMBER=FILE)"
            )),
            OpenError::InUse { .. } => Self::new(Code::InUse, error.to_string()),
            OpenError::DiskFull { .. }
            | OpenError::ReadOnly { .. }
            | OpenError::Io { .. }
            | OpenError::NotOwner { .. }
            | OpenError::ForeignFile { .. } => Self::new(Code::Refused, error.to_string()),
            _ => Self::new(Code::Unusable, error.to_string()),
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let code = match &error {
            BackupError::Damaged { .. } | BackupError::NewerFormat { .. } | BackupError::OldFormat { .. } => {
                Code::Unusable
            }
            _ => Code::Refused,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RestoreError> for Failure {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::Backup(error) => error.into(),
            RestoreError::Directory(error) => error.into(),
            // The text says which of the two stores failed.
            RestoreError::Store(_) => Self::new(Code::Refused, error.to_string()),
            RestoreError::NotEmpty { .. } => Self::new(Code::Conflict, error.to_string()),
            _ => Self::new(Code::Refused, error.to_string()),
        }
    }
}
