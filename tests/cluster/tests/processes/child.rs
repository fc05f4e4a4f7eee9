//! A node: a process of its own, which the test binary starts from itself.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use apikey_core::cluster::{Cluster, Ledger};
use apikey_core::{
    AuthError, EventFilter, ExportOptions, KeyFilter, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, Requirement,
    StoreError,
};
use apikey_etcd::Etcd;
use apikey_postgres::Postgres;
use apikey_testkit::power::shim;
use chrono::{TimeDelta, Utc};

use super::messages::{
    Act, Answer, ClaimNumber, Done, Dump, DumpedEvent, DumpedKey, Engine, Health, Message, NodeConfig, Order, Outcome,
    SPAN, Seen, now,
};
use super::servers::{NAMESPACE, QUOTA};
use crate::nodes::Newer;

/// How the driver tells the process that it is a node, and which one.
pub(super) const ROLE: &str = "APIKEY_CLUSTER_NODE";
/// Before each line for the driver: the test harness prints lines of its own.
pub(super) const MARK: &str = "node: ";

const READ: &str = "orders:read";
const WRITE: &str = "orders:write";

/// `ENOSPC`.
const NO_SPACE: i32 = 28;

/// By how many minutes the clock of this node is ahead.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// Is a node to its end, if this process is one.
pub(super) fn ran_as_node() -> bool {
    let Ok(config) = std::env::var(ROLE) else { return false };
    let config: NodeConfig = serde_json::from_str(&config).unwrap();
    let store = open(&config);
    say(&Message::Open);
    let claims: Mutex<BTreeMap<ClaimNumber, (String, bool)>> = Mutex::default();
    let closing = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !closing.load(Ordering::Relaxed) {
                verify_for_a_span(&store, &claims);
            }
        });
        for line in std::io::stdin().lock().lines() {
            match serde_json::from_str(&line.unwrap()).unwrap() {
                Order::Watch { claim, token, write } => drop(claims.lock().unwrap().insert(claim, (token, write))),
                Order::Unwatch { claim } => drop(claims.lock().unwrap().remove(&claim)),
                Order::Do { number, act } => {
                    let (store, bound) = (store.clone(), Duration::from_millis(config.max_staleness_ms));
                    thread::spawn(move || {
                        let begin = now();
                        let outcome = act_on(&store, act, bound);
                        say(&Message::Done(Done { number, begin, end: now(), outcome }));
                    });
                }
                Order::Close => break,
            }
        }
        closing.store(true, Ordering::Relaxed);
    });
    store.close().unwrap();
    true
}

fn open(config: &NodeConfig) -> KeyStore {
    loop {
        let cluster = match config.engine {
            Engine::Postgres => on(Postgres::new(&config.connection).namespace(NAMESPACE), config.is_newer),
            Engine::Etcd => {
                on(Etcd::new(config.connection.split(',')).namespace(NAMESPACE).quota(QUOTA), config.is_newer)
            }
        };
        let cluster = cluster
            .name(&config.name)
            .max_staleness(Duration::from_millis(config.max_staleness_ms))
            .write_timeout(Duration::from_millis(config.write_timeout_ms));
        let clock = || Utc::now() + TimeDelta::minutes(AHEAD.load(Ordering::Relaxed));
        let builder = KeyStore::builder().cluster(cluster).clock(clock);
        let opened = match &config.replica {
            Some(replica) => builder.open(replica),
            None => builder.temporary(),
        };
        match opened {
            Ok(store) => return store,
            Err(error) => say(&Message::NotOpen(error.to_string())),
        }
        thread::sleep(Duration::from_millis(100));
    }
}

fn on(ledger: impl Ledger, is_newer: bool) -> Cluster {
    if is_newer { Cluster::new(Newer(ledger)) } else { Cluster::new(ledger) }
}

