use std::time::Duration;

use apikey_core::cluster::{Identity, LedgerError, LedgerResult};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Error, SimpleQueryMessage, SimpleQueryRow};

use super::random::nonce;
use crate::failure::{Failure, Meaning, POOLED};
use crate::settings::Settings;

/// Why commits are not safe from a failure of the primary.
pub(super) const NO_STANDBYS: &str = "synchronous_standby_names is empty, so a failover could undo what is answered as \
    done: set it, or state with single() that this server has no standby that is ever promoted";

/// The oldest version of PostgreSQL that is supported.
const OLDEST: (i32, &str) = (140_000, "14");

/// Settings of a session. Deadlines are ours; only a wait for a lock ends on the server, where its end is an answer: it
/// was not done. The names of functions mean PostgreSQL's own.
const SESSION: &str = "SET statement_timeout = 0; SET lock_timeout = '2s'; SET idle_in_transaction_session_timeout = 0; \
    SET client_min_messages = 'warning'; SET search_path = pg_catalog; SET jit = off; SET bytea_output = 'hex'";

pub(super) async fn set_up(client: &Client) -> LedgerResult<()> {
    client.batch_execute(SESSION).await.map_err(refused)?;
    // Ends what waits for a lock when its client is gone. Not every system of a server can do that.
    let checked = client.batch_execute("SET client_connection_check_interval = '5s'").await;
    if let Err(error) = checked
        && error.code() != Some(&SqlState::INVALID_PARAMETER_VALUE)
    {
        return Err(refused(error));
    }
    Ok(())
}

/// How often [`is_direct`] looks. Where others use the pool at the same moment, a look may find by chance what direct
/// connections show; chance has to hold this often.
const LOOKS: usize = 8;

/// Whether two connections are two sessions. A pooler that gives each transaction another session mixes them: it gives
/// the second the one that the first has just used, and the first another one while the second is in a transaction.
pub(super) async fn is_direct(first: &Client, second: &Client) -> LedgerResult<()> {
    let looks = async {
        for _ in 0..LOOKS {
            let nonce = nonce().map_err(LedgerError::refused)?;
            if !are_two_sessions(first, second, &nonce).await.map_err(refused)? {
                return Err(LedgerError::refused(POOLED));
            }
        }
        Ok(())
    };
    // A pool of one session makes the first wait for the second.
    match tokio::time::timeout(Duration::from_secs(3), looks).await {
        Ok(answer) => answer,
        Err(_) => Err(LedgerError::refused(POOLED)),
    }
}

async fn are_two_sessions(first: &Client, second: &Client, nonce: &str) -> Result<bool, Error> {
    let mark = format!("SELECT pg_backend_pid(), set_config('apikey.session', '{nonce}', false)");
    let ask = "SELECT pg_backend_pid(), coalesce(current_setting('apikey.session', true), '')";
    let marked = simple_row(first, &mark).await?;
    second.batch_execute("BEGIN").await?;
    let other = simple_row(second, ask).await?;
    let again = simple_row(first, ask).await?;
    second.batch_execute("ROLLBACK").await?;
    Ok(marked.get(0) == again.get(0) && again.get(1) == Some(nonce) && other.get(0) != marked.get(0))
}

/// Which server it is, if it is one that a ledger can lie on.
pub(super) async fn server(client: &Client, settings: &Settings) -> LedgerResult<Identity> {
    let server = "SELECT current_setting('server_version_num'), current_setting('server_version'), \
        current_setting('synchronous_standby_names'), current_setting('max_wal_senders'), \
        current_setting('transaction_read_only'), current_setting('fsync'), current_setting('full_page_writes')";
    let row = simple_row(client, server).await.map_err(refused)?;
    let column = |index| row.get(index).unwrap_or_default();
    if column(0).parse::<i32>().is_ok_and(|version| version < OLDEST.0) {
        let what = format!("PostgreSQL {} is too old: it takes {} or newer", column(1), OLDEST.1);
        return Err(LedgerError::refused(what));
    }
    if column(4) == "on" {
        return Err(LedgerError::refused("the server is read-only: it is a standby, or has been made so"));
    }
    if !settings.single && (column(2).is_empty() || column(3) == "0") {
        return Err(LedgerError::refused(NO_STANDBYS));
    }
    if column(5) == "off" {
        tracing::warn!(server = settings.server(), "PostgreSQL has fsync = off: it loses data when its machine fails");
    }
    identity(client).await
}

pub(super) async fn identity(client: &Client) -> LedgerResult<Identity> {
    // The control file still has the earlier timeline for a while after a promotion, the name of a segment has it at once.
    let identity =
        "SELECT (pg_control_system()).system_identifier, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";
    let row = simple_row(client, identity).await.map_err(|error| match error.code() {
        Some(&SqlState::INSUFFICIENT_PRIVILEGE) => LedgerError::refused(
            "the role may not see which server this is: GRANT EXECUTE ON FUNCTION pg_control_system(), \
             pg_current_wal_insert_lsn(), pg_walfile_name(pg_lsn) TO it",
        ),
        _ => refused(error),
    })?;
    let timeline = row.get(1).and_then(|timeline| u64::from_str_radix(timeline, 16).ok());
    match (row.get(0), timeline) {
        (Some(system), Some(timeline)) => Ok(Identity { system: system.to_owned(), timeline }),
        _ => Err(LedgerError::refused("the server does not say which one it is")),
    }
}

/// The one row of a query as text, without a prepared statement.
pub(super) async fn simple_row(client: &Client, sql: &str) -> Result<SimpleQueryRow, Error> {
    loop {
        let messages = client.simple_query(sql).await?;
        for message in messages {
            if let SimpleQueryMessage::Row(row) = message {
                return Ok(row);
            }
        }
    }
}

/// While a connection is being made nothing has been done.
pub(super) fn refused(error: Error) -> LedgerError {
    match Failure::from(error).meaning() {
        Meaning::Again(error) | Meaning::Answer(error) | Meaning::Refused(error) | Meaning::Unknown(error) => {
            match error {
                LedgerError::Unknown { what } => LedgerError::refused(what),
                error => error,
            }
        }
    }
}
