//! The command beside a cluster on etcd: what differs from one on PostgreSQL.

use std::time::Duration;

use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_core::KeyStore;
use apikey_core::cluster::Cluster;
use apikey_etcd::Etcd;

use super::Place;

#[test]
fn a_store_becomes_a_cluster_on_etcd() {
    let members = Members::start(MembersConfig { count: 1, ..MembersConfig::default() });
    members.enable_users("apikey", "correct-horse", "/acme/");
    let (place, admin) = Place::with_store();
    let endpoint = members.endpoint(0);
    let engine = ["--etcd", &endpoint, "--etcd-user", "apikey", "--namespace", "acme", "--password-file", "password"];
    let run = |arguments: &[&str]| place.run(&[&["cluster"], arguments, &engine].concat());
    std::fs::write(place.path("password"), "wrong-horse\n").unwrap();
    let wrong = run(&["status"]).with(7);
    wrong.says("refuses the password of the user apikey").hides("wrong-horse");
    std::fs::write(place.path("password"), "correct-horse\n").unwrap();
    run(&["status"]).with(6).says("there is no cluster in this namespace");
    let found = run(&["found", "--from", "keys.db", "--max-staleness", "5s"]).ok();
    found.shows("a cluster of 1 key is in etcd http://127.0.0.1").shows("namespace acme");
    let ledger = Etcd::new([&endpoint]).user("apikey").password("correct-horse").namespace("acme");
    let cluster = Cluster::new(ledger).name("one").max_staleness(Duration::from_secs(5));
    let one = KeyStore::builder().cluster(cluster).admin_socket(true).open(place.path("keys.db")).unwrap();
    assert!(one.verify(&admin).is_ok());
    let made = place.run(&["create", "alice"]).ok();
    assert!(one.verify(made.out.trim()).is_ok());
    run(&["status"]).ok().shows("etcd http://127.0.0.1").shows("one");

    let mut command = place.command(&["cluster", "status", "--etcd-user", "apikey", "--namespace", "acme"]);
    command.env("APIKEY_ETCD", &endpoint).env("ETCDCTL_PASSWORD", "correct-horse");
    place.done(&mut command, "").ok().shows("generation");
    place.run(&["cluster", "found", "--from", "own.db"]).with(2).says("--etcd").says("APIKEY_ETCD");
    let key = ["cluster", "status", "--etcd", &endpoint, "--etcd-key", "a.key"];
    place.run(&key).with(2).says("--etcd-certificate");
}
