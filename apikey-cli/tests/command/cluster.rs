//! The command beside a cluster, with a PostgreSQL of its own.

use std::path::Path;
use std::time::Duration;

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::Cluster;
use apikey_core::{AuthError, KeyStore, KeyStoreBuilder, NewKey};
use apikey_postgres::Postgres;
use apikey_testkit::wait_until;

use super::{Done, Place};

/// A server, and how a namespace in it is named.
struct Engine {
    server: Server,
    namespace: &'static str,
}

impl Engine {
    fn start(namespace: &'static str) -> Self {
        let access = "host all apikey 127.0.0.1/32 scram-sha-256\nhost all postgres 127.0.0.1/32 trust\n";
        let server = Server::start(ServerConfig { access: Some(access), ..ServerConfig::default() });
        Self { server, namespace }
    }

    fn connection(&self) -> String {
        self.server.connection()
    }

    /// The command with this engine.
    fn run(&self, place: &Place, arguments: &[&str]) -> Done {
        self.run_as(place, &self.connection(), arguments)
    }

    fn run_as(&self, place: &Place, connection: &str, arguments: &[&str]) -> Done {
        let engine = ["--postgres", connection, "--namespace", self.namespace, "--single"];
        place.run(&[&["cluster"], arguments, &engine].concat())
    }

    fn node(&self, name: &str, directory: &Path) -> KeyStore {
        self.builder(name).open(directory).unwrap()
    }

    fn builder(&self, name: &str) -> KeyStoreBuilder {
        let engine = Postgres::new(self.connection()).namespace(self.namespace).single();
        let cluster = Cluster::new(engine).name(name).max_staleness(Duration::from_secs(5));
        KeyStore::builder().cluster(cluster).admin_socket(true)
    }
}

fn document(done: &Done) -> serde_json::Value {
    serde_json::from_str(&done.out).unwrap_or_else(|error| panic!("{error}: {done:?}"))
}

#[test]
fn a_store_becomes_a_cluster_and_the_command_sees_its_nodes() {
    let engine = Engine::start("acme");
    let (place, admin) = Place::with_store();
    engine.run(&place, &["status"]).with(6).says("there is no cluster in this namespace");
    place.run(&["cluster", "status"]).with(4).says("this store is no node of a cluster");
    place.run(&["cluster", "leave"]).with(4).says("no node of a cluster");
    engine.run(&place, &["found", "--from", "nowhere.db"]).with(6).says("there is no key store");
    engine.run(&place, &["found", "--from", "keys.db", "--max-staleness", "1s"]).with(2).says("5s to 1h");
    let found = engine.run(&place, &["found", "--from", "keys.db", "--max-staleness", "5s"]).ok();
    let found = found.shows("a cluster of 1 key is in postgres 127.0.0.1").shows("namespace acme");
    found.says("keys.db is a replica of it now").says("apikey cluster status");
    engine.run(&place, &["found", "--from", "keys.db"]).with(4).says("has a cluster already");

    // Nothing opens a replica but its service.
    for arguments in [&["list"][..], &["create", "eve"], &["doctor"], &["cluster", "status"]] {
        place.run(arguments).with(6).says("keys.db is a replica of a cluster").says("works through its socket");
    }

    let one = engine.node("one", &place.path("keys.db"));
    let two = engine.node("two", &place.path("two.db"));
    let made = place.run(&["create", "alice"]).ok();
    let token = made.out.trim();
    assert!(two.verify(token).is_ok() && two.verify(&admin).is_ok());
    let names = |document: &serde_json::Value| -> Vec<String> {
        let nodes = document["nodes"].as_array().unwrap();
        nodes.iter().map(|node| node["name"].as_str().unwrap().to_owned()).collect()
    };
    // A node sees another one within a second or two.
    let seen = || document(&place.run(&["--json", "cluster", "status"]).ok());
    wait_until("the node sees both nodes, and both have the key", || {
        let seen = seen();
        names(&seen) == ["one", "two"] && seen["nodes"].as_array().unwrap().iter().all(|node| node["lag"] == 0)
    });
    let seen = seen();
    assert_eq!(
        (&seen["seen_by"], &seen["ready"], &seen["good"]),
        (&"one".into(), &true.into(), &true.into()),
        "{seen}"
    );
    assert_eq!((&seen["applied"], &seen["max_staleness_ms"]), (&2.into(), &5000.into()), "{seen}");
    let status = place.run(&["cluster", "status"]).ok();
    status.shows("one, which serves").shows("postgres 127.0.0.1").shows("event 2 of 2").shows("NODE").shows("listed");

    // From the engine, also where there is no node.
    let elsewhere = Place::new();
    let status = engine.run(&elsewhere, &["status", "--json"]).ok();
    let status = document(&status);
    assert_eq!(
        (names(&status), &status["head"], &status["generation"]),
        (vec!["one".into(), "two".into()], &2.into(), &1.into())
    );
    engine.run(&elsewhere, &["status"]).ok().shows("generation").shows("two");

    let left = place.run(&["cluster", "leave"]).ok();
    left.shows("one has left the cluster: it refuses every key");
    assert_eq!(one.verify(token).unwrap_err(), AuthError::Unavailable);
    assert!(two.verify(token).is_ok());
    place.run(&["cluster", "status"]).with(1).shows("one, which refuses every key").shows("has left the cluster");
    place.run(&["create", "late"]).with(7).says("has left the cluster");
    let status = document(&engine.run(&elsewhere, &["status", "--json"]).ok());
    assert_eq!(names(&status), ["two"]);
    let begun = std::time::Instant::now();
    let id = two.verify(token).unwrap().id();
    two.revoke(id, "leaked").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "it waited for a node that has left");
    // Started again, it is a node again.
    one.close().unwrap();
    let one = engine.node("one", &place.path("keys.db"));
    assert_eq!(one.verify(token).unwrap_err(), AuthError::Revoked);
    place.run(&["cluster", "status"]).ok().shows("one, which serves");
}