fn say(said: &Message) {
    let line = format!("\n{MARK}{}\n", serde_json::to_string(said).unwrap());
    // Without the driver there is nobody to serve.
    let mut output = std::io::stdout().lock();
    if output.write_all(line.as_bytes()).and_then(|()| output.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Verifies all claims, again and again, and says what was answered.
fn verify_for_a_span(store: &KeyStore, claims: &Mutex<BTreeMap<ClaimNumber, (String, bool)>>) {
    let (read, write) = (Requirement::permission(READ).unwrap(), Requirement::permission(WRITE).unwrap());
    let mut seen: BTreeMap<(ClaimNumber, Answer), Seen> = BTreeMap::new();
    let claims = claims.lock().unwrap().clone();
    let end = now() + SPAN;
    'span: loop {
        for (claim, (token, needs_write)) in &claims {
            let begin = now();
            if begin >= end {
                break 'span;
            }
            let answer = match store.authorize(token, if *needs_write { &write } else { &read }) {
                Ok(_) => Answer::Accepted,
                Err(AuthError::Revoked) => Answer::Revoked,
                Err(AuthError::Unavailable) => Answer::Unavailable,
                Err(_) => Answer::Refused,
            };
            let at = (begin, now());
            let new = Seen { claim: *claim, answer, count: 0, first: at, last: at };
            let one = seen.entry((*claim, answer)).or_insert(new);
            one.count += 1;
            one.last = at;
        }
        // Some hundred times a second is enough, and leaves the processor to the others.
        thread::sleep(Duration::from_millis(3));
        if now() >= end {
            break;
        }
    }
    if !seen.is_empty() {
        say(&Message::Seen(seen.into_values().collect()));
    }
}

fn act_on(store: &KeyStore, act: Act, bound: Duration) -> Outcome {
    // A barrier is over after the bound and 2 %.
    let everywhere = || store.wait_for_nodes(bound * 2).is_empty();
    let changed = |result: Result<(), StoreError>| match result {
        Ok(()) => Outcome::Changed { everywhere: everywhere() },
        Err(error) => failed(error),
    };
    let id_of = |id: String| id.parse::<KeyId>().unwrap();
    match act {
        Act::Create => match store.create(NewKey::for_owner("alice").permissions([READ, WRITE])) {
            Ok(created) => Outcome::Created {
                id: created.info.id().to_string(),
                token: created.key.expose_secret().to_owned(),
                everywhere: everywhere(),
            },
            Err(error) => failed(error),
        },
        // These return once they hold everywhere, by themselves.
        Act::Revoke { id } => match store.revoke(id_of(id), "history") {
            Ok(_) => Outcome::Changed { everywhere: true },
            Err(error) => failed(error),
        },
        Act::Disable { id, on: true } => match store.update(id_of(id), KeyUpdate::new().disabled(true)) {
            Ok(_) => Outcome::Changed { everywhere: true },
            Err(error) => failed(error),
        },
        Act::Permit { id, write: false } => match store.update(id_of(id), KeyUpdate::new().permissions([READ])) {
            Ok(_) => Outcome::Changed { everywhere: true },
            Err(error) => failed(error),
        },
        Act::Rotate { id } => match store.rotate(id_of(id), Overlap::None) {
            Ok(rotated) => Outcome::Rotated { token: rotated.key.expose_secret().to_owned() },
            Err(error) => failed(error),
        },
        Act::Disable { id, on: false } => changed(store.update(id_of(id), KeyUpdate::new().disabled(false)).map(drop)),
        Act::Permit { id, write: true } => {
            changed(store.update(id_of(id), KeyUpdate::new().permissions([READ, WRITE])).map(drop))
        }
        Act::CatchUp => {
            // An answer that changes nothing is given at the head of the log.
            let nobody = "00000000-0000-7000-8000-000000000001".parse().unwrap();
            match store.revoke(nobody, "none") {
                Err(StoreError::NotFound(_)) => Outcome::Changed { everywhere: true },
                Ok(_) => Outcome::Failed("it has a key that nobody made".into()),
                Err(error) => failed(error),
            }
        }
        Act::Clock { minutes } => {
            AHEAD.store(minutes, Ordering::Relaxed);
            Outcome::Changed { everywhere: false }
        }
        Act::FillDisk { calls } => {
            shim::recording().write_all(format!("!fail wm {NO_SPACE} {calls}").as_bytes()).unwrap();
            Outcome::Changed { everywhere: false }
        }
        Act::Health => {
            let health = store.health().cluster.unwrap();
            Outcome::Health(Health {
                ready: store.is_ready(),
                applied: health.applied,
                only_here: health.only_here,
                stopped: health.stopped,
                recovered: health.recovered,
                engine_error: health.engine_error,
            })
        }
        Act::Dump => Outcome::Dump(Box::new(dump(store))),
    }
}

fn failed(error: StoreError) -> Outcome {
    use apikey_core::ClusterError;
    match error {
        StoreError::Cluster(ClusterError::OnlyHere { is_kept, .. }) => Outcome::OnlyHere { kept: is_kept },
        error => Outcome::Failed(error.to_string()),
    }
}

fn dump(store: &KeyStore) -> Dump {
    let mut keys = Vec::new();
    let mut filter = KeyFilter::default();
    loop {
        let page = store.list(&filter).unwrap();
        keys.extend(page.keys.iter().map(|key| DumpedKey {
            id: key.id().to_string(),
            revoked: key.revoked().is_some(),
            disabled: key.disabled(),
            write: key.permissions().iter().any(|permission| permission == WRITE),
        }));
        let Some(next) = page.next else { break };
        filter = KeyFilter::default().after(next);
    }
    keys.sort_by(|one, two| one.id.cmp(&two.id));
    let mut lines = Vec::new();
    store.export(&mut lines, &ExportOptions::default().digests(true)).unwrap();
    let mut records = String::new();
    for line in std::str::from_utf8(&lines).unwrap().lines() {
        let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
        value.as_object_mut().unwrap().remove("last_used_at");
        records.push_str(&value.to_string());
        records.push('\n');
    }
    let mut events = Vec::new();
    let mut filter = EventFilter::default();
    loop {
        let page = store.events(&filter).unwrap();
        events.extend(page.events.iter().map(|event| DumpedEvent {
            number: event.number(),
            key: event.key().map(|key| key.to_string()),
            kind: event.kind().name().to_owned(),
            text: serde_json::to_string(event).unwrap(),
        }));
        let Some(next) = page.next else { break };
        filter = EventFilter::default().after(next);
    }
    let report = store.verify_events().unwrap();
    let fault = report.fault.map(|fault| fault.to_string());
    Dump { applied: store.health().cluster.unwrap().applied, keys, records, events, fault }
}
