//! The scan of the whole database when its store is opened.
//!
//! Three threads share the work: one reads records, this one checks them and puts them into the index, and one reads
//! the history and the tables that follow from records. Most of the work of the first and the last is sled's, page by
//! page.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, ScopedJoinHandle, scope};

use crate::access::catalog::Catalog;
use crate::access::named::Kind;
use crate::access::owner::OwnerRef;
use crate::access::stores;
use crate::base::codec;
use crate::base::interner::IDENTITIES;
use crate::base::panics::catch_panic;
use crate::index::Index;
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::idempotency::NEVER_EXPIRES;
use crate::key::lifetime::Lifetime;
use crate::key::named::NamedRecord;
use crate::key::record::{Record, record_hash};
use crate::storage::open_error::OpenError;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

use crate::storage::database::disk::{Bytes, Disk, imported_digests};
use crate::storage::database::owner_places::owner_key_into;
use crate::storage::open_error::{damaged, read_error};

/// The result of a scan of all records.
#[derive(Default)]
pub(crate) struct ScanResult {
    records: u64,
    sum: u128,
    last_id: u128,
    /// The number of keys that need a pepper, by its number.
    pub(crate) peppered: BTreeMap<u32, u64>,
    /// The number of keys with a token of a prefix.
    pub(crate) prefixed: BTreeMap<String, u64>,
    /// The number of keys that would be valid if their secrets were not older than the store allows.
    pub(crate) outlived: u64,
    /// The number of keys with an idle end.
    pub(crate) idle_ends: u64,
    pub(crate) unmatched: Unmatched,
    /// Keys with more than one secret.
    pub(crate) overlapping: Vec<u128>,
}

impl ScanResult {
    /// Counts the prefixes of a key: those of its secrets, and that of its next one.
    fn has_prefixes_of(&mut self, record: &Record) {
        let all = || record.secrets.iter().map(|secret| secret.form.prefix()).chain([record.prefix.as_deref()]);
        for (at, prefix) in all().enumerate() {
            let Some(prefix) = prefix.filter(|prefix| !all().take(at).any(|earlier| earlier == Some(*prefix))) else {
                continue;
            };
            match self.prefixed.get_mut(prefix) {
                Some(keys) => *keys += 1,
                None => drop(self.prefixed.insert(prefix.to_owned(), 1)),
            }
        }
    }
}

/// The rules for records.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) now: i64,
    pub(crate) lifetime: Lifetime,
    pub(crate) catalog: Option<&'a Catalog>,
}

/// Keys that have not ended, with grants that match no permission of the catalogue.
#[derive(Default)]
pub(crate) struct Unmatched {
    pub(crate) keys: u64,
    /// Some of those grants.
    grants: BTreeSet<String>,
}

impl Unmatched {
    const NAMED: usize = 10;

    fn note(&mut self, catalog: &Catalog, record: &Record) {
        let mut unmatched = record.permissions.iter().filter(|grant| !catalog.has(grant)).peekable();
        self.keys += u64::from(unmatched.peek().is_some());
        for grant in unmatched {
            if self.grants.len() < Self::NAMED {
                self.grants.insert(grant.clone());
            }
        }
    }