#[test]
fn usage_says_which_nodes_have_counted() {
    let engine = Engine::start("acme");
    let place = Place::new();
    let open = |name: &str, directory: &str| engine.builder(name).count_use(true).open(place.path(directory)).unwrap();
    let (one, two) = (open("one", "keys.db"), open("two", "two.db"));
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    for store in [&one, &two, &two] {
        store.verify(created.key.expose_secret()).unwrap();
    }
    // It makes known what it has counted.
    two.close().unwrap();
    let id = created.info.id().to_string();
    let usage = |arguments: &[&str]| place.run(&[&["usage"], arguments].concat()).ok();
    usage(&["--owner", "alice"]).shows("uses              3").shows("counted by        all nodes");
    usage(&[&id]).shows("uses              1").shows("counted by        this node alone");
    usage(&["--step", "minute"]).shows("counted by        this node alone").hides("did not answer");
    usage(&["--most-used"]).says("uses on this node alone");
    let covers = |arguments: &[&str]| document(&usage(arguments))["covers"].clone();
    assert_eq!(
        [&["--json"][..], &["--json", &id], &["--json", "--most-used"]].map(covers),
        ["all_nodes", "this_node", "this_node"]
    );
    drop(engine.server);
    usage(&[]).shows("counted by        this node alone").says("what the other nodes have counted is missing");
}

