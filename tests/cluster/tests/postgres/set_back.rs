//! A server that is set back to an earlier snapshot of its files.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::Cluster;
use apikey_core::{
    AuthError, CreatedKey, EventFilter, KeyFilter, KeyInfo, KeyStore, KeyStoreBuilder, KeyUpdate, NewKey,
};
use apikey_postgres::Postgres;

/// A server and the directories of nodes.
struct Fixture {
    server: Server,
    place: tempfile::TempDir,
}

impl Fixture {
    fn start() -> Self {
        let server = Server::start(ServerConfig { durable: true, ..ServerConfig::default() });
        Self { server, place: tempfile::tempdir().unwrap() }
    }

    fn builder(&self, name: &str) -> KeyStoreBuilder {
        let postgres = Postgres::new(self.server.connection()).namespace("test").single();
        KeyStore::builder().cluster(Cluster::new(postgres).name(name).max_staleness(Duration::from_secs(5)))
    }

    /// A node with a replica that outlives it.
    fn open(&self, name: &str) -> KeyStore {
        self.builder(name).open(self.place.path().join(name)).unwrap()
    }

    fn snapshot(&self) -> PathBuf {
        self.server.data().with_file_name("snapshot")
    }

    /// Copies the server's files while it is down.
    fn take_snapshot(&mut self) {
        self.while_down(|fixture| copy(&fixture.server.data(), &fixture.snapshot()));
    }

    /// Brings the copy back.
    fn set_back(&mut self) {
        self.while_down(|fixture| {
            std::fs::remove_dir_all(fixture.server.data()).unwrap();
            copy(&fixture.snapshot(), &fixture.server.data());
        });
    }

    fn while_down(&mut self, work: impl FnOnce(&Self)) {
        let port = self.server.port();
        self.server.end();
        work(self);
        self.server.start_again(Some(port));
    }
}

/// With owners and rights.
fn copy(from: &PathBuf, to: &PathBuf) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

#[track_caller]
fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn refused(store: &KeyStore, key: &CreatedKey) -> Option<AuthError> {
    store.verify(key.key.expose_secret()).err()
}

fn recovered(store: &KeyStore) -> String {
    store.health().cluster.unwrap().recovered.unwrap_or_default()
}

/// Waits until the nodes serve by the same log, and checks that they have the same keys and whole histories.
#[track_caller]
fn agree(nodes: &[&KeyStore]) {
    let applied = |store: &KeyStore| store.health().cluster.unwrap().applied;
    eventually("the nodes serve by the same log", || {
        nodes.iter().all(|store| {
            store.is_ready() && applied(store) == applied(nodes[0]) && store.health().cluster.unwrap().only_here == 0
        })
    });
    // All but the times of use, which each node has for itself.
    let keys = |store: &KeyStore| -> Vec<String> {
        let keys = store.list(&KeyFilter::default()).unwrap().keys;
        let shown = |key: KeyInfo| {
            format!("{:?} {:?} {:?} {:?}", key.id(), key.permissions(), key.revoked(), (key.disabled(), key.version()))
        };
        keys.into_iter().map(shown).collect()
    };
    for store in nodes {
        assert_eq!(keys(store), keys(nodes[0]));
        let report = store.verify_events().unwrap();
        assert!(report.is_whole(), "{report:?}");
    }
}

#[test]
fn nodes_bring_back_what_a_server_lost() {
    let mut fixture = Fixture::start();
    let nodes = ["one", "two", "three"].map(|name| fixture.open(name));
    let [one, two, three] = &nodes;
    let keys: Vec<_> = (0..3).map(|_| one.create(NewKey::for_owner("alice")).unwrap()).collect();
    fixture.take_snapshot();
    eventually("it serves again", || nodes.iter().all(KeyStore::is_ready));
    two.revoke(keys[0].info.id(), "leaked").unwrap();
    let late = three.create_many((0..200).map(|_| NewKey::for_owner("bob"))).unwrap();
    three.revoke(late[7].info.id(), "left").unwrap();
    fixture.set_back();
    eventually("a node publishes", || nodes.iter().any(|store| recovered(store).contains("which this node published")));
    agree(&[one, two, three]);
    for store in &nodes {
        assert_eq!(refused(store, &keys[0]), Some(AuthError::Revoked));
        assert_eq!((refused(store, &late[7]), refused(store, &late[8])), (Some(AuthError::Revoked), None));
        assert_eq!(refused(store, &keys[1]), None);
    }
    let new = fixture.builder("new").temporary().unwrap();
    agree(&[one, &new]);
    one.revoke(keys[1].info.id(), "left").unwrap();
    assert!(nodes.iter().all(|store| refused(store, &keys[1]) == Some(AuthError::Revoked)));
}

#[test]
fn nodes_take_again_what_a_server_lost_and_replaced() {
    let mut fixture = Fixture::start();
    let (one, two) = (fixture.open("one"), fixture.open("two"));
    let keys: Vec<_> =
        (0..5).map(|_| one.create(NewKey::for_owner("alice").permissions(["orders:*"])).unwrap()).collect();
    let id = |at: usize| keys[at].info.id();
    fixture.take_snapshot();
    eventually("it serves again", || one.is_ready() && two.is_ready());
    two.revoke(id(0), "leaked").unwrap();
    one.update(id(1), KeyUpdate::new().disabled(true)).unwrap();
    one.close().unwrap();
    // The other replica has more.
    two.update(id(2), KeyUpdate::new().permissions(["orders:read"])).unwrap();
    let late = two.create(NewKey::for_owner("bob")).unwrap();
    two.close().unwrap();
    fixture.set_back();
    let three = fixture.builder("three").temporary().unwrap();
    three.revoke(id(3), "left").unwrap();
    assert_eq!(refused(&three, &keys[0]), None, "no open node knows of it");
    let (one, two) = (fixture.open("one"), fixture.open("two"));
    assert!(recovered(&one).contains("others instead") && recovered(&two).contains("others instead"));
    assert_eq!(
        [refused(&one, &keys[0]), refused(&two, &keys[0])],
        [Some(AuthError::Revoked), Some(AuthError::Revoked)]
    );
    agree(&[&one, &two, &three]);
    for store in [&one, &two, &three] {
        let answers = [0, 1, 3, 4].map(|at| refused(store, &keys[at]));
        assert_eq!(answers, [Some(AuthError::Revoked), Some(AuthError::Disabled), Some(AuthError::Revoked), None]);
        let narrowed = store.verify(keys[2].key.expose_secret()).unwrap();
        assert!(narrowed.permissions().eq(["orders:read"]));
        assert_eq!(refused(store, &late), Some(AuthError::Invalid), "what was given is lost");
    }
    assert_eq!(three.events(&EventFilter::default().kind("reapplied")).unwrap().events.len(), 3);
}
