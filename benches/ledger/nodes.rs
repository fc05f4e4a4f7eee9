//! What does a change cost that holds on every machine, and what does following the others cost a verification?
//!
//! `cargo bench -p apikey-ledger-bench --bench nodes`, or `-- million` for a million keys in place of a hundred thousand: three
//! nodes in this process, on a PostgreSQL of its own with a synchronous standby, or with `-- etcd` on three members of etcd. All
//! servers write to the disk. Every figure stands beside its baseline of the same run.

#![allow(clippy::unwrap_used, reason = "a bench that fails shall stop")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apikey_core::{CreatedKey, KeyStore, NewKey, Propagation};
use apikey_ledger_bench::{Engine, percentiles, start};
use rustix::time::{ClockId, clock_gettime};

const REVOCATIONS: usize = 300;
/// Keys that the other nodes apply, a thousand in one change.
const APPLIED: usize = 50_000;
/// Events a second beside verifications.
const EVENTS: usize = 1_000;
const SPAN: Duration = Duration::from_secs(5);
/// How often a replica and a store are opened.
const OPENINGS: usize = 5;

fn main() {
    let is_million = std::env::args().any(|argument| argument == "million");
    let engine = start();
    println!("{}", engine.name());
    let open = |name: &str| KeyStore::builder().cluster(engine.cluster("bench").name(name)).temporary().unwrap();
    let [one, two, three] = ["one", "two", "three"].map(open);
    revocations(&*engine, [&one, &two]);
    followed(&one, &two);
    caught_up(&*engine, &one);
    verified(&one, &two);
    drop((two, three));
    loaded(&one, if is_million { 1_000_000 } else { 100_000 }, &open);
    reopened(&*engine);
}

/// A revocation that holds on three nodes, against a bare write of as many bytes as its entry has.
fn revocations(engine: &dyn Engine, [one, two]: [&KeyStore; 2]) {
    let mut write = engine.bare_writer();
    let bytes = vec![7_u8; 600];
    let created = one.create_many((0..REVOCATIONS).map(|_| NewKey::for_owner("alice"))).unwrap();
    let _ = one.wait_for_nodes(SPAN);
    let (mut writes, mut revocations) = (Vec::new(), Vec::new());
    for key in &created {
        let begun = Instant::now();
        write(&bytes);
        writes.push(begun.elapsed());
        let begun = Instant::now();
        assert!(two.revoke(key.info.id(), "bench").unwrap());
        revocations.push(begun.elapsed());
        assert!(one.verify(key.key.expose_secret()).is_err());
    }
    let (write, revocation) = (percentiles(writes), percentiles(revocations));
    println!(
        "revoke on three nodes: p50 {:?}, p99 {:?}; bare write: p50 {:?}, p99 {:?}; {:.2}x",
        revocation.0,
        revocation.1,
        write.0,
        write.1,
        revocation.0.as_secs_f64() / write.0.as_secs_f64()
    );
}

/// How many events a second another node applies.
fn followed(one: &KeyStore, two: &KeyStore) {
    let many = one.propagating(Propagation::Here);
    let applied = |store: &KeyStore| store.health().cluster.unwrap().applied;
    let begun = Instant::now();
    for _ in 0..APPLIED / 1000 {
        many.create_many((0..1000).map(|_| NewKey::for_owner("bob").permissions(["orders:read"]))).unwrap();
    }
    let written = begun.elapsed();
    while applied(two) < applied(one) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let all = begun.elapsed();
    println!(
        "{APPLIED} events in changes of a thousand: written in {written:?}, on another node after {all:?}; {:.0} a second",
        APPLIED as f64 / all.as_secs_f64()
    );
}

/// How many events a second a node applies that was away, while nobody writes any more.
fn caught_up(engine: &dyn Engine, one: &KeyStore) {
    let directory = tempfile::tempdir().unwrap();
    let replica = directory.path().join("replica.db");
    let open = || KeyStore::builder().cluster(engine.cluster("bench").name("away")).open(&replica).unwrap();
    open().close().unwrap();
    // What opening takes without them.
    let begun = Instant::now();
    open().close().unwrap();
    let without = begun.elapsed();
    let many = one.propagating(Propagation::Here);
    for _ in 0..APPLIED / 1000 {
        many.create_many((0..1000).map(|_| NewKey::for_owner("bob").permissions(["orders:read"]))).unwrap();
    }
    let begun = Instant::now();
    let away = open();
    let all = begun.elapsed();
    assert!(away.health().cluster.unwrap().applied >= one.health().cluster.unwrap().applied);
    println!(
        "{APPLIED} events on a node that was away: {all:?}, and {without:?} without them; {:.0} a second",
        APPLIED as f64 / all.saturating_sub(without).as_secs_f64()
    );
}

