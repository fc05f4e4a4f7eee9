//! The API in a cluster: changes wait for other nodes as futures, and no thread does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apikey::cluster::{
    Appended, Cell, CellKind, CellName, Cluster, Entry, Fence, Ledger, LedgerError, LedgerResult, Logged, Look,
    MemoryLedger, Piece, Position, Reserved, Sight, Standing, Step, Swap, Tally, Woken,
};
use apikey::management::handle;
use apikey::{KeyFilter, KeyState, KeyStore, NewKey};
use apikey_testkit::{Call, block_on, wait_until};
use futures_util::future::join_all;
use serde_json::json;

use crate::fixture::Api;

/// A ledger that a test takes away from its node.
struct Removable {
    ledger: MemoryLedger,
    is_away: Arc<AtomicBool>,
}

impl Removable {
    fn here(&self) -> LedgerResult<&MemoryLedger> {
        if self.is_away.load(Ordering::SeqCst) { Err(LedgerError::refused("it is away")) } else { Ok(&self.ledger) }
    }
}

impl Ledger for Removable {
    fn name(&self) -> String {
        "memory".to_owned()
    }

    fn sight(&self, generation: u64, by: Instant) -> LedgerResult<Sight> {
        self.here()?.sight(generation, by)
    }

    fn look(&self, generation: u64, standing: &Standing<'_>, by: Instant) -> LedgerResult<Look> {
        self.here()?.look(generation, standing, by)
    }

    fn begin(&self, generation: u64, head: &Position, by: Instant) -> LedgerResult<bool> {
        self.here()?.begin(generation, head, by)
    }

