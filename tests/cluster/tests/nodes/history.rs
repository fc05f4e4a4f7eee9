//! Histories: what three nodes answer while the engine and the nodes are stopped, beside what was acknowledged.
//!
//! `APIKEY_CLUSTER_FAULTS=100 cargo test -p apikey-cluster-tests --test cluster -- history --nocapture` is the long form: so
//! many faults, and counts at the end.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use apikey_cluster_tests::etcd::{Members, MembersConfig};
use apikey_cluster_tests::postgres::{Server, ServerConfig};
use apikey_core::cluster::Cluster;
use apikey_core::{AuthError, KeyId, KeyStore, NewKey};
use apikey_etcd::Etcd;
use apikey_postgres::Postgres;

const BOUND: Duration = Duration::from_secs(5);
/// How many faults the short form has.
const FAULTS: u64 = 4;

/// A key as its callers know it.
struct Known {
    id: KeyId,
    token: String,
    /// Whether a call to revoke it has begun; then either answer is right until that call has returned.
    is_ending: bool,
    /// Whether such a call has returned `Ok`.
    is_revoked: bool,
}

#[derive(Default)]
struct History {
    keys: RwLock<BTreeMap<KeyId, Known>>,
    accepted: AtomicU64,
    refused: AtomicU64,
    unavailable: AtomicU64,
    revoked: AtomicU64,
    failed: AtomicU64,
    faults: Mutex<Vec<String>>,
}

impl History {
    /// Verifies every key on a node, and checks the answers against what was acknowledged before.
    fn verify_all(&self, node: &str, store: &KeyStore) {
        let keys: Vec<KeyId> = self.keys.read().unwrap_or_else(PoisonError::into_inner).keys().copied().collect();
        for id in keys {
            // What was acknowledged before the verification began.
            let (token, was_revoked, was_ending) = {
                let keys = self.keys.read().unwrap();
                let known = &keys[&id];
                (known.token.clone(), known.is_revoked, known.is_ending)
            };
            let answer = store.verify(&token);
            let is_ending = was_ending || self.keys.read().unwrap()[&id].is_ending;
            match answer {
                Ok(_) if was_revoked => {
                    self.faults.lock().unwrap().push(format!("{node} accepts {id} after its revocation"))
                }
                Ok(_) => drop(self.accepted.fetch_add(1, Ordering::Relaxed)),
                Err(AuthError::Unavailable) => drop(self.unavailable.fetch_add(1, Ordering::Relaxed)),
                Err(_) if is_ending => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
                Err(error) => self.faults.lock().unwrap().push(format!("{node} refuses {id}, which is valid: {error}")),
            }
        }
    }

