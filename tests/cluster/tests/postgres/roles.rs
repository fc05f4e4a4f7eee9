//! Roles: one that creates the tables, one that uses them, and one with settings of its own.

use std::sync::Arc;

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::Ledger;
use apikey_engine::conformance;
use apikey_engine::conformance::{Chain, soon};
use apikey_postgres::Postgres;

use super::{fresh, pair, refusal_of};

const SCHEMA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../apikey-postgres/schema.sql");

/// The grants that the file shows.
fn grants() -> Vec<String> {
    let text = std::fs::read_to_string(SCHEMA).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("--   ")).filter(|line| line.starts_with("GRANT"));
    let grants: Vec<_> = lines.map(str::to_owned).collect();
    assert_eq!(grants.len(), 3);
    grants
}

fn as_role(server: &Server, role: &str) -> String {
    server.connection().replace("user=postgres", &format!("user={role}"))
}

#[test]
fn tables_are_made_by_one_role_and_used_by_another() {
    let server = Server::start(ServerConfig::default());
    server.sql("CREATE ROLE apikey LOGIN");
    server.sql("CREATE ROLE owner LOGIN");
    server.sql("GRANT CREATE ON SCHEMA public TO owner");
    let connection = as_role(&server, "apikey");
    let nodes = || -> Arc<dyn Ledger> { Arc::new(Postgres::new(&connection).single()) };
    let error = refusal_of(&Postgres::new(&connection).single());
    assert!(error.contains("may not create them in the schema public") && error.contains("schema.sql"), "{error}");
    let file = std::fs::read_to_string(SCHEMA).unwrap();
    let file = server.write("schema.sql", &file);
    server.sql_from("owner", &["--single-transaction", "-c", "SET search_path = public", "-f", file.to_str().unwrap()]);
    let error = refusal_of(&Postgres::new(&connection).single());
    assert!(error.contains("permission denied for table apikey_version") && error.contains("42501"), "{error}");
    for grant in grants() {
        server.sql_from("owner", &["-c", &grant]);
    }
    // All that a node does.
    conformance::look_has_all_that_there_is(&nodes);
    let two = || -> Arc<dyn Ledger> { Arc::new(Postgres::new(&connection).namespace("two").single()) };
    conformance::advance_writes_replaces_and_deletes(&two);
    let three = || -> Arc<dyn Ledger> { Arc::new(Postgres::new(&connection).namespace("three").single()) };
    conformance::append_needs_its_fence(&three);
    let four = || -> Arc<dyn Ledger> { Arc::new(Postgres::new(&connection).namespace("four").single()) };
    conformance::generations_have_sums_of_their_own(&four);
}

#[test]
fn the_first_node_makes_the_schema_too() {
    let server = Server::start(ServerConfig::default());
    server.sql("CREATE ROLE apikey LOGIN");
    server.sql("GRANT CREATE ON DATABASE postgres TO apikey");
    let connection = as_role(&server, "apikey");
    // A name that needs its quotes, for several nodes at once.
    let name = "of \"keys\" \\ it's";
    std::thread::scope(|scope| {
        for number in 0..6 {
            let ledger = Postgres::new(&connection).schema(name).namespace(format!("n{number}")).single();
            scope.spawn(move || assert!(ledger.begin(1, &Default::default(), soon()).unwrap()));
        }
    });
    let made = "SELECT string_agg(DISTINCT nspname, ',') FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace \
        WHERE relname LIKE 'apikey%' AND relkind = 'r'";
    assert_eq!(server.sql(made), name);
    assert_eq!(server.sql("SELECT count(*) FROM \"of \"\"keys\"\" \\ it's\".apikey_head"), "6");
}

#[test]
fn tables_of_another_version_are_refused() {
    let server = Server::start(ServerConfig::default());
    Postgres::new(server.connection()).single().sight(1, soon()).unwrap();
    server.sql("UPDATE apikey_version SET version = 2");
    let error = refusal_of(&Postgres::new(server.connection()).single());
    assert!(error.contains("have version 2, and this release works with version 1"), "{error}");
}

/// What a role, a database or the configuration set must not weaken a promise.
#[test]
fn the_settings_of_a_role_change_nothing() {
    let (primary, standby) = pair();
    primary.sql("CREATE ROLE apikey LOGIN");
    primary.sql("GRANT CREATE ON SCHEMA public TO apikey");
    for setting in [
        "synchronous_commit = off",
        "client_min_messages = error",
        "default_transaction_isolation = serializable",
        "default_transaction_deferrable = on",
        "statement_timeout = 50",
        "lock_timeout = 1",
        "idle_in_transaction_session_timeout = 50",
        "bytea_output = escape",
        "search_path = nowhere",
        "timezone = 'Asia/Kathmandu'",
    ] {
        primary.sql(&format!("ALTER ROLE apikey SET {setting}"));
    }
    let connection = as_role(&primary, "apikey");
    let suite: [fn(conformance::Nodes<'_>); 9] = [
        conformance::sixteen_writers_lose_nothing,
        conformance::load_is_of_one_moment,
        conformance::a_writer_and_a_node_that_registers_do_not_miss_each_other,
        conformance::append_needs_its_fence,
        conformance::look_has_all_that_there_is,
        conformance::wait_wakes,
        conformance::tallies_begin_as_asked_for,
        conformance::tallies_are_of_one_moment,
        conformance::threads_that_reserve_lose_no_update,
    ];
    for promise in suite {
        let namespace = fresh();
        promise(&|| Arc::new(Postgres::new(&connection).namespace(&namespace)));
    }
    let namespace = fresh();
    let chain = Chain::begin(&|| Arc::new(Postgres::new(&connection).namespace(&namespace)));
    standby.pause();
    let entry = apikey_core::cluster::Entry {
        generation: 1,
        op: [1; 16],
        base: Default::default(),
        last: super::at(1),
        bytes: b"",
    };
    super::unknown(chain.ledger.append(&entry, None, super::in_ms(500)));
    standby.resume();
}
