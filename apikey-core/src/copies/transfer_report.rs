//! What to export and import, and what came of it.

use crate::base::invalid_field::InvalidField;
use crate::key::error::{Conflict, StoreError};
use crate::token::key_id::KeyId;

/// What [`KeyStore::export`](crate::KeyStore::export) writes.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct ExportOptions {
    pub(crate) digests: bool,
}

impl ExportOptions {
    /// Whether the digests of secrets are written too; `false` if it is not set. With them the keys go on working
    /// where they are imported (under the same peppers), and the file is as sensitive as the store.
    pub fn digests(mut self, digests: bool) -> Self {
        self.digests = digests;
        self
    }
}

/// How [`KeyStore::import`](crate::KeyStore::import) reads.
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct ImportOptions {
    pub(crate) check_only: bool,
}

impl ImportOptions {
    /// Reads and checks every line, and imports none.
    pub fn check_only(mut self, check_only: bool) -> Self {
        self.check_only = check_only;
        self
    }
}

/// What came of an import.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportReport {
    /// How many keys were imported, or would be.
    pub imported: u64,
    /// Those of them that have no secret: each begins to work when it is rotated.
    pub awaiting_rotation: Vec<KeyId>,
    /// Lines that were not imported.
    pub refused: Vec<RefusedLine>,
}

/// A line that was not imported, and why.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
#[non_exhaustive]
pub struct RefusedLine {
    /// Its number; the first is 1.
    pub line: u64,
    /// Why.
    #[source]
    pub fault: LineFault,
}

/// Why a line was not imported. The text holds nothing that the line holds, so no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is no JSON object of the right form.
    #[error("it is not a key as JSON: look at column {column}")]
    Json {
        /// Where reading stopped.
        column: usize,
    },
    /// It is longer than a key can be.
    #[error("it has more than {} bytes", MAX_LINE)]
    TooLong,
    /// There is a key with this id.
    #[error("there is a key {0} already")]
    Exists(KeyId),
    /// The id is not one that a store gives.
    #[error("its id is no UUID of version 7 with a time that has come")]
    Id,
    /// A field is out of bounds, or a digest is held already.
    #[error(transparent)]
    Key(#[from] StoreError),
    /// A digest was made under a pepper that the store was not given.
    #[error("its digest is under pepper {0}, which this store was not given")]
    Pepper(u32),
    /// A secret was issued under a prefix that the store does not accept.
    #[error("its secret has a prefix that this store does not accept: add accept_prefix for it")]
    Prefix,
    /// The secrets contradict each other or the key.
    #[error("its secrets do not fit together")]
    Secrets,
}

impl From<InvalidField> for LineFault {
    fn from(field: InvalidField) -> Self {
        Self::Key(field.into())
    }
}

/// Most bytes of a line.
pub(crate) const MAX_LINE: usize = 128 * 1024;
/// A conflict of one line, found where it was to be written.
pub(crate) fn digest_held(holder: u128) -> LineFault {
    LineFault::Key(StoreError::Conflict(Conflict::DigestHeld(KeyId::from_u128(holder))))
}