#[test]
fn a_backup_replaces_the_keys_of_a_cluster() {
    let engine = Engine::start("acme");
    let place = Place::new();
    let created = |store: &KeyStore| {
        let created = store.create(NewKey::for_owner("alice")).unwrap();
        (created.info.id(), created.key.expose_secret().to_owned())
    };
    let one = engine.node("one", &place.path("keys.db"));
    let ((id, leaked), (_, kept)) = (created(&one), created(&one));
    place.run(&["backup", "keys.backup"]).ok();
    let elsewhere = Engine { server: engine.server, namespace: "other" };
    elsewhere
        .run(&place, &["restore", "keys.backup", "--yes"])
        .with(6)
        .says("has no cluster whose keys could be replaced");
    let engine = Engine { server: elsewhere.server, namespace: "acme" };
    engine.run(&place, &["restore", "keys.db/lock", "--yes"]).with(6);
    one.revoke(id, "leaked").unwrap();
    let (_, late) = created(&one);

    let asked = engine.run(&place, &["restore", "keys.backup"]).with(2);
    let asked = asked.says("2 events after it are lost").says("What was revoked, disabled or narrowed since stays so");
    asked.says("at event 2, and the log is at event 4").says("give --yes");
    assert!(one.verify(&late).is_ok());
    // Not 0, since a key of the cluster is not in the backup.
    let done = engine.run(&place, &["restore", "keys.backup", "--yes"]).with(1);
    done.shows("restored into").says("restart them all");
    wait_until("the node refuses every key", || one.verify(&kept).is_err_and(|error| error == AuthError::Unavailable));
    one.close().unwrap();
    let one = engine.node("one", &place.path("keys.db"));
    assert!(one.verify(&kept).is_ok());
    assert_eq!(one.verify(&leaked).unwrap_err(), AuthError::Revoked, "what was revoked stays so");
    assert_eq!(one.verify(&late).unwrap_err(), AuthError::Invalid);

    // The one number of a cluster changes with its keys.
    let staleness = || document(&engine.run(&place, &["status", "--json"]))["max_staleness_ms"].clone();
    let before = staleness();
    for wrong in ["4s", "61m", "soon"] {
        let refused = engine.run(&place, &["restore", "keys.backup", "--yes", "--max-staleness", wrong]).with(2);
        refused.says("a span from 5s to 1h is expected");
    }
    assert_eq!(staleness(), before);
    let longer = ["restore", "keys.backup", "--old-is-gone", "--yes", "--json", "--max-staleness", "7s"];
    let gone = engine.run(&place, &longer).ok();
    assert_eq!(staleness(), 7000);
    let gone = gone.says("KEYS THAT WERE REVOKED SINCE BECOME VALID AGAIN");
    assert_eq!((&document(&gone)["keys"], &document(&gone)["generation"]), (&2.into(), &3.into()));
    one.close().unwrap();
    let one = engine.node("one", &place.path("keys.db"));
    assert!(one.verify(&leaked).is_ok());
    // A restore that was cut off leaves the cluster sealed; the next one reads what was revoked all the same.
    one.revoke(id, "leaked again").unwrap();
    one.close().unwrap();
    let mut command =
        place.command(&["cluster", "restore", "keys.backup", "--yes", "--postgres", &engine.connection()]);
    let mut cut_off = command
        .args(["--namespace", "acme", "--single", "--max-staleness", "6s"])
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the cluster is sealed", || document(&engine.run(&place, &["status", "--json"]))["replacing"] == true);
    cut_off.kill().unwrap();
    cut_off.wait().unwrap();
    engine.run(&place, &["status"]).with(1).shows("run `apikey cluster restore` again");
    assert_eq!(staleness(), 7000, "nodes of the former keys may still serve that long");
    engine.run(&place, &["restore", "keys.backup", "--yes", "--max-staleness", "6s"]);
    assert_eq!(staleness(), 6000);
    let one = engine.node("one", &place.path("keys.db"));
    assert_eq!(one.verify(&leaked).unwrap_err(), AuthError::Revoked);
    // Out of the cluster: a backup of any node is a store of its own.
    place.run(&["backup", "keys.backup"]).ok();
    place.run(&["restore", "keys.backup", "--into", "own.db", "--old-is-gone"]).ok();
    let own = KeyStore::open(place.path("own.db")).unwrap();
    assert!(own.verify(&kept).is_ok() && own.verify(&leaked).is_err() && own.health().cluster.is_none());
}

