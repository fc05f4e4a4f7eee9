//! What goes wrong in a call, and what it means: the table of the crate's documentation.

use std::error::Error as _;

use apikey_core::cluster::LedgerError;
use apikey_engine::with_sources;
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity, SqlState};

/// How a call failed, before it is known what that means.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A verdict of ours, on a connection that is as good as before.
    Verdict(LedgerError),
    /// PostgreSQL or the connection to it.
    Postgres(Error),
    /// A write was answered with a warning: it may not be on a standby.
    Warning(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Self::Verdict(error)
    }
}

/// What a failure means for a call that has been sent.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// The call was not done, for a reason that passes: another transaction was in its place.
    Again(LedgerError),
    /// An answer, on a connection that can be used on.
    Answer(LedgerError),
    /// Certainly not done, and the connection is of no more use.
    Refused(LedgerError),
    /// The connection is gone, or what came is no answer.
    Unknown(LedgerError),
}

impl Failure {
    pub(crate) fn meaning(self) -> Meaning {
        match self {
            Self::Verdict(error) => Meaning::Answer(error),
            Self::Warning(text) => {
                Meaning::Unknown(LedgerError::unknown(format!("PostgreSQL answered with a warning: {text}")))
            }
            Self::Postgres(error) => match error.as_db_error() {
                Some(answer) if is_verdict(answer) => of_answer(answer),
                Some(answer) => Meaning::Unknown(LedgerError::unknown(text(answer))),
                None => Meaning::Unknown(LedgerError::unknown(chain(&error))),
            },
        }
    }
}

/// Whether PostgreSQL has undone the statement, and says so: what ends a connection (`FATAL`, `PANIC`) may come after the
/// commit, while it waits for a standby.
fn is_verdict(answer: &DbError) -> bool {
    answer.parsed_severity() == Some(Severity::Error) && answer.code() != &SqlState::T_R_STATEMENT_COMPLETION_UNKNOWN
}

fn of_answer(answer: &DbError) -> Meaning {
    let refused = LedgerError::refused(text(answer));
    match *answer.code() {
        SqlState::T_R_SERIALIZATION_FAILURE | SqlState::T_R_DEADLOCK_DETECTED | SqlState::LOCK_NOT_AVAILABLE => {
            Meaning::Again(refused)
        }
        // No longer the primary; or the session has lost its statements, or the tables have changed under it.
        SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::INVALID_SQL_STATEMENT_NAME
        | SqlState::DUPLICATE_PSTATEMENT
        | SqlState::FEATURE_NOT_SUPPORTED
        | SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::IN_FAILED_SQL_TRANSACTION
        | SqlState::ACTIVE_SQL_TRANSACTION => Meaning::Refused(refused),
        _ => Meaning::Answer(refused),
    }
}

/// Says why there is no connection. Nothing of the call has been sent.
pub(crate) fn not_connected(error: &Error, server: &str, user: &str) -> LedgerError {
    let why = match error.as_db_error() {
        Some(answer) => match *answer.code() {
            SqlState::INVALID_PASSWORD => format!("PostgreSQL refuses the password of the user {user}"),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION if answer.message().contains("no encryption") => format!(
                "PostgreSQL lets the user {user} in only with TLS, if at all ({}): set sslmode=verify-full",
                answer.message()
            ),
            SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                format!("PostgreSQL does not let the user {user} in: {}", answer.message())
            }
            _ => text(answer),
        },
        None => {
            let chain = chain(error);
            if chain.contains("server does not support TLS") {
                "the server has no TLS, and the connection string asks for it: turn it on there (ssl = on), or set \
                 sslmode=disable for a network that you trust"
                    .to_owned()
            } else if chain.contains("password missing") {
                format!(
                    "PostgreSQL asks for a password of the user {user}, and there is none: password_file, PGPASSWORD"
                )
            } else if chain.contains("UnknownIssuer") {
                format!("{chain}: name the authority of the server's certificate with sslrootcert")
            } else if chain.contains("does not permit writes") || chain.contains("does not allow") {
                "it is no primary, but a standby or read-only".to_owned()
            } else {
                chain
            }
        }
    };
    LedgerError::refused(format!("cannot connect to {server}: {why}"))
}

/// What PostgreSQL says, and for what an operator meets, what to do. Without `DETAIL`, which may have values of rows.
fn text(answer: &DbError) -> String {
    let message = answer.message();
    let code = answer.code();
    let hint = match *code {
        SqlState::INVALID_CATALOG_NAME => "create the database, or name another with dbname",
        SqlState::INSUFFICIENT_PRIVILEGE => "the last lines at the top of schema.sql have the grants that a node needs",
        SqlState::TOO_MANY_CONNECTIONS => {
            "each node needs four connections, and a fifth at times: raise max_connections"
        }
        SqlState::DISK_FULL => "free space on the server",
        SqlState::UNDEFINED_TABLE => {
            "the tables are gone: run schema.sql, or connect anew as a role that may create them"
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => "the server is no longer the primary, or has been made read-only",
        SqlState::INVALID_SQL_STATEMENT_NAME | SqlState::DUPLICATE_PSTATEMENT => POOLED,
        _ => return format!("{message} (SQLSTATE {})", code.code()),
    };
    format!("{message} (SQLSTATE {}): {hint}", code.code())
}

/// For a pooler that gives each transaction another session.
pub(crate) const POOLED: &str = "between here and PostgreSQL is a pooler that gives each transaction another session: \
    connect directly, or through a pool in session mode";

/// An error with its sources. Those of `tokio_postgres` say only which step failed.
pub(crate) fn chain(error: &Error) -> String {
    with_sources(error.to_string(), error.source())
}
