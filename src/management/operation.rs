//! An operation, as data: how a request names it, what it takes, what it answers, and the function that carries it out. The
//! service and the document are both made from these.

use apikey_core::Need;

use super::call::{Answer, Call};
use super::parameter::{Body, Parameter};

/// An operation.
pub(super) struct Operation {
    /// Its name in the document.
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    /// The path below the mount: `/keys/{id}`.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) needs: Needs,
    pub(super) query: &'static [Parameter],
    pub(super) headers: &'static [Parameter],
    pub(super) body: Body,
    pub(super) success: &'static [Success],
    /// The errors of its own: a status, and the codes with it.
    pub(super) errors: &'static [(u16, &'static [&'static str])],
    pub(super) run: Run,
}

/// What a caller must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Not even a key.
    Nothing,
    Key(&'static Need),
    /// A key of no tenant.
    KeyOfNoTenant(&'static Need),
}

/// An answer to a request that succeeds.
pub(super) struct Success {
    pub(super) status: u16,
    /// The schema of the body; `None` for none.
    pub(super) schema: Option<&'static str>,
    /// Its header fields, besides those of every answer.
    pub(super) headers: &'static [&'static str],
}

/// The function, and the thread that it runs on.
pub(super) enum Run {
    /// On the caller's: it reads memory only.
    Here(fn(&Call) -> Answer),
    /// On one that may wait for the disk.
    Read(fn(&Call) -> Answer),
    /// On one whose changes are in force on this node when the function returns; the answer waits for the other nodes.
    Change(fn(&Call) -> Answer),
    /// The same for what takes something away, however long it has waited.
    Restrict(fn(&Call) -> Answer),
    /// On the caller's, from this table.
    List(Listed),
}

/// What is made from the table of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Listed {
    Document,
    Permissions,
}

impl Operation {
    /// Whether an answer has a secret.
    pub(super) fn shows_secret(&self) -> bool {
        self.success.iter().any(|success| success.schema == Some("KeyWithSecret"))
    }
}

impl Needs {
    /// The permission, for people and the document; `None` if any key will do.
    pub(super) fn permission(self) -> Option<&'static str> {
        match self {
            Self::Key(Need::Permission(permission)) | Self::KeyOfNoTenant(Need::Permission(permission)) => {
                Some(permission)
            }
            Self::Nothing | Self::Key(_) | Self::KeyOfNoTenant(_) => None,
        }
    }

    pub(super) fn need(self) -> Option<&'static Need> {
        match self {
            Self::Nothing => None,
            Self::Key(need) | Self::KeyOfNoTenant(need) => Some(need),
        }
    }
}
