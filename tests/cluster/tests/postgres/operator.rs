//! What an operator may meet, on stores that are nodes.

use std::time::{Duration, Instant};

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::{Cluster, Ledger, Woken};
use apikey_core::{AuthError, ClusterError, KeyFilter, KeyStore, NewKey, StoreError};
use apikey_engine::conformance::soon;
use apikey_postgres::Postgres;

use super::{at, chain, in_ms, pair, wait_for};

fn open(ledger: Postgres, name: &str) -> KeyStore {
    let cluster = Cluster::new(ledger).name(name).max_staleness(Duration::from_secs(5));
    KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(3))).temporary().unwrap()
}

#[track_caller]
fn wait_until(what: &str, is: impl Fn() -> bool) {
    let end = soon();
    while !is() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn large() -> NewKey {
    // PostgreSQL compresses values, and these do not shrink.
    let text =
        |from: u32| (0..28).map(|at| format!("{:08x}", (from + at).wrapping_mul(2_654_435_761))).collect::<String>();
    (0..30).fold(NewKey::for_owner("alice"), |key, at| key.metadata(format!("field{at}"), text(at * 100)))
}

/// The disk of the server is full: what gives is refused and says so, what takes is in force and waits, and nothing is lost.
#[test]
#[cfg(target_os = "linux")]
fn a_server_whose_disk_is_full_takes_no_keys_and_loses_no_revocation() {
    let server = Server::start(ServerConfig { disk_can_fill: true, ..ServerConfig::default() });
    let [one, two] = ["one", "two"].map(|name| open(Postgres::new(server.connection()).single(), name));
    let keys = one.create_many((0..200).map(|_| NewKey::for_owner("alice"))).unwrap();
    server.fill_disk();
    // Some fit into what the tables have left.
    let end = soon();
    let why = loop {
        match one.create(large()) {
            Err(error) => break error,
            Ok(_) => assert!(Instant::now() < end, "the disk does not fill"),
        }
    };
    let StoreError::Cluster(ClusterError::Refused { what }) = &why else { panic!("{why:?}") };
    assert!(what.contains("53100") && what.contains("free space on the server"), "{what}");
    let mut revoked = keys.iter();
    let only_here = loop {
        let key = revoked.next().expect("a revocation that does not fit");
        match one.revoke(key.info.id(), "leaked") {
            Ok(_) => assert_eq!(two.verify(key.key.expose_secret()).unwrap_err(), AuthError::Revoked),
            Err(StoreError::Cluster(ClusterError::OnlyHere { what, is_kept: true })) => {
                assert!(what.contains("53100"), "{what}");
                break key;
            }
            Err(other) => panic!("{other:?}"),
        }
    };
    let token = only_here.key.expose_secret();
    assert_eq!(one.verify(token).unwrap_err(), AuthError::Revoked);
    assert_eq!(one.health().cluster.unwrap().only_here, 1);
    server.free_disk();
    wait_until("the revocation is not made again", || one.health().cluster.unwrap().only_here == 0);
    wait_until("it does not hold on the other node", || two.verify(token).err() == Some(AuthError::Revoked));
    // What was refused is not there, and all goes on.
    let after = two.create(large()).unwrap();
    assert!(one.verify(after.key.expose_secret()).is_ok());
    for store in [&one, &two] {
        assert!(store.verify_events().unwrap().is_whole());
    }
}

/// Also where the write-ahead log has no room, which ends the server.
#[test]
#[cfg(target_os = "linux")]
fn a_server_that_ends_for_want_of_space_is_waited_for() {
    let mut server =
        Server::start(ServerConfig { disk_can_fill: true, settings: "min_wal_size = 32MB", ..ServerConfig::default() });
    let store = open(Postgres::new(server.connection()).single(), "one");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    server.fill_disk();
    // Until a new file of the log is needed, which is not there.
    let switch = "SELECT pg_switch_wal() FROM pg_logical_emit_message(false, 'apikey', 'full')";
    while server.can_run(switch) {}
    let refused = store.create(NewKey::for_owner("bob")).unwrap_err();
    assert!(matches!(refused, StoreError::Cluster(_)), "{refused:?}");
    let revoked = store.revoke(key.info.id(), "leaked").unwrap_err();
    assert!(matches!(revoked, StoreError::Cluster(ClusterError::OnlyHere { is_kept: true, .. })), "{revoked:?}");
    assert_ne!(store.verify(key.key.expose_secret()).err(), None);
    server.free_disk();
    server.kill();
    server.start_again(Some(server.port()));
    wait_until("the revocation is not made again", || store.health().cluster.unwrap().only_here == 0);
    let after = store.create(NewKey::for_owner("bob")).unwrap();
    assert!(store.verify(after.key.expose_secret()).is_ok());
    assert_eq!(store.verify(key.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(store.verify_events().unwrap().is_whole());
}

/// A standby that commits do not wait for counts for nothing.
#[test]
fn with_an_asynchronous_standby_alone_nothing_is_done() {
    let (primary, _standby) = pair();
    let chain = chain(&primary.connection());
    primary.sql("ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (elsewhere)'");
    primary.sql("SELECT pg_reload_conf()");
    wait_for(&primary, "SELECT sync_state FROM pg_stat_replication", "async");
    assert!(chain.ledger.sight(1, in_ms(500)).is_err());
    let op = [9; 16];
    let entry =
        apikey_core::cluster::Entry { generation: 1, op, base: Default::default(), last: at(1), bytes: b"entry" };
    assert!(chain.ledger.append(&entry, None, in_ms(1_500)).is_err());
    primary.wait_for_standbys();
    assert_eq!(chain.append(op, Default::default(), at(1), b"entry").unwrap(), apikey_core::cluster::Appended::Here);
    assert_eq!(chain.follow(0).len(), 1);
}

/// The role may not notify, or the queue of notifications is full: nodes read the head every 250 ms.
#[test]
fn a_node_learns_of_an_append_also_where_notifications_fail() {
    let server = Server::start(ServerConfig::default());
    server.sql("CREATE ROLE apikey LOGIN");
    server.sql("GRANT CREATE ON SCHEMA public TO apikey");
    server.sql("REVOKE EXECUTE ON FUNCTION pg_notify(text, text) FROM PUBLIC");
    let connection = server.connection().replace("user=postgres", "user=apikey");
    let ledger = || Postgres::new(&connection).namespace("test").single();
    let (waits, writes) = (ledger(), ledger());
    assert!(writes.begin(1, &Default::default(), soon()).unwrap());
    let waited = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let follows = scope.spawn(|| {
            while waits.read(1, 0, 1, soon()).unwrap().is_empty() {
                waited.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                // A wait that nothing wakes ends with its time.
                assert_eq!(waits.wait(1, 0, soon()).unwrap(), Woken::Moved);
            }
        });
        // The first wait ends once the connection is there: what came before may have been missed.
        wait_until("it does not listen", || {
            waited.load(std::sync::atomic::Ordering::SeqCst) > 1 || follows.is_finished()
        });
        std::thread::sleep(Duration::from_millis(300));
        let entry = apikey_core::cluster::Entry {
            generation: 1,
            op: [1; 16],
            base: Default::default(),
            last: at(1),
            bytes: b"entry",
        };
        writes.append(&entry, None, soon()).unwrap();
        follows.join().unwrap();
    });
}

/// A change whose wait for the standby somebody cancels has the answer of PostgreSQL, with a warning, and is not done.
#[test]
fn a_change_that_an_operator_cancels_is_never_answered_as_done() {
    let (primary, standby) = pair();
    let [one, two] = ["one", "two"].map(|name| open(Postgres::new(primary.connection()).namespace("test"), name));
    let key = one.create(NewKey::for_owner("alice")).unwrap();
    for end in ["pg_cancel_backend", "pg_terminate_backend"] {
        standby.pause();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let created = std::thread::scope(|scope| {
            // Again and again, as the node tries again and again.
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    primary.sql(&format!("SELECT {end}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"));
                }
            });
            let created = one.create(NewKey::for_owner("bob").name(end));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            created
        });
        let most = match created {
            Err(StoreError::Cluster(ClusterError::Unknown { .. })) => 1,
            // It was never sent.
            Err(StoreError::Cluster(ClusterError::Refused { .. })) => 0,
            other => panic!("{end}: {other:?}"),
        };
        standby.resume();
        // It is in once, or not at all: the next change finds out.
        let by = soon();
        while let Err(error) = two.create(NewKey::for_owner("carol")) {
            assert!(Instant::now() < by, "{error}");
        }
        while let Err(error) = one.create(NewKey::for_owner("carol")) {
            assert!(Instant::now() < by, "{error}");
        }
        let keys = one.list(&KeyFilter::owner("bob")).unwrap().keys;
        let created = keys.iter().filter(|key| key.name() == Some(end)).count();
        assert!(created <= most, "{end}: {created} keys, and at most {most} may be there");
    }
    one.revoke(key.info.id(), "left").unwrap();
    assert_eq!(two.verify(key.key.expose_secret()).unwrap_err(), AuthError::Revoked);
    assert!(two.verify_events().unwrap().is_whole());
}

/// Other programs have all connections: the node says so, serves for its bound, and goes on once it gets one.
#[test]
fn a_node_that_gets_no_connection_refuses_after_the_bound_and_comes_back() {
    let server = Server::start(ServerConfig::default());
    server.sql("CREATE ROLE apikey LOGIN");
    server.sql("GRANT CREATE ON SCHEMA public TO apikey");
    let connection = server.connection().replace("user=postgres", "user=apikey");
    let store = open(Postgres::new(connection).single(), "one");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    let token = key.key.expose_secret();
    server.sql("ALTER ROLE apikey CONNECTION LIMIT 0");
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'apikey'");
    wait_until("it serves on", || store.verify(token).err() == Some(AuthError::Unavailable));
    assert!(!store.is_ready());
    let says = || store.health().cluster.unwrap().engine_error.unwrap_or_default();
    wait_until("it does not say why", || says().contains("53300") && says().contains("max_connections"));
    server.sql("ALTER ROLE apikey CONNECTION LIMIT -1");
    wait_until("it does not come back", || store.verify(token).is_ok());
    assert!(store.create(NewKey::for_owner("alice")).is_ok());
}
