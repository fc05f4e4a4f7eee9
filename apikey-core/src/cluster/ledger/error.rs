//! What goes wrong between a node and its ledger.

/// The result of a call to a ledger.
pub type LedgerResult<T> = Result<T, LedgerError>;

/// An error of a [`Ledger`](crate::cluster::ledger::Ledger). Its text has no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// The call was certainly not done: the engine cannot be reached, is not the primary, is full, or does not allow it.
    #[error("{what}")]
    Refused {
        /// What the engine said, or what is missing.
        what: String,
    },
    /// There was no answer in time, or the connection ended before one: the call may have been done, or may still be.
    #[error("no answer from the engine: {what}")]
    Unknown {
        /// What happened instead.
        what: String,
    },
    /// The engine holds something else: another cluster, another generation, or an earlier history.
    #[error("the engine is not the one of this replica: {what}")]
    Foreign {
        /// What is there instead.
        what: String,
    },
    /// The log no longer has the entry.
    #[error("the log begins after event {floor}")]
    BelowFloor {
        /// The number of the last event that the log no longer has.
        floor: u64,
    },
    /// What the engine holds does not decode, or does not fit together.
    #[error("the ledger is damaged: {what}")]
    Damaged {
        /// What is wrong.
        what: String,
    },
}

impl LedgerError {
    /// Creates a [`Refused`](Self::Refused).
    #[must_use]
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }

    /// Creates an [`Unknown`](Self::Unknown).
    #[must_use]
    pub fn unknown(what: impl Into<String>) -> Self {
        Self::Unknown { what: what.into() }
    }
}
