//! What a node says that cannot work with its server.

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::{Ledger, LedgerError};
use apikey_engine::conformance::soon;
use apikey_postgres::Postgres;

use super::{chain, fresh, in_ms, node, pair, refusal_of, refused, shared};

#[test]
fn settings_that_are_not_allowed_are_an_error_of_the_first_call() {
    let of = |ledger: Postgres| refusal_of(&ledger);
    assert!(of(Postgres::new("host=db user=me").namespace("Acme")).contains("the namespace \"Acme\" is not allowed"));
    assert!(of(Postgres::new("user=me")).contains("no host"));
    assert!(of(Postgres::new("host=db sslmode=prefer")).contains("sslmode=prefer is not supported"));
    assert!(of(Postgres::new("host=db port=x")).contains("port"));
    assert!(of(Postgres::new("host=db password=a").password_file("/b")).contains("two passwords"));
    assert!(of(Postgres::new("host=db sslmode=disable").password_file("/not/there")).contains("/not/there"));
}

#[test]
fn a_password_is_in_no_text() {
    let ledger = Postgres::new(shared().connection() + " password=correct-horse").namespace("acme");
    let port = shared().connection().split_once("port=").unwrap().1.split_once(' ').unwrap().0.to_owned();
    assert_eq!(ledger.name(), format!("postgres 127.0.0.1:{port}/postgres, namespace acme"));
    assert!(!format!("{ledger:?}").contains("correct-horse"));
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let unknown = refusal_of(&Postgres::new("host=db.invalid user=me dbname=keys sslmode=disable"));
    assert!(unknown.starts_with("cannot connect to db.invalid:5432/keys: ") && unknown.contains("lookup"), "{unknown}");
    // Nothing listens on port 1.
    let silent = refusal_of(&Postgres::new("host=127.0.0.1 port=1 user=me dbname=keys sslmode=disable"));
    assert!(silent.contains("127.0.0.1:1/keys") && silent.contains("refused"), "{silent}");
}

#[test]
fn a_server_that_does_not_answer_is_refused_in_time() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ledger = Postgres::new(format!("host=127.0.0.1 port={port} user=me dbname=keys sslmode=disable"));
    let by = in_ms(300);
    assert!(refused(ledger.sight(1, by)).contains("does not answer in time"));
    assert!(std::time::Instant::now() >= by);
}

#[test]
fn a_password_is_checked_and_read_anew() {
    let access = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
    let server = Server::start(ServerConfig { access: Some(access), ..ServerConfig::default() });
    server.sql("CREATE ROLE me LOGIN PASSWORD 'right'");
    server.sql("GRANT CREATE ON SCHEMA public TO me");
    let connection = server.connection().replace("user=postgres", "user=me");
    let wrong = refusal_of(&Postgres::new(format!("{connection} password=wrong")).single());
    assert!(wrong.contains("refuses the password of the user me") && !wrong.contains("wrong"), "{wrong}");
    let none = refusal_of(&Postgres::new(&connection).single());
    assert!(none.contains("asks for a password of the user me"), "{none}");
    let file = server.write("password", "wrong\n");
    let ledger = Postgres::new(&connection).password_file(&file).single();
    assert!(refusal_of(&ledger).contains("refuses the password"));
    server.write("password", "right\n");
    ledger.sight(1, soon()).unwrap();
    let nobody = refusal_of(&Postgres::new(connection.replace("user=me", "user=nobody")).single());
    assert!(nobody.contains("nobody"), "{nobody}");
}

#[test]
fn a_database_that_is_not_there_is_named() {
    let missing = shared().connection().replace("dbname=postgres", "dbname=missing");
    let error = refusal_of(&Postgres::new(missing));
    assert!(error.contains("\"missing\" does not exist") && error.contains("3D000"), "{error}");
}

#[test]
fn too_many_connections_are_an_error_that_says_so() {
    let server = Server::start(ServerConfig {
        settings: "max_connections = 5\nsuperuser_reserved_connections = 0\nmax_wal_senders = 0",
        ..ServerConfig::default()
    });
    let ledgers: Vec<_> = (0..4).map(|_| Postgres::new(server.connection()).single()).collect();
    ledgers[0].sight(1, soon()).unwrap();
    // Each takes what it gets: two connections for its calls, and another one while the first is checked.
    for ledger in &ledgers {
        let _ = ledger.begin(1, &Default::default(), soon());
        let _ = ledger.sight(1, soon());
    }
    let error = refusal_of(&Postgres::new(server.connection()).single());
    assert!(error.contains("53300") && error.contains("max_connections"), "{error}");
}

