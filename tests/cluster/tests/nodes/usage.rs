use std::time::{Duration, Instant};

use apikey_core::{Covers, CreatedKey, KeyStore, NewKey, Step, Usage, UsageReport};
use chrono::{TimeDelta, Utc};

use super::fixture::{Nodes, on_each_engine};

fn open(nodes: &Nodes, name: &str) -> KeyStore {
    nodes.builder(name).count_use(true).temporary().unwrap()
}

fn use_times(store: &KeyStore, key: &CreatedKey, times: u64) {
    for _ in 0..times {
        store.verify(key.key.expose_secret()).unwrap();
    }
}

fn of(store: &KeyStore, usage: Usage) -> UsageReport {
    store.usage(&usage).unwrap()
}

/// Waits until a node knows so many uses of all: the others write theirs each half minute.
#[track_caller]
fn knows(store: &KeyStore, uses: u64) {
    let end = Instant::now() + Duration::from_secs(180);
    loop {
        let report = of(store, Usage::of_store());
        if report.covers() == Covers::AllNodes && (report.uses(), report.uses_total()) == (uses, uses) {
            return;
        }
        assert!(Instant::now() < end, "{:?}, {} of {uses}", report.covers(), report.uses());
        std::thread::sleep(Duration::from_millis(100));
    }
}

on_each_engine! {
    fn every_node_answers_with_the_sums_of_all(nodes) {
        let stores = ["one", "two", "three"].map(|name| open(nodes, name));
        let [one, two, three] = &stores;
        let alice = one.create(NewKey::for_owner("alice")).unwrap();
        let acme = two.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap();
        for (store, times) in stores.iter().zip(1..) {
            use_times(store, &alice, times);
            use_times(store, &acme, 10 * times);
            store.verify("ak_nothing").unwrap_err();
            // Its own it knows at once.
            assert_eq!(of(store, Usage::of_owner("alice")).uses(), times);
        }
        for store in &stores {
            knows(store, 66);
            for step in [Step::Hour, Step::Day] {
                let of = |usage: Usage| {
                    let report = of(store, usage.step(step));
                    assert_eq!(report.covers(), Covers::AllNodes);
                    (report.uses(), report.uses_total())
                };
                assert_eq!(of(Usage::of_owner("alice")), (6, 6));
                assert_eq!(of(Usage::of_owner_in_tenant("acme", "alice")), (60, 60));
                assert_eq!((of(Usage::of_tenant("acme")), of(Usage::of_tenant("apex"))), ((60, 60), (0, 0)));
                assert_eq!(of(Usage::of_store()), (66, 66));
            }
            assert_eq!(of(store, Usage::of_store()).refusals().get("invalid_api_key"), Some(&3));
        }
        // Keys and minutes are of the node that answers.
        let of_key = of(two, Usage::of_key(acme.info.id()));
        assert_eq!((of_key.covers(), of_key.uses(), of_key.uses_total()), (Covers::ThisNode, 20, 20));
        let minutes = of(three, Usage::of_store().step(Step::Minute));
        assert_eq!((minutes.covers(), minutes.uses(), minutes.uses_total()), (Covers::ThisNode, 33, 33));
        assert_eq!(one.most_used(Utc::now() - TimeDelta::hours(1), 1).unwrap()[0].uses, 10);
        assert_eq!(one.get(alice.info.id()).unwrap().unwrap().uses_total(), 1);
        // What was counted stays when keys go.
        three.revoke(acme.info.id(), "left").unwrap();
        three.purge(Utc::now() + TimeDelta::hours(1)).unwrap();
        assert_eq!(of(one, Usage::of_tenant("acme")).uses(), 60);
    }

    fn a_node_that_ends_and_comes_back_counts_once(nodes) {
        let directory = tempfile::tempdir().unwrap();
        let open_disk = |name: &str| nodes.builder("disk").count_use(true).open(directory.path().join(name)).unwrap();
        let (disk, other) = (open_disk("replica.db"), open(nodes, "other"));
        let key = disk.create(NewKey::for_owner("alice")).unwrap();
        use_times(&disk, &key, 3);
        disk.close().unwrap();
        assert_eq!((of(&other, Usage::of_store()).covers(), of(&other, Usage::of_store()).uses()), (Covers::AllNodes, 3));
        let disk = open_disk("replica.db");
        use_times(&disk, &key, 4);
        assert_eq!(of(&disk, Usage::of_store()).uses(), 7);
        disk.close().unwrap();
        assert_eq!(of(&other, Usage::of_store()).uses(), 7);
        // A replica that is lost leaves what it has sent.
        let disk = open_disk("new.db");
        use_times(&disk, &key, 10);
        disk.close().unwrap();
        assert_eq!((of(&other, Usage::of_store()).uses(), of(&other, Usage::of_owner("alice")).uses_total()), (17, 17));
    }

    fn keys_that_are_replaced_begin_with_what_nodes_have_counted(nodes) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let open_disk = || nodes.builder("disk").count_use(true).open(path("replica.db")).unwrap();
        let (disk, other) = (open_disk(), open(nodes, "other"));
        let key = disk.create(NewKey::for_owner("alice")).unwrap();
        use_times(&disk, &key, 3);
        use_times(&other, &key, 10);
        disk.backup(path("backup")).unwrap();
        for store in [disk, other] {
            store.close().unwrap();
        }
        KeyStore::restore(&apikey_core::Restore::new(path("backup"), path("restored.db"))).unwrap();
        nodes.builder("tool").replace_cluster(path("restored.db")).unwrap();
        // The counts of the node without a disk are those of the former keys, and gone.
        let (disk, other) = (open_disk(), open(nodes, "other"));
        knows(&disk, 3);
        use_times(&other, &key, 20);
        other.close().unwrap();
        assert_eq!(of(&disk, Usage::of_store()).uses(), 23);
        disk.close().unwrap();
        assert_eq!(of(&open(nodes, "third"), Usage::of_store()).uses(), 23);
    }

    fn a_store_that_becomes_a_cluster_brings_its_counts(nodes) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.db");
        let store = KeyStore::builder().count_use(true).open(&path).unwrap();
        let key = store.create(NewKey::for_owner("alice")).unwrap();
        use_times(&store, &key, 3);
        store.close().unwrap();
        nodes.builder("tool").found_cluster(&path).unwrap();
        let disk = nodes.builder("disk").count_use(true).open(&path).unwrap();
        let other = open(nodes, "other");
        knows(&other, 3);
        use_times(&disk, &key, 4);
        disk.close().unwrap();
        assert_eq!(of(&other, Usage::of_owner("alice").step(Step::Day)).uses(), 7);
    }
}