    /// Lists at most ten of the grants.
    pub(crate) fn grants(&self) -> String {
        self.grants.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

/// The number of records in a chunk, and of chunks that may wait for the index.
const CHUNK: usize = 512;
const WAITING: usize = 16;

type Chunk = Vec<Result<(u128, Bytes), StoreError>>;

/// Reads everything, puts the keys into the index, and checks that the database is as the last change left it.
/// `expected` is an estimate of the number of keys.
pub(crate) fn scan(
    disk: &Disk,
    index: &Index,
    head: &Head,
    expected: usize,
    path: &Path,
    rules: Rules<'_>,
) -> Result<ScanResult, OpenError> {
    let uses = uses(disk, path)?;
    let used =
        |digest: &Digest| digest.split_first_chunk::<16>().and_then(|(half, _)| uses.get(half)).copied().unwrap_or(0);
    let awaiting = awaiting_first_use(disk, path, rules.now)?;
    let named = take_in_named(disk, index, path)?;
    IDENTITIES.expect(expected);
    let none = Tables { owners: Tally::new(), imported: Tally::new() };
    let (send, receive) = sync_channel(WAITING);
    let (read, found, rest) = scope(|scope| -> Result<_, OpenError> {
        // A panic of sled in another thread counts as one in this thread.
        let begin = || Builder::new().name("apikey".into());
        let io = |source| OpenError::io(path, source);
        let reader = begin().spawn_scoped(scope, || catch_panic(|| read_all(disk, send))).map_err(io)?;
        let rest = begin().spawn_scoped(scope, || catch_panic(|| read_rest(disk, head, none, path))).map_err(io)?;
        let found = take_in(receive, index, path, used, &awaiting, (none, named), rules);
        Ok((ended(reader), found, ended(rest)))
    })?;
    let panicked = |panic| damaged(path, format!("the database panics when it is read: {panic}"));
    read.map_err(panicked)?;
    let (found, due) = found?;
    IDENTITIES.finish();
    check_head(head, &found, path)?;
    let held = rest.map_err(panicked)??;
    for (name, held, due) in [("owners", held.owners, due.owners), ("imported keys", held.imported, due.imported)] {
        if held.sum != due.sum {
            return Err(damaged(path, format!("the table of {name} does not fit the records")));
        }
    }
    Ok(found)
}

fn ended<T>(thread: ScopedJoinHandle<'_, Result<T, String>>) -> Result<T, String> {
    thread.join().unwrap_or_else(|_| Err("its reader panicked".into()))
}

/// Reads the times of last use in seconds, by the first half of a secret's digest.
fn uses(disk: &Disk, path: &Path) -> Result<HashMap<[u8; 16], u32>, OpenError> {
    let mut uses = HashMap::new();
    for item in disk.uses() {
        let (secret, second) = item.map_err(|error| read_error(path, "a time of use", error))?;
        if let (Ok(secret), Ok(second)) = (<[u8; 16]>::try_from(&*secret), second.as_ref().try_into()) {
            uses.insert(secret, u32::from_le_bytes(second));
        }
    }
    Ok(uses)
}

/// Reads the keys and versions of idempotent requests that can be repeated until the secret's first use.
fn awaiting_first_use(disk: &Disk, path: &Path, now: i64) -> Result<HashSet<(u128, u32)>, OpenError> {
    let mut awaiting = HashSet::new();
    for outcome in disk.request_outcomes() {
        let outcome =
            outcome.map_err(|error| read_error(path, "what a request with an idempotency key made", error))?;
        if outcome.holds(now) && outcome.at != NEVER_EXPIRES {
            awaiting.insert((outcome.key, outcome.version));
        }
    }
    Ok(awaiting)
}

/// Sends every record. It stops early if the receiver has gone.
fn read_all(disk: &Disk, send: SyncSender<Chunk>) {
    let mut records = disk.records(None).peekable();
    while records.peek().is_some() {
        if send.send(records.by_ref().take(CHUNK).collect()).is_err() {
            return;
        }
    }
}

/// Checks the history, and adds up what the other tables hold.
fn read_rest(disk: &Disk, head: &Head, mut tables: Tables, path: &Path) -> Result<Tables, OpenError> {
    if let Some(what) = disk.missing_events(head).map_err(|error| read_error(path, "an event", error))? {
        return Err(damaged(path, what));
    }
    for key in disk.owner_keys() {
        tables.owners.add(&key.map_err(|error| read_error(path, "owners", error))?);
    }
    for key in disk.imported_keys() {
        tables.imported.add(&key.map_err(|error| read_error(path, "imported keys", error))?);
    }
    Ok(tables)
}

/// How many roles, tenants and owners there are, and the sum of their hashes.
#[derive(Default)]
struct NamedTotals {
    records: u64,
    sum: u128,
}

/// Reads the roles, tenants and owners and puts them into the index, before the keys that have them.
fn take_in_named(disk: &Disk, index: &Index, path: &Path) -> Result<NamedTotals, OpenError> {
    let mut totals = NamedTotals::default();
    for item in disk.named_frames() {
        let (id, frame) = item.map_err(|error| read_error(path, "a role, tenant or owner", error))?;
        let Some(kind) = Kind::of(id) else { continue };
        let record = NamedRecord::decode(kind, &frame);
        let record = record.map_err(|error| read_error(path, "a role, tenant or owner", error.into()))?;
        if record.id() != id {
            return Err(damaged(path, format!("the record of {:?} lies in the place of another", record.name())));
        }
        totals.records += 1;
        totals.sum = totals.sum.wrapping_add(record_hash(&frame));
        let published = record.allowance().and_then(|rights| index.publish_named(id, rights));
        published.map_err(|full| OpenError::io(path, full.into()))?;
    }
    Ok(totals)
}

/// Checks records and puts them into the index.
fn take_in(
    records: Receiver<Chunk>,
    index: &Index,
    path: &Path,
    used: impl Fn(&Digest) -> u32,
    awaiting: &HashSet<(u128, u32)>,
    (mut tables, named): (Tables, NamedTotals),
    Rules { now, lifetime, catalog }: Rules<'_>,
) -> Result<(ScanResult, Tables), OpenError> {
    let mut found = ScanResult { records: named.records, sum: named.sum, ..ScanResult::default() };
    let default = stores::default_prefix(index.store());
    let mut place = Vec::new();
    for item in records.into_iter().flatten() {
        let (id, frame) = item.map_err(|error| read_error(path, "a record", error))?;
        let subject = || format!("the record of key {}", KeyId::from_u128(id));
        let record = codec::decode::<Record>(&frame).map_err(|error| read_error(path, &subject(), error.into()))?;
        if record.id != id {
            return Err(damaged(path, format!("{} holds another key", subject())));
        }
        found.records += 1;
        found.sum = found.sum.wrapping_add(record_hash(&frame));
        found.last_id = id;
        let peppers = record.secrets.iter().map(|secret| secret.pepper).filter(|number| *number > 0);
        for number in peppers.collect::<BTreeSet<u32>>() {
            *found.peppered.entry(number).or_default() += 1;
        }
        found.has_prefixes_of(&record);
        let newest = record.secrets.last().and_then(|secret| lifetime.end_of(&record, secret));
        if newest.is_some_and(|end| end <= now) && record.revoked.is_none() && !record.expired(now) {
            found.outlived += 1;
        }
        found.idle_ends += u64::from(record.idle.is_some() && record.revoked.is_none());
        if let Some(catalog) = catalog.filter(|_| record.revoked.is_none() && !record.expired(now)) {
            found.unmatched.note(catalog, &record);
        }
        if record.secrets.len() > 1 {
            found.overlapping.push(id);
        }
        owner_key_into(&mut place, record.owner(), id);
        tables.owners.add(&place);
        if record.tenant.is_some() {
            owner_key_into(&mut place, OwnerRef { name: "", ..record.owner() }, id);
            tables.owners.add(&place);
        }
        imported_digests(&record).for_each(|digest| tables.imported.add(&digest));
        let rights = EffectiveKey::of_many(&record, lifetime, default);
        let mut rights = rights.map_err(|full| OpenError::io(path, full.into()))?;
        if let Some((newest, stored)) = rights.secrets.last_mut().zip(record.secrets.last()) {
            let unused = !stored.used && used(&newest.digest) == 0;
            newest.unused |= unused && awaiting.contains(&(id, newest.version));
        }
        index.load(&rights, &used);
    }
    Ok((found, tables))
}

/// What the tables that follow from records hold, or should hold.
#[derive(Clone, Copy)]
struct Tables {
    owners: Tally,
    imported: Tally,
}

/// Compares two sets of keys by a sum of hashes, without keeping either set.
#[derive(Clone, Copy)]
struct Tally {
    sum: u64,
    seed: u64,
}

impl Tally {
    fn new() -> Self {
        Self { sum: 0, seed: RandomState::new().hash_one(0) }
    }

    fn add(&mut self, key: &[u8]) {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.seed);
        hasher.write(key);
        self.sum = self.sum.wrapping_add(hasher.finish());
    }
}

/// Checks that the records are those that the last change left.
fn check_head(head: &Head, found: &ScanResult, path: &Path) -> Result<(), OpenError> {
    if (head.records, head.sum) == (found.records, found.sum) && head.last_id >= found.last_id {
        return Ok(());
    }
    let what = format!(
        "change {} left {} records, {} are there{}",
        head.number,
        head.records,
        found.records,
        if head.records == found.records { ", and not the same" } else { "" }
    );
    Err(damaged(path, what))
}