#[test]
fn a_server_without_a_standby_needs_a_statement() {
    let server = Server::start(ServerConfig::default());
    let error = refusal_of(&Postgres::new(server.connection()));
    assert!(error.contains("synchronous_standby_names is empty") && error.contains("single()"), "{error}");
    Postgres::new(server.connection()).single().sight(1, soon()).unwrap();
    // Names of standbys that the server would not wait for.
    server.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    server.sql("ALTER SYSTEM SET max_wal_senders = 0");
    let server = server.restart();
    assert!(refusal_of(&Postgres::new(server.connection())).contains("synchronous_standby_names"));
}

#[test]
fn a_server_that_stops_waiting_for_standbys_is_no_ledger_any_more() {
    let (primary, _standby) = pair();
    let chain = chain(&primary.connection());
    chain.fill(0, &[1]);
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = ''");
    primary.sql("SELECT pg_reload_conf()");
    wait_for_setting(&primary, "");
    assert!(refused(chain.ledger.sight(1, soon())).contains("synchronous_standby_names is empty"));
    let written = chain.append([1; 16], super::at(1), super::at(2), b"");
    assert!(matches!(written, Err(LedgerError::Unknown { .. } | LedgerError::Refused { .. })), "{written:?}");
    let swapped = chain.ledger.swap(&apikey_core::cluster::CellName::meta(), None, Some(b"x"), soon());
    assert!(swapped.is_err(), "{swapped:?}");
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (standby)'");
    primary.sql("SELECT pg_reload_conf()");
    wait_for_setting(&primary, "ANY 1 (standby)");
    chain.ledger.sight(1, soon()).unwrap();
}

/// A session sees a new setting at its next statement; the others are no later than a new one.
fn wait_for_setting(server: &Server, value: &str) {
    super::wait_for(server, "SHOW synchronous_standby_names", value);
    std::thread::sleep(std::time::Duration::from_millis(300));
}

#[test]
fn a_standby_is_not_written_to() {
    let (primary, standby) = pair();
    let error = refusal_of(&Postgres::new(standby.connection()));
    assert!(error.contains("it is no primary"), "{error}");
    let both = format!(
        "host=127.0.0.1,127.0.0.1 port={},{} user=postgres dbname=postgres sslmode=disable",
        standby.port(),
        primary.port()
    );
    chain(&both).fill(0, &[1, 2]);
}

#[test]
fn a_pooler_in_transaction_mode_is_recognized() {
    let (primary, _standby) = pair();
    for pool_size in [1, 20] {
        let pooler = primary.pooler("transaction", pool_size);
        let error = refusal_of(&Postgres::new(pooler.connection()));
        assert!(error.contains("pool in session mode"), "{pool_size}: {error}");
    }
    // With sessions in its pool that other programs have used.
    let pooler = primary.pooler("transaction", 20);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| node(&pooler.connection()).sight(1, in_ms(5_000)).unwrap_err());
        }
    });
    for _ in 0..5 {
        let error = refusal_of(&Postgres::new(pooler.connection()));
        assert!(error.contains("pool in session mode"), "{error}");
    }
}

#[test]
fn a_pooler_in_session_mode_is_as_good_as_none() {
    let (primary, _standby) = pair();
    let pooler = primary.pooler("session", 20);
    chain(&pooler.connection()).fill(0, &[1, 2, 3]);
    assert_eq!(node(&pooler.connection()).wait(1, 2, soon()).unwrap(), apikey_core::cluster::Woken::Moved);
}

#[test]
fn the_size_of_the_database_is_seen_where_there_is_a_quota() {
    let namespace = fresh();
    let ledger = |ledger: Postgres| ledger.namespace(&namespace);
    assert_eq!(ledger(Postgres::new(shared().connection())).sight(1, soon()).unwrap().space, None);
    let space = ledger(Postgres::new(shared().connection()).quota(1 << 40)).sight(1, soon()).unwrap().space.unwrap();
    assert_eq!(space.quota, 1 << 40);
    assert!(space.used > 1_000_000);
}