    /// Creates keys and revokes some, as far as the cluster takes it.
    fn change(&self, stores: &[RwLock<KeyStore>], random: u128) {
        let at = |shift: u32| usize::try_from((random >> shift) % stores.len() as u128).unwrap();
        let store = stores[at(0)].read().unwrap().clone();
        match store.create(NewKey::for_owner("alice")) {
            Ok(created) => {
                let id = created.info.id();
                let token = created.key.expose_secret().to_owned();
                // A key that waits for no node may be unknown to one that is behind: it counts once all have it.
                if store.wait_for_nodes(BOUND * 2).is_empty() {
                    let known = Known { id, token, is_ending: false, is_revoked: false };
                    self.keys.write().unwrap().insert(id, known);
                }
            }
            Err(_) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
        let victim = {
            let mut keys = self.keys.write().unwrap();
            let count = keys.len() as u128;
            let chosen = keys.values_mut().nth(usize::try_from((random >> 32) % count.max(1)).unwrap());
            let Some(known) = chosen.filter(|known| !known.is_ending) else { return };
            known.is_ending = true;
            known.id
        };
        let store = stores[at(16)].read().unwrap().clone();
        match store.revoke(victim, "history") {
            Ok(_) => {
                self.revoked.fetch_add(1, Ordering::Relaxed);
                self.keys.write().unwrap().get_mut(&victim).unwrap().is_revoked = true;
            }
            // It may be in force, or come into force later.
            Err(_) => drop(self.failed.fetch_add(1, Ordering::Relaxed)),
        }
    }
}

/// A random number.
fn random() -> u128 {
    let half = || u128::from(RandomState::new().hash_one(()));
    half() << 64 | half()
}

/// What goes wrong in an engine, by a random number; it takes this long.
type Fault<'a> = &'a dyn Fn(u128, Duration);

#[test]
fn no_key_is_accepted_after_its_revocation_was_acknowledged_on_postgres() {
    let (primary, standby) = Server::start_with_standby(ServerConfig::default());
    let ledger = || Cluster::new(Postgres::new(primary.connection()).namespace("history"));
    no_key_is_accepted_after_its_revocation_was_acknowledged(&ledger, &|random, span| match random % 3 {
        0 => {
            primary.pause();
            std::thread::sleep(span);
            primary.resume();
        }
        1 => {
            standby.pause();
            std::thread::sleep(span);
            standby.resume();
        }
        _ => {
            // Every connection ends, also those with a call under way.
            primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()");
        }
    });
}

#[test]
fn no_key_is_accepted_after_its_revocation_was_acknowledged_on_etcd() {
    let members = Mutex::new(Members::start(MembersConfig::default()));
    let endpoints = members.lock().unwrap().endpoints();
    let ledger = || Cluster::new(Etcd::new(&endpoints).namespace("history"));
    no_key_is_accepted_after_its_revocation_was_acknowledged(&ledger, &|random, span| {
        let mut members = members.lock().unwrap();
        let leader = members.leader();
        match random % 4 {
            0 => {
                members.pause(leader);
                std::thread::sleep(span);
                members.resume(leader);
            }
            1 => {
                members.end(leader);
                std::thread::sleep(span);
                members.start_again(leader);
                members.wait();
            }
            2 => {
                let follower = (leader + 1) % 3;
                members.pause(follower);
                std::thread::sleep(span);
                members.resume(follower);
            }
            _ => {
                // Without a majority.
                for member in 0..2 {
                    members.end(member);
                }
                std::thread::sleep(span);
                for member in 0..2 {
                    members.start_again(member);
                }
                members.wait();
            }
        }
    });
}

fn no_key_is_accepted_after_its_revocation_was_acknowledged(cluster: &(dyn Fn() -> Cluster + Sync), fault: Fault<'_>) {
    let faults = std::env::var("APIKEY_CLUSTER_FAULTS").map_or(FAULTS, |text| text.parse().unwrap());
    let open = |name: &str| {
        let cluster = cluster().name(name).max_staleness(BOUND).write_timeout(Duration::from_secs(3));
        KeyStore::builder().cluster(cluster).temporary()
    };
    let names = ["one", "two", "three"];
    let stores = names.map(|name| RwLock::new(open(name).unwrap()));
    let history = History::default();
    let ending = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for (name, store) in names.iter().zip(&stores) {
            scope.spawn(|| {
                while !ending.load(Ordering::Relaxed) {
                    let store = store.read().unwrap().clone();
                    history.verify_all(name, &store);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        for _ in 0..2 {
            scope.spawn(|| {
                while !ending.load(Ordering::Relaxed) {
                    history.change(&stores, random());
                    std::thread::sleep(Duration::from_millis(50));
                }
            });
        }
        for _ in 0..faults {
            std::thread::sleep(Duration::from_millis(500));
            let random = random();
            // Shorter than the bound, or longer, so that the gates close.
            let span = Duration::from_millis(200 + u64::try_from(random % 7_000).unwrap());
            if (random >> 64).is_multiple_of(4) {
                let at = usize::try_from((random >> 32) % 3).unwrap();
                let _ = stores[at].read().unwrap().close();
                *stores[at].write().unwrap() = open(names[at]).unwrap();
            } else {
                fault(random >> 66, span);
            }
        }
        std::thread::sleep(Duration::from_secs(1));
        ending.store(true, Ordering::Relaxed);
    });
    // All of them follow again, and agree.
    let end = Instant::now() + Duration::from_secs(60);
    while !stores.iter().all(|store| store.read().unwrap().is_ready()) {
        assert!(Instant::now() < end, "a node does not follow again");
        std::thread::sleep(Duration::from_millis(50));
    }
    let late = open("late").unwrap();
    for store in stores.iter().map(|store| store.read().unwrap().clone()).chain([late]) {
        assert!(store.revoke("00000000-0000-7000-8000-000000000001".parse().unwrap(), "none").is_err());
        history.verify_all("at the end, a node", &store);
        assert!(store.verify_events().unwrap().is_whole());
    }
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{faults} faults: {} accepted, {} refused, {} unavailable; {} revocations acknowledged, {} changes failed",
        count(&history.accepted),
        count(&history.refused),
        count(&history.unavailable),
        count(&history.revoked),
        count(&history.failed)
    );
    let violations = history.faults.into_inner().unwrap();
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(count(&history.accepted) > 0 && count(&history.revoked) > 0, "nothing happened");
}
