//! Labels, names and prefixes of keys on several nodes.

use crate::cluster::MemoryLedger;
use crate::cluster::tests::{cluster, eventually};
use crate::{KeyStore, KeyUpdate, NewKey, Overlap, VerifiedKey};

fn node(ledger: &MemoryLedger, name: &str, prefixes: &[&str]) -> KeyStore {
    KeyStore::builder().prefixes(prefixes.iter().copied()).cluster(cluster(ledger, name)).temporary().unwrap()
}

fn described(key: &VerifiedKey) -> String {
    let labels: Vec<String> = key.labels().map(|(name, value)| format!("{name}={value}")).collect();
    format!("{} {} {}", key.prefix().unwrap_or("-"), key.name().unwrap_or("-"), labels.join(" "))
}

#[test]
fn every_node_reads_the_labels_and_what_one_takes_away_is_gone_on_all() {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two", "three"].map(|name| node(&ledger, name, &["live", "test"]));
    let new = NewKey::for_owner("alice").name("ci").prefix("test").label("plan", "pro").label("region", "eu");
    let created = nodes[0].create(new).unwrap();
    let token = created.key.expose_secret();
    for store in &nodes {
        assert_eq!(described(&store.verify(token).unwrap()), "test ci plan=pro region=eu");
    }
    nodes[1].update(created.info.id(), KeyUpdate::new().remove_label("region").name("cd")).unwrap();
    for store in &nodes {
        let key = store.verify(token).unwrap();
        assert_eq!((key.label("region"), key.label("plan")), (None, Some("pro")));
        eventually("the name is on every node", || store.verify(token).unwrap().name() == Some("cd"));
    }
    nodes[2].update(created.info.id(), KeyUpdate::new().label("plan", "free")).unwrap();
    for store in &nodes {
        assert_ne!(store.verify(token).unwrap().label("plan"), Some("pro"));
        eventually("the new value is on every node", || store.verify(token).unwrap().label("plan") == Some("free"));
    }
    let rotated = nodes[1].rotate(created.info.id(), Overlap::UntilFirstUse).unwrap();
    for store in &nodes {
        assert_eq!(described(&store.verify(rotated.key.expose_secret()).unwrap()), "test cd plan=free");
    }
    let later = node(&ledger, "four", &["live", "test"]);
    assert_eq!(described(&later.verify(rotated.key.expose_secret()).unwrap()), "test cd plan=free");
}

#[test]
fn a_node_with_other_prefixes_does_not_join() {
    let ledger = MemoryLedger::new();
    drop(node(&ledger, "founder", &["live", "test", "old"]));
    drop(node(&ledger, "one", &["live", "old", "test"]));
    for other in [&["live"][..], &["live", "test"], &["live", "test", "old", "new"], &["test", "live", "old"]] {
        let prefixes = other.iter().copied();
        let refused = KeyStore::builder().prefixes(prefixes).cluster(cluster(&ledger, "two")).temporary();
        let text = refused.err().unwrap().to_string();
        assert!(text.contains("prefix") && text.contains("give every node the same"), "{text}");
    }
}
