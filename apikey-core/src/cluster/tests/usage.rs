//! What nodes count is added up over all of them, and each use once.

use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};

use super::faulty::Faulty;
use super::{cluster, eventually};
use crate::cluster::{Cluster, Ledger, MemoryLedger};
use crate::usage::mirror::read_tally_name;
use crate::usage::row::RowSpan;
use crate::{Covers, CreatedKey, KeyStore, KeyStoreBuilder, ManualClock, NewKey, Step, Usage, UsageReport};

fn counting(cluster: Cluster) -> KeyStoreBuilder {
    KeyStore::builder().count_use(true).cluster(cluster)
}

fn of_faulty(ledger: &Faulty, name: &str) -> KeyStoreBuilder {
    counting(Cluster::new(ledger.clone()).name(name).max_staleness(Duration::from_secs(60)))
}

fn node(ledger: &MemoryLedger, name: &str) -> KeyStore {
    counting(cluster(ledger, name)).temporary().unwrap()
}

fn use_times(store: &KeyStore, key: &CreatedKey, times: u64) {
    for _ in 0..times {
        store.verify(key.key.expose_secret()).unwrap();
    }
}

/// Writes what was counted to the disk now, instead of within half a minute, and mirrors it.
fn write(store: &KeyStore) {
    store.inner().keep_usage(true);
    store.inner().mirror_usage_now();
}

fn report(store: &KeyStore, usage: Usage) -> UsageReport {
    store.usage(&usage).unwrap()
}

fn of_store(store: &KeyStore) -> (Covers, u64, u64) {
    let report = report(store, Usage::of_store());
    (report.covers(), report.uses(), report.uses_total())
}

/// Waits until a node knows so many uses.
#[track_caller]
fn knows(store: &KeyStore, uses: u64) {
    eventually("the other nodes have made known what they counted", || {
        of_store(store) == (Covers::AllNodes, uses, uses)
    });
}

#[test]
fn every_node_answers_with_the_sums_of_all() {
    let ledger = MemoryLedger::new();
    let nodes = ["one", "two", "three"].map(|name| node(&ledger, name));
    let [one, two, three] = &nodes;
    let alice = one.create(NewKey::for_owner("alice")).unwrap();
    let acme = two.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap();
    for (store, times) in nodes.iter().zip(1..) {
        use_times(store, &alice, times);
        use_times(store, &acme, 10 * times);
        store.verify("ak_nothing").unwrap_err();
        write(store);
    }
    three.revoke(alice.info.id(), "left").unwrap();
    two.verify(alice.key.expose_secret()).unwrap_err();
    write(two);
    for store in &nodes {
        knows(store, 66);
        eventually("refusals are added, too", || report(store, Usage::of_store()).refusals().len() == 2);
        for step in [Step::Hour, Step::Day] {
            let of = |usage: Usage| report(store, usage.step(step));
            assert_eq!((of(Usage::of_owner("alice")).uses(), of(Usage::of_owner("alice")).uses_total()), (6, 6));
            assert_eq!(of(Usage::of_owner("alice")).refusals().get("revoked_api_key"), Some(&1));
            assert_eq!(of(Usage::of_owner_in_tenant("acme", "alice")).uses(), 60);
            assert_eq!((of(Usage::of_tenant("acme")).uses_total(), of(Usage::of_tenant("apex")).uses()), (60, 0));
            assert_eq!(of(Usage::of_store()).refusals().get("invalid_api_key"), Some(&3));
            assert_eq!(of(Usage::of_store()).covers(), Covers::AllNodes);
        }
    }
    // Keys and minutes are of the node that answers.
    let of_key = report(two, Usage::of_key(acme.info.id()));
    assert_eq!((of_key.covers(), of_key.uses(), of_key.uses_total()), (Covers::ThisNode, 20, 20));
    let minutes = report(three, Usage::of_store().step(Step::Minute));
    assert_eq!((minutes.covers(), minutes.uses(), minutes.uses_total()), (Covers::ThisNode, 33, 33));
    assert_eq!(one.most_used(Utc::now() - TimeDelta::hours(1), 1).unwrap()[0].uses, 10);
    assert_eq!(KeyStore::temporary().unwrap().usage(&Usage::of_store()).unwrap().covers(), Covers::Store);
}

