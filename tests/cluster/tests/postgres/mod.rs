//! PostgreSQL, with and without a standby.

mod failover;
mod opening;
mod operator;
mod roles;
mod server_lost;
mod set_back;
mod standby_away;
mod suite;
mod tls;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use apikey_cluster_tests::postgres::{Server, ServerConfig, Shared};
use apikey_core::cluster::{Entry, Ledger, LedgerError, LedgerResult, Position};
use apikey_engine::conformance::{Chain, op, soon};
use apikey_postgres::Postgres;

use crate::answers::{at, fresh, in_ms, refused, unknown};

/// The servers of this run: a primary with a standby, which no test disturbs.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared::start(env!("CARGO_BIN_EXE_keep-engine"), env!("CARGO_TARGET_TMPDIR")))
}

/// A primary and its standby, for one test to disturb.
fn pair() -> (Server, Server) {
    Server::start_with_standby(ServerConfig::default())
}

/// A node of the namespace `test`.
fn node(connection: &str) -> Arc<dyn Ledger> {
    Arc::new(Postgres::new(connection).namespace("test"))
}

/// The log of generation 1 in the namespace `test`.
fn chain(connection: &str) -> Chain {
    Chain::begin(&|| node(connection))
}

/// Why a server refuses a node.
#[track_caller]
fn refusal_of(ledger: &Postgres) -> String {
    refused(ledger.sight(1, soon()))
}

/// The same for a call that needs a connection first: on a machine that does much else it gets more time, until it was sent.
#[track_caller]
fn unknown_in_time<T: std::fmt::Debug>(call: impl Fn(Instant) -> LedgerResult<T>) -> String {
    let mut milliseconds = 600;
    loop {
        match call(in_ms(milliseconds)) {
            Err(LedgerError::Refused { .. }) if milliseconds < 60_000 => milliseconds *= 2,
            answer => return unknown(answer),
        }
    }
}

/// Waits until a query of the superuser's has this answer.
#[track_caller]
fn wait_for(server: &Server, sql: &str, answer: &str) {
    let end = soon();
    while server.sql(sql) != answer {
        assert!(Instant::now() < end, "{sql} is {}", server.sql(sql));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// How many sessions wait for the standby.
const WAIT_FOR_STANDBY: &str = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

/// Appends an entry while no standby answers, and ends the session that waits for one: the entry is there for all to see, and
/// nobody has acknowledged it.
fn make_visible(primary: &Server, number: u64) {
    let base = if number == 1 { Position::default() } else { at(number - 1) };
    let entry = Entry { generation: 1, op: op(), base, last: at(number), bytes: b"entry" };
    std::thread::scope(|scope| {
        let appended = scope.spawn(|| node(&primary.connection()).append(&entry, None, in_ms(5_000)));
        end_appends(primary);
        wait_for(primary, &format!("SELECT count(*) FROM apikey_log WHERE last = {number}"), "1");
        unknown(appended.join().unwrap());
    });
}

/// Waits until an append waits for a standby, and ends its session.
fn end_appends(primary: &Server) {
    let waiting = "FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND query LIKE '%apikey_log%'";
    wait_for(primary, &format!("SELECT count(*) > 0 {waiting}"), "t");
    primary.sql(&format!("SELECT pg_terminate_backend(pid) {waiting}"));
}

/// How to reach the servers of this run, and a namespace on them.
pub(crate) fn shared_namespace() -> (String, String) {
    (shared().connection(), fresh())
}
