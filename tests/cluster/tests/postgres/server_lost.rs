//! A server that restarts, ends sessions, or becomes read-only.

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::{Appended, Ledger, Position, Woken};
use apikey_engine::conformance::{op, soon};
use apikey_postgres::Postgres;

use super::{at, in_ms, refused, wait_for};

fn single(server: &Server) -> Postgres {
    Postgres::new(server.connection()).namespace("test").single()
}

fn append(ledger: &Postgres, number: u64) -> apikey_core::cluster::LedgerResult<Appended> {
    let base = if number == 1 { Position::default() } else { at(number - 1) };
    let entry = apikey_core::cluster::Entry { generation: 1, op: op(), base, last: at(number), bytes: b"entry" };
    ledger.append(&entry, None, soon())
}

#[test]
fn a_restart_costs_nothing_but_time() {
    let server = Server::start(ServerConfig { durable: true, ..ServerConfig::default() });
    let ledger = single(&server);
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    let before = ledger.sight(1, soon()).unwrap();
    assert_eq!(append(&ledger, 1).unwrap(), Appended::Here);
    let server = server.restart();
    // It sees at once that its connection is gone, and makes another.
    assert_eq!(append(&ledger, 2).unwrap(), Appended::Here);
    assert_eq!(ledger.read(1, 0, 1 << 20, soon()).unwrap().len(), 2);
    let after = ledger.sight(1, soon()).unwrap();
    assert_eq!((after.head, after.identity), (Some(at(2)), before.identity));
    drop(server);
    let gone = refused(ledger.sight(1, in_ms(2_000)));
    assert!(gone.contains("cannot connect to 127.0.0.1:"), "{gone}");
}

#[test]
fn sessions_that_an_operator_ends_are_made_anew() {
    let server = Server::start(ServerConfig::default());
    let (ledger, other) = (single(&server), single(&server));
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    for number in 1..=5 {
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'");
        assert_eq!(append(&ledger, number).unwrap(), Appended::Here);
        assert_eq!(other.sight(1, soon()).unwrap().head, Some(at(number)));
    }
}

/// Nothing of what follows an append can make it one that was refused.
#[test]
fn an_append_is_done_also_if_its_notification_cannot_be_prepared() {
    let server = Server::start(ServerConfig::default());
    let ledger = single(&server);
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    server.sql("ALTER FUNCTION pg_catalog.pg_notify(text, text) RENAME TO pg_notify_away");
    for number in 1..=2 {
        assert_eq!(append(&ledger, number).unwrap(), Appended::Here);
        assert_eq!(ledger.sight(1, soon()).unwrap().head, Some(at(number)));
    }
    server.sql("ALTER FUNCTION pg_catalog.pg_notify_away(text, text) RENAME TO pg_notify");
    assert_eq!(append(&ledger, 3).unwrap(), Appended::Here);
}

#[test]
fn a_node_that_waits_listens_again() {
    let server = Server::start(ServerConfig::default());
    let (ledger, writer) = (single(&server), single(&server));
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut after = 0;
            while after < 6 {
                assert_eq!(ledger.wait(1, after, soon()).unwrap(), Woken::Moved);
                let read = ledger.read(1, after, 1 << 20, soon()).unwrap();
                after = read.last().map_or(after, |entry| entry.last.number);
            }
        });
        let listens = "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'NOTIFY apikey_test%' OR query LIKE '%apikey_head%'";
        wait_for(&server, listens, "t");
        for number in 1..=6 {
            if number % 2 == 0 {
                server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'apikey'");
            }
            assert_eq!(append(&writer, number).unwrap(), Appended::Here);
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
        waits.join().unwrap();
    });
}

#[test]
fn a_server_that_becomes_read_only_refuses() {
    let server = Server::start(ServerConfig::default());
    let ledger = single(&server);
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    server.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    server.sql("SELECT pg_reload_conf()");
    wait_for(&server, "SHOW default_transaction_read_only", "on");
    std::thread::sleep(std::time::Duration::from_millis(300));
    let error = refused(append(&ledger, 1));
    assert!(error.contains("25006") && error.contains("no longer the primary"), "{error}");
    let error = refused(append(&ledger, 1));
    assert!(error.contains("it is no primary"), "{error}");
    let writable = "SET default_transaction_read_only = off";
    server.sql_from("postgres", &["-c", writable, "-c", "ALTER SYSTEM RESET default_transaction_read_only"]);
    server.sql("SELECT pg_reload_conf()");
    wait_for(&server, "SHOW default_transaction_read_only", "off");
    assert_eq!(append(&ledger, 1).unwrap(), Appended::Here);
}

/// What does not fit together is found, and not passed on.
#[test]
fn tables_that_somebody_has_changed_are_damage() {
    let server = Server::start(ServerConfig::default());
    let ledger = single(&server);
    assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
    for number in 1..=3 {
        append(&ledger, number).unwrap();
    }
    let damaged = |answer: apikey_core::cluster::LedgerResult<usize>| {
        assert!(matches!(answer, Err(apikey_core::cluster::LedgerError::Damaged { .. })), "{answer:?}");
    };
    server.sql("DELETE FROM apikey_log WHERE last = 2");
    damaged(ledger.read(1, 0, 1 << 20, soon()).map(|log| log.len()));
    damaged(ledger.read(1, 1, 1 << 20, soon()).map(|log| log.len()));
    server.sql("UPDATE apikey_head SET digest = 'short'");
    damaged(ledger.sight(1, soon()).map(|_| 0));
}

#[test]
fn a_ledger_works_inside_of_a_runtime_of_its_caller() {
    let server = Server::start(ServerConfig::default());
    let ledger = single(&server);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        assert!(ledger.begin(1, &Position::default(), soon()).unwrap());
        assert_eq!(append(&ledger, 1).unwrap(), Appended::Here);
        assert_eq!(ledger.wait(1, 0, soon()).unwrap(), Woken::Moved);
        drop(ledger);
    });
}