#[test]
fn a_node_counts_its_own_uses_at_once_and_once() {
    let ledger = MemoryLedger::new();
    let [one, two] = ["one", "two"].map(|name| node(&ledger, name));
    let key = one.create(NewKey::for_owner("alice")).unwrap();
    use_times(&two, &key, 5);
    write(&two);
    knows(&one, 5);
    for times in 1..=20 {
        use_times(&one, &key, 1);
        if times % 7 == 0 {
            write(&one);
        }
        assert_eq!(of_store(&one), (Covers::AllNodes, 5 + times, 5 + times));
    }
}

#[test]
fn a_node_that_closes_sends_its_last_counts() {
    let ledger = MemoryLedger::new();
    let [one, two] = ["one", "two"].map(|name| node(&ledger, name));
    let key = one.create(NewKey::for_owner("alice")).unwrap();
    use_times(&two, &key, 3);
    two.close().unwrap();
    assert_eq!(of_store(&one), (Covers::AllNodes, 3, 3));
}

#[test]
fn while_the_engine_is_away_a_node_counts_on_and_answers_for_itself() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("replica.db");
    let store = of_faulty(&ledger, "cut-off").open(&path).unwrap();
    let other = counting(Cluster::new(memory.another()).name("other").max_staleness(Duration::from_secs(60)));
    let other = other.temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    use_times(&other, &key, 1);
    write(&other);
    knows(&store, 1);
    ledger.refuse(true);
    use_times(&store, &key, 2);
    write(&store);
    assert_eq!(of_store(&store), (Covers::ThisNode, 2, 2));
    // It closes without a word, and says it after the next start.
    store.close().unwrap();
    assert_eq!(of_store(&other), (Covers::AllNodes, 1, 1));
    ledger.refuse(false);
    let ledger = Faulty::new(&memory);
    let store = of_faulty(&ledger, "cut-off").open(&path).unwrap();
    write(&store);
    knows(&other, 3);
    // Counts that were taken, and not answered, are sent again.
    ledger.lose_answers(true);
    use_times(&store, &key, 4);
    write(&store);
    knows(&other, 7);
    ledger.lose_answers(false);
    use_times(&store, &key, 8);
    store.close().unwrap();
    assert_eq!(of_store(&other), (Covers::AllNodes, 15, 15));
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let (from, to) = item.map(|item| (item.path(), to.join(item.file_name()))).unwrap();
        match from.is_dir() {
            true => copy(&from, &to),
            false => assert!(std::fs::copy(&from, &to).is_ok()),
        }
    }
}

/// How many replicas have rows in the ledger.
fn replicas(ledger: &MemoryLedger) -> usize {
    let names = ledger.tallies(1, &[b""], Instant::now()).unwrap().into_iter();
    let mut replicas: Vec<_> = names.map(|tally| read_tally_name(&tally.name).unwrap().1).collect();
    replicas.sort_unstable();
    replicas.dedup();
    replicas.len()
}

#[test]
fn a_node_that_was_killed_counts_nothing_twice() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    let directory = tempfile::tempdir().unwrap();
    let [path, killed] = ["replica.db", "killed.db"].map(|name| directory.path().join(name));
    let store = of_faulty(&ledger, "killed").open(&path).unwrap();
    let other = node(&memory, "other");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    use_times(&store, &key, 3);
    write(&store);
    knows(&other, 3);
    // What the program does to its directory from here on is not in the copy, and the ledger hears nothing of it.
    copy(&path, &killed);
    ledger.refuse(true);
    use_times(&store, &key, 100);
    store.close().unwrap();
    let store = of_faulty(&Faulty::new(&memory), "killed").open(&killed).unwrap();
    use_times(&store, &key, 4);
    write(&store);
    knows(&other, 7);
    knows(&store, 7);
    assert_eq!(replicas(&memory), 1);
}