#[test]
fn an_engine_that_cannot_be_used_is_named_and_no_password_is_shown() {
    let engine = Engine::start("acme");
    engine.server.sql("CREATE ROLE apikey LOGIN PASSWORD 'correct-horse'; GRANT CREATE ON SCHEMA public TO apikey");
    let place = Place::new();
    place.run(&["init"]).ok();
    place.run(&["cluster", "found", "--from", "keys.db"]).with(2).says("--postgres").says("APIKEY_POSTGRES");
    // Without --single, and without a standby.
    let connection = engine.connection();
    let alone = place.run(&["cluster", "status", "--postgres", &connection]).with(7);
    alone.says("synchronous_standby_names");
    let nowhere = "host=127.0.0.1 port=1 user=apikey dbname=postgres sslmode=disable";
    engine.run_as(&place, nowhere, &["status"]).with(7).says("127.0.0.1:1");
    let fault = place.run(&["cluster", "status", "--postgres", &connection, "--namespace", "Acme"]).with(7);
    fault.says("\"Acme\" is not allowed");

    let connection = connection.replace("user=postgres", "user=apikey");
    let typed = |password: &str, arguments: &[&str]| {
        let done = engine.run_as(&place, &format!("{connection} password={password}"), arguments);
        done.says("can be seen by other users").hides(password)
    };
    typed("wrong-horse", &["found", "--from", "keys.db"]).with(7);
    typed("correct-horse", &["status"]).with(6);
    // Neither help nor errors repeat what the environment has.
    let secret = format!("{connection} password=correct-horse");
    for arguments in [&["cluster", "found", "--help"][..], &["cluster", "status", "--nonsense"]] {
        let mut command = place.command(arguments);
        place.done(command.env("APIKEY_POSTGRES", &secret), "").hides("correct-horse");
    }
    let from_file = ["--namespace", "acme", "--single", "--password-file", "password"];
    std::fs::write(place.path("password"), "correct-horse\n").unwrap();
    let found = [&["cluster", "found", "--from", "keys.db", "--postgres", &connection], &from_file[..]].concat();
    let done = place.run(&found).ok();
    assert!(!done.err.contains("can be seen"), "{done:?}");
    let mut command = place.command(&["cluster", "status", "--namespace", "acme", "--single"]);
    command.env("APIKEY_POSTGRES", &connection).env("PGPASSWORD", "correct-horse");
    place.done(&mut command, "").ok().shows("generation");
}

#[test]
fn a_replica_brings_back_what_the_database_has_lost() {
    let engine = Engine::start("acme");
    let place = Place::new();
    let one = engine.node("one", &place.path("keys.db"));
    let created = |owner: &str| one.create(NewKey::for_owner(owner)).unwrap();
    let (alice, bob) = (created("alice"), created("bob"));
    place.run(&["backup", "early.backup"]).ok();
    let head = engine.server.sql("SELECT number || ' ' || encode(digest, 'hex') FROM apikey_head");
    let (number, digest) = head.split_once(' ').unwrap();
    one.revoke(alice.info.id(), "leaked").unwrap();
    let carol = created("carol");

    // Somebody restores an old snapshot of the database.
    engine.server.sql(&format!(
        "DELETE FROM apikey_log WHERE last > {number}; UPDATE apikey_head SET number = {number}, digest = '\\x{digest}'"
    ));
    let tokens = [&alice, &bob, &carol].map(|key| key.key.expose_secret());
    wait_until("the node has brought it back", || one.health().cluster.unwrap().recovered.is_some() && one.is_ready());
    place.run(&["cluster", "status"]).ok().shows("the engine had lost 2 events, which this node published");
    let two = engine.node("two", &place.path("two.db"));
    let answers = |store: &KeyStore| tokens.map(|token| store.verify(token).map(|key| key.owner().to_owned()));
    let whole = [Err(AuthError::Revoked), Ok("bob".to_owned()), Ok("carol".to_owned())];
    assert_eq!((answers(&one), answers(&two)), (whole.clone(), whole.clone()));
    two.close().unwrap();
    one.close().unwrap();

    // The database is gone, and there are an early backup and a replica.
    let restored = ["restore", "early.backup", "--into", "restored.db", "--over", "keys.db"];
    // Not 0, since the backup does not have carol's key.
    place.run(&restored).with(1);
    let elsewhere = Engine { server: engine.server, namespace: "again" };
    elsewhere.run(&place, &["found", "--from", "restored.db"]).ok();
    let two = elsewhere.node("two", &place.path("restored.db"));
    assert_eq!(answers(&two)[..2], whole[..2]);
}