/// Verifications on a node that applies a thousand events a second, against the same node without changes, by the CPU time
/// of the thread that verifies.
fn verified(one: &KeyStore, two: &KeyStore) {
    let created = one.create_many((0..1000).map(|_| NewKey::for_owner("carol"))).unwrap();
    let _ = one.wait_for_nodes(SPAN);
    let quiet = nanoseconds(two, &created);
    let ending = AtomicBool::new(false);
    let mut events = 0.0;
    let busy = std::thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let many = one.propagating(Propagation::Here);
            let begun = Instant::now();
            let mut made = 0;
            while !ending.load(Ordering::Relaxed) {
                // Ten changes of a hundred events each a second.
                many.create_many((0..EVENTS / 10).map(|_| NewKey::for_owner("dave"))).unwrap();
                made += EVENTS / 10;
                let due = Duration::from_secs_f64(made as f64 / EVENTS as f64);
                std::thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            made as f64 / begun.elapsed().as_secs_f64()
        });
        let busy = nanoseconds(two, &created);
        ending.store(true, Ordering::Relaxed);
        events = changing.join().unwrap();
        busy
    });
    println!(
        "a verification: {quiet:.0} ns without changes, {busy:.0} ns while {events:.0} events a second are applied; {:.2}x as many",
        quiet / busy
    );
}

/// Nanoseconds of CPU time that a verification takes.
fn nanoseconds(store: &KeyStore, created: &[CreatedKey]) -> f64 {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
    };
    let (begun, from) = (Instant::now(), cpu());
    let mut verified = 0_u64;
    while begun.elapsed() < SPAN {
        for key in created {
            assert!(store.verify(key.key.expose_secret()).is_ok());
        }
        verified += created.len() as u64;
    }
    (cpu() - from) / verified as f64
}

/// How long a node without a replica takes to open.
fn loaded(one: &KeyStore, keys: usize, open: &impl Fn(&str) -> KeyStore) {
    let many = one.propagating(Propagation::Here);
    let held = one.health().cluster.unwrap().applied;
    for _ in 0..keys.saturating_sub(usize::try_from(held).unwrap()) / 1000 {
        many.create_many((0..1000).map(|_| NewKey::for_owner("erin").permissions(["orders:read"]))).unwrap();
    }
    // The janitor moves the state a moment later.
    std::thread::sleep(Duration::from_secs(5));
    let begun = Instant::now();
    let late = open("late");
    let took = begun.elapsed();
    let events = late.health().cluster.unwrap().applied;
    println!("a first load of some {keys} keys ({events} events): {took:?}");
}

/// How long a replica takes to open that has all keys, against a store without a cluster that has as many.
fn reopened(engine: &dyn Engine) {
    let directory = tempfile::tempdir().unwrap();
    let (replica, keys) = (directory.path().join("replica.db"), directory.path().join("keys.db"));
    let open_replica = || KeyStore::builder().cluster(engine.cluster("bench").name("again")).open(&replica).unwrap();
    let open_store = || KeyStore::builder().open(&keys).unwrap();
    let node = open_replica();
    let events = usize::try_from(node.health().cluster.unwrap().applied).unwrap();
    node.close().unwrap();
    let store = open_store();
    for _ in 0..events / 1000 {
        store.create_many((0..1000).map(|_| NewKey::for_owner("erin").permissions(["orders:read"]))).unwrap();
    }
    store.close().unwrap();
    let (mut replicas, mut stores) = (Vec::new(), Vec::new());
    for _ in 0..OPENINGS {
        replicas.push(opened(open_replica));
        stores.push(opened(open_store));
    }
    let (replica, store) = (percentiles(replicas).0, percentiles(stores).0);
    println!(
        "a replica of {events} events is opened again: p50 {replica:?}; a store of as many: p50 {store:?}; {:.2}x",
        replica.as_secs_f64() / store.as_secs_f64()
    );
}

fn opened(open: impl Fn() -> KeyStore) -> Duration {
    let begun = Instant::now();
    let store = open();
    let took = begun.elapsed();
    store.close().unwrap();
    took
}
