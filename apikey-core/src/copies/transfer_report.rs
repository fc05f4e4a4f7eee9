//! The options and the reports of exports and imports.

use crate::access::owner::OwnerRef;
use crate::base::invalid_field::InvalidField;
use crate::key::error::{Conflict, StoreError};
use crate::token::key_id::KeyId;

/// The options of [`KeyStore::export`](crate::KeyStore::export).
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct ExportOptions {
    pub(super) digests: bool,
}

impl ExportOptions {
    /// Sets whether the export also writes the digests of secrets; the default is `false`. With them, callers can use
    /// the keys in a store that imports them (under the same peppers), and the file is as sensitive as the store.
    pub fn digests(mut self, digests: bool) -> Self {
        self.digests = digests;
        self
    }
}

/// The options of [`KeyStore::import`](crate::KeyStore::import).
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct ImportOptions {
    pub(super) check_only: bool,
}

impl ImportOptions {
    /// Sets whether the import only checks every line; the default is `false`.
    pub fn check_only(mut self, check_only: bool) -> Self {
        self.check_only = check_only;
        self
    }
}

/// The report of an import.
#[derive(Debug)]
#[non_exhaustive]
pub struct ImportReport {
    /// The number of keys that were imported, or would be.
    pub imported: u64,
    /// The number of roles that the store did not have, and that were imported, or would be.
    pub roles: u64,
    /// The number of tenants whose bounds the store did not have, and that were imported, or would be.
    pub tenants: u64,
    /// The number of owners whose bounds the store did not have, and that were imported, or would be.
    pub owners: u64,
    /// The imported keys without a secret: callers can use each once it is rotated.
    pub awaiting_rotation: Vec<KeyId>,
    /// The lines that were not imported.
    pub refused: Vec<RefusedLine>,
}

/// A line that was not imported.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
#[non_exhaustive]
pub struct RefusedLine {
    /// The number of the line; the first is 1.
    pub line: u64,
    /// The reason.
    #[source]
    pub fault: LineFault,
}

/// The reason why a line was not imported. The text repeats nothing of the line, so it contains no secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LineFault {
    /// The line is not a JSON object of the right form.
    #[error("it is not a key, a role, a tenant or an owner as JSON: look at column {column}")]
    Json {
        /// The column at which reading stopped.
        column: usize,
    },
    /// The line is of something other than a key, a role, a tenant or an owner. A newer version exported it.
    #[error("it is not of a key, a role, a tenant or an owner: a newer version exported it")]
    Kind,
    /// The line has a field that this version does not know, and that may restrict the key. A newer version exported
    /// it.
    #[error(
        "it has a field that this version does not know{}, and that may limit the key: import it with the version that exported it",
        of_name(name)
    )]
    Field {
        /// The name of the field, if it has the form of one: at most 32 small letters and underscores.
        name: Option<String>,
    },
    /// The line is longer than a key can be.
    #[error("it has more than {} bytes", MAX_LINE)]
    TooLong,
    /// The store has a key with this id.
    #[error("there is a key {0} already")]
    Exists(KeyId),
    /// The store has a role of this name, which is not the same.
    #[error(
        "there is a role {name:?} already, with other permissions or another description: put the one that you want"
    )]
    RoleHeld {
        /// The name of the role.
        name: String,
    },
    /// The store has a tenant of this name, which has other bounds, or has ended, or has keys without bounds.
    #[error(
        "there is a tenant {name:?} already, with other bounds, with keys and no bounds, or ended: put the bounds that you want"
    )]
    TenantHeld {
        /// The name of the tenant.
        name: String,
    },
    /// The store has an owner of this name, which has another quota, or keys without one.
    #[error(
        "there is an owner {} already, with another quota, or with keys and none: put the quota that you want",
        OwnerRef { tenant: tenant.as_deref(), name }
    )]
    OwnerHeld {
        /// The tenant of the owner; `None` for an owner of no tenant.
        tenant: Option<String>,
        /// The name of the owner.
        name: String,
    },
    /// The line is of a key with a role of which a line before it is refused.
    #[error("it has the role {name:?}, of which the line is refused")]
    RoleRefused {
        /// The name of the role.
        name: String,
    },
    /// The line is of a key of a tenant of which a line before it is refused.
    #[error("it is of the tenant {name:?}, of which the line is refused")]
    TenantRefused {
        /// The name of the tenant.
        name: String,
    },
    /// The line is of a key of an owner of which a line before it is refused.
    #[error("it is of the owner {}, of which the line is refused", OwnerRef { tenant: tenant.as_deref(), name })]
    OwnerRefused {
        /// The tenant of the owner; `None` for an owner of no tenant.
        tenant: Option<String>,
        /// The name of the owner.
        name: String,
    },
    /// The line is of a key with a role or a tenant of which no line before it is. One of them cannot be read.
    #[error("it has a role or a tenant, and a line before it that cannot be read may be the one that limits these")]
    Unread,
    /// The id does not have the form of a store's ids.
    #[error("its id is not a UUID of version 7 with a time in the past")]
    Id,
    /// A field is out of bounds, or another key has the digest.
    #[error(transparent)]
    Key(#[from] StoreError),
    /// A digest is under a pepper that the store does not have.
    #[error("its digest is under pepper {0}, which this store was not given")]
    Pepper(u32),
    /// The key, or a secret of it, has a prefix that the store does not accept.
    #[error("it has a prefix that is none of this store's: add it to prefixes")]
    Prefix,
    /// The secrets contradict each other or the key.
    #[error("its secrets do not fit together")]
    Secrets,
}

fn of_name(name: &Option<String>) -> String {
    name.as_ref().map_or_else(String::new, |name| format!(" ({name})"))
}

impl From<InvalidField> for LineFault {
    fn from(field: InvalidField) -> Self {
        Self::Key(field.into())
    }
}

/// The most bytes of a line.
pub(super) const MAX_LINE: usize = 128 * 1024;

/// The fault of a line whose digest another key has.
pub(super) fn digest_held(holder: u128) -> LineFault {
    LineFault::Key(StoreError::Conflict(Conflict::DigestHeld(Some(KeyId::from_u128(holder)))))
}