    fn append(&self, entry: &Entry<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<Appended> {
        self.here()?.append(entry, fence, by)
    }

    fn read(&self, generation: u64, after: u64, max_bytes: usize, by: Instant) -> LedgerResult<Vec<Logged>> {
        self.here()?.read(generation, after, max_bytes, by)
    }

    fn load(
        &self,
        generation: u64,
        by: Instant,
        take: &mut dyn FnMut(Piece<'_>) -> LedgerResult<()>,
    ) -> LedgerResult<()> {
        self.here()?.load(generation, by, take)
    }

    fn advance(&self, step: &Step<'_>, fence: Option<&Fence>, by: Instant) -> LedgerResult<bool> {
        self.here()?.advance(step, fence, by)
    }

    fn trim(&self, generation: u64, through: u64, by: Instant) -> LedgerResult<()> {
        self.here()?.trim(generation, through, by)
    }

    fn wait(&self, generation: u64, after: u64, by: Instant) -> LedgerResult<Woken> {
        self.here()?.wait(generation, after, by)
    }

    fn cells(&self, generation: u64, kinds: &[CellKind], by: Instant) -> LedgerResult<Vec<Cell>> {
        self.here()?.cells(generation, kinds, by)
    }

    fn swap(&self, cell: &CellName, old: Option<&[u8]>, new: Option<&[u8]>, by: Instant) -> LedgerResult<bool> {
        self.here()?.swap(cell, old, new, by)
    }

    fn note(&self, cell: &CellName, value: &[u8], by: Instant) -> LedgerResult<()> {
        self.here()?.note(cell, value, by)
    }

    fn tally(&self, generation: u64, tallies: &[Tally], by: Instant) -> LedgerResult<()> {
        self.here()?.tally(generation, tallies, by)
    }

    fn tallies(&self, generation: u64, begins: &[&[u8]], by: Instant) -> LedgerResult<Vec<Tally>> {
        self.here()?.tallies(generation, begins, by)
    }

    fn forget_tallies(&self, generation: u64, from: &[u8], to: &[u8], by: Instant) -> LedgerResult<()> {
        self.here()?.forget_tallies(generation, from, to, by)
    }

    fn reserve(&self, generation: u64, swaps: &[Swap<'_>], by: Instant) -> LedgerResult<Vec<Reserved>> {
        self.here()?.reserve(generation, swaps, by)
    }

    fn close(&self) {
        self.ledger.close();
    }
}

/// A node, and what takes its ledger away.
fn node(ledger: &MemoryLedger, name: &str) -> (KeyStore, Arc<AtomicBool>) {
    let is_away = Arc::new(AtomicBool::new(false));
    let ledger = Removable { ledger: ledger.another(), is_away: is_away.clone() };
    let cluster = Cluster::new(ledger).name(name).max_staleness(Duration::from_secs(600));
    (KeyStore::builder().cluster(cluster.write_timeout(Duration::from_secs(2))).temporary().unwrap(), is_away)
}

#[test]
fn a_change_is_answered_once_every_node_has_it() {
    let ledger = MemoryLedger::new();
    let ((one, _), (two, _)) = (node(&ledger, "one"), node(&ledger, "two"));
    let api = Api::of(one);
    let admin = api.key("root", &["*"]);
    for _ in 0..20 {
        let created = api.ask(&admin, Call::post("/keys", r#"{"owner":"alice"}"#));
        assert_eq!(created.status, 201);
        let (created, token) = (created.json(), created.json()["key"].as_str().unwrap().to_owned());
        assert!(two.verify(&token).is_ok());
        let revoked = api.ask(&admin, Call::delete(format!("/keys/{}", created["id"].as_str().unwrap())));
        assert_eq!((revoked.status, revoked.body.as_str()), (204, ""));
        assert_eq!(two.verify(&token).unwrap_err().code(), "revoked_api_key");
    }
    let nodes = || api.ask(&admin, Call::get("/health")).json()["cluster"]["nodes"].as_array().unwrap().len();
    wait_until("it knows the other node", || nodes() == 2);
}

/// `max_staleness` is ten minutes: a revocation that waited for the dead node would take as long, and two hundred of them one
/// after the other seventeen minutes if each waited for 5 seconds.
#[test]
fn two_hundred_revocations_with_a_dead_node_are_answered_with_what_is_outstanding() {
    let ledger = MemoryLedger::new();
    let ((one, _), (two, is_dead)) = (node(&ledger, "one"), node(&ledger, "two"));
    let api = Api::of(one);
    let admin = api.key("root", &["*"]);
    let keys = api.store.create_many((0..200).map(|_| NewKey::for_owner("alice"))).unwrap();
    is_dead.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    let revoke = |(n, key): (usize, &apikey::CreatedKey)| {
        let path = format!("/keys/{}", key.info.id());
        let request = if n % 2 == 0 { http::Request::delete(path) } else { http::Request::post(path + "/revoke") };
        let request = request.header("x-api-key", admin.key.expose_secret());
        handle(&api.management, request.body("").unwrap())
    };
    let answers = block_on(join_all(keys.iter().enumerate().map(revoke)));
    // This one number is what the API promises, and no property of the machine.
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for (n, answer) in answers.iter().enumerate() {
        let body: serde_json::Value = serde_json::from_str(answer.body()).unwrap();
        assert_eq!((answer.status().as_u16(), &body["outstanding"]), (202, &json!(["two"])), "{body}");
        assert!(body["everywhere_by"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().is_ok());
        assert_eq!(body["state"] == "revoked", n % 2 == 1, "{body}");
    }
    // They hold here, and there as soon as the node is back.
    let count = |store: &KeyStore| {
        let filter = KeyFilter::owner("alice").state(KeyState::Revoked).limit(1000);
        store.list(&filter).unwrap().keys.len()
    };
    assert_eq!(count(&api.store), 200);
    is_dead.store(false, Ordering::SeqCst);
    wait_until("the other node has them", || count(&two) == 200);
}

#[test]
fn while_the_engine_is_away_reads_are_answered_and_changes_fail() {
    let ledger = MemoryLedger::new();
    let (one, is_away) = node(&ledger, "one");
    let api = Api::of(one);
    let admin = api.key("root", &["*"]);
    let [key, urgent] = [(), ()].map(|()| api.key("alice", &["orders:read"]));
    is_away.store(true, Ordering::SeqCst);
    let token = admin.key.expose_secret();
    let create = || {
        let request =
            http::Request::post("/keys").header("x-api-key", token).header("content-type", "application/json");
        handle(&api.management, request.body(r#"{"owner":"bob"}"#).unwrap())
    };
    let read = || handle(&api.management, http::Request::get("/keys").header("x-api-key", token).body("").unwrap());
    let creates: Vec<_> = (0..400).map(|_| create()).collect();
    let request = http::Request::delete(format!("/keys/{}", urgent.info.id())).header("x-api-key", token);
    let revoke = handle(&api.management, request.body("").unwrap());
    let reads: Vec<_> = (0..100).map(|_| read()).collect();
    assert!(block_on(join_all(reads)).iter().all(|answer| answer.status() == 200));
    // However many changes wait, a revocation is one more, and the next: it is in force on this node.
    let revoked = block_on(revoke);
    assert!(revoked.status() == 503 && revoked.body().contains(r#""in_force":true"#), "{}", revoked.body());
    assert_eq!(api.store.verify(urgent.key.expose_secret()).unwrap_err().code(), "revoked_api_key");
    // More than wait are refused at once, and nobody waits for ever.
    for answer in block_on(join_all(creates)) {
        assert_eq!(answer.status(), 503, "{}", answer.body());
        assert!(!answer.body().contains("away"), "{}", answer.body());
    }
    // A revocation is in force here all the same.
    let revoked = api.ask(&admin, Call::delete(format!("/keys/{}", key.info.id())));
    assert_eq!(revoked.status, 503);
    assert_eq!(api.store.verify(key.key.expose_secret()).unwrap_err().code(), "revoked_api_key");
    is_away.store(false, Ordering::SeqCst);
    wait_until("changes are made again", || block_on(create()).status() == 201);
}