#[test]
fn a_replica_at_an_earlier_state_takes_nothing_back() {
    let memory = MemoryLedger::new();
    let directory = tempfile::tempdir().unwrap();
    let [path, earlier] = ["replica.db", "earlier.db"].map(|name| directory.path().join(name));
    let open = |path| counting(cluster(&memory, "disk")).open(path).unwrap();
    let store = open(&path);
    let other = node(&memory, "other");
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    use_times(&store, &key, 3);
    store.close().unwrap();
    copy(&path, &earlier);
    let store = open(&path);
    use_times(&store, &key, 10);
    store.close().unwrap();
    // An operator brings back the directory of before, or a copy of it is another node.
    let store = open(&earlier);
    use_times(&store, &key, 100);
    write(&store);
    knows(&other, 113);
    knows(&store, 113);
    assert_eq!(replicas(&memory), 2);
    // It goes on under its new number.
    store.close().unwrap();
    let store = open(&earlier);
    use_times(&store, &key, 1000);
    write(&store);
    knows(&other, 1113);
    assert_eq!((replicas(&memory), of_store(&store)), (2, (Covers::AllNodes, 1113, 1113)));
    // A replica that was lost leaves its counts behind.
    store.close().unwrap();
    let store = open(&directory.path().join("new.db"));
    use_times(&store, &key, 10_000);
    write(&store);
    knows(&other, 11_113);
}

/// The rows in the ledger, by span, with their numbers.
fn rows(ledger: &MemoryLedger) -> Vec<(RowSpan, u32)> {
    let names = ledger.tallies(1, &[b""], Instant::now()).unwrap().into_iter();
    let mut rows: Vec<_> = names.map(|tally| read_tally_name(&tally.name).unwrap().0).collect();
    rows.sort_unstable();
    rows.into_iter().map(|row| (row.span, row.number)).collect()
}

#[test]
fn the_ledger_keeps_rows_as_long_as_nodes_do() {
    let ledger = MemoryLedger::new();
    let start = DateTime::from_timestamp(1_900_000_000, 0).unwrap();
    let clock = ManualClock::new(start);
    let store = counting(cluster(&ledger, "one")).clock(clock.clone()).temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    use_times(&store, &key, 1);
    write(&store);
    let (hours, days) = (RowSpan::Steps(Step::Hour), RowSpan::Steps(Step::Day));
    let day = u32::try_from(start.timestamp() / 86_400).unwrap();
    // Of the owner and of the store.
    let first =
        [(hours, day); 2].into_iter().chain([(days, day / 32); 2]).chain([(RowSpan::Ever, 0); 2]).collect::<Vec<_>>();
    eventually("the rows are there", || rows(&ledger) == first);
    eventually("it is the janitor", || store.health().cluster.unwrap().janitor);
    for (days, left) in [(14, &first[..]), (1, &first[2..]), (400 + 32 - 15, &first[4..])] {
        clock.advance(TimeDelta::days(days));
        // A change makes the store's time that of the clock, for good.
        store.create(NewKey::for_owner("bob")).unwrap();
        store.inner().mirror_usage_now();
        assert_eq!(rows(&ledger), left, "after {days} more days");
    }
    assert_eq!(report(&store, Usage::of_owner("alice")).uses_total(), 1);
}

#[test]
fn an_engine_that_is_half_full_gets_no_counts() {
    let memory = MemoryLedger::new();
    let ledger = Faulty::new(&memory);
    ledger.say_space(5_000, 10_000);
    let store = of_faulty(&ledger, "one").temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice")).unwrap();
    use_times(&store, &key, 2);
    write(&store);
    for _ in 0..10 {
        store.inner().mirror_usage_now();
    }
    assert_eq!(rows(&memory), []);
    assert_eq!(of_store(&store), (Covers::AllNodes, 2, 2), "it answers");
    ledger.say_space(4_900, 10_000);
    eventually("it has room, and gets them", || rows(&memory).len() == 6);
}
