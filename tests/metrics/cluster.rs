//! The figures of a node of a cluster. In a program of its own: the threads of a node report to the recorder of the process.
#![allow(clippy::unwrap_used, reason = "tests")]

mod figures;

use std::time::{Duration, Instant};

use apikey::cluster::{Cluster, MemoryLedger};
use apikey::{KeyStore, NewKey};
use figures::Figures;

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_node_reports_how_it_stands() {
    let figures = Figures::default();
    metrics::set_global_recorder(figures.clone()).unwrap();
    let ledger = MemoryLedger::new();
    let open = |name: &str| {
        let cluster = Cluster::new(ledger.another()).name(name).max_staleness(Duration::from_secs(5));
        KeyStore::builder().cluster(cluster).temporary().unwrap()
    };
    let of_one = |gauge: &str| figures.gauge(&format!("apikey_cluster_{gauge}{{node=one}}"));
    let one = open("one");
    wait_until("the node is ready", || of_one("ready") == Some(1.0));
    let two = open("two");
    let id = two.create(NewKey::for_owner("alice")).unwrap().info.id();
    one.revoke(id, "").unwrap();
    let applied = one.health().cluster.unwrap().applied;
    #[allow(clippy::cast_precision_loss, reason = "a few events")]
    let applied = applied as f64;
    wait_until("it has applied the change", || of_one("applied") == Some(applied) && of_one("head") == Some(applied));
    wait_until("it sees both nodes", || of_one("nodes") == Some(2.0));
    for zero in ["nodes_silent", "only_here", "stopped", "engine_failing"] {
        assert_eq!(of_one(zero), Some(0.0), "{zero}");
    }
    assert!(of_one("age_seconds").is_some_and(|age| (0.0..5.0).contains(&age)));
    assert_eq!(figures.recorded("apikey_cluster_wait_seconds{node=one}"), 1, "the revocation");
    let page = include_str!("../../docs/guides/observability.md");
    for gauge in figures.gauges() {
        let name = gauge.split('{').next().unwrap();
        assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}
