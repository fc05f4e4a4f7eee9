//! Opening a store: its lock, its directory, its database, and every record in it checked.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use sled::IVec;
use tempfile::TempDir;

use crate::codec::{self, CodecError, FORMAT, Frame};
use crate::digest::{Digest, Digester};
use crate::error::{OpenError, StoreError};
use crate::event::{Event, EventKind, Head};
use crate::id_source::IdSource;
use crate::idempotency::FOREVER;
use crate::index::Index;
use crate::intern::OWNERS;
use crate::key_id::KeyId;
use crate::quiet::quietly;
use crate::record::{Record, record_hash};
use crate::rights::Rights;

use super::directory::{
    DATABASE, LOCK_STEP, build, clear, lock, make_all_private, prepare, remove_unfinished_snapshots, sync_all,
    sync_directory,
};
use super::disk::{Disk, imported_digests, owner_key};
use super::durable::RecoverError;
use super::in_use;
use super::journal::JournalError;
use super::mark::{Mark, MarkFile};
use super::stuck;
use super::writer::Writer;
use super::{Inner, KeyStore, KeyStoreBuilder, Opened};

/// Pages that sled may keep in memory; records are read only by changes and lists.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// The store's own lock is held, so sled's can only be that of a process forked a moment ago, until its `exec`.
const FORK_GRACE: Duration = Duration::from_secs(2);

/// Tells stores of one process apart.
static STORES: AtomicU64 = AtomicU64::new(1);

/// What a store is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    /// Every prefix it ever had; the last is the current one.
    #[serde(with = "codec::entries::list")]
    prefixes: Vec<String>,
    /// A check value for the number of each pepper it ever had.
    #[serde(with = "codec::entries::map")]
    peppers: BTreeMap<u32, Digest>,
}

impl Frame for Meta {
    const KIND: u8 = b'M';
}

pub(super) fn temporary(options: KeyStoreBuilder) -> Result<KeyStore, OpenError> {
    let directory = TempDir::new().map_err(|source| OpenError::Io { path: std::env::temp_dir(), source })?;
    let path = directory.path().to_owned();
    let database_path = path.join(DATABASE);
    let database = sled_at(&database_path, &path)?;
    let opened = Opened { temporary: Some(directory), lock: None, mark: None, database: database_path };
    finish(options, &path, database, opened, None)
}

pub(super) fn open(options: KeyStoreBuilder, path: &Path) -> Result<KeyStore, OpenError> {
    let io = |source| OpenError::io(path, source);
    prepare(path, options.create)?;
    let lock = lock(path, options.wait)?;
    clear(path).map_err(io)?;
    let database_path = path.join(DATABASE);
    let known = mark(path)?;
    if !database_path.try_exists().map_err(io)? {
        if let Some((_, mark)) = known.as_ref().filter(|(_, mark)| mark.number > 0) {
            let what = format!("its database is gone, and its mark knows change {}", mark.number);
            return Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None });
        }
        // Nothing is there yet, so nothing is damaged.
        create(path).map_err(|error| read_error(path, "the new database", error))?;
    }
    let Some((file, mark)) = mark(path)? else {
        let what = "its commit mark is gone, so nobody can say whether the database is complete".into();
        return Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None });
    };
    remove_unfinished_snapshots(&database_path).map_err(io)?;
    // A process that was killed may have left writes that no sync followed. From what sled reads now it makes a
    // snapshot, which it does sync: without this, a power cut could leave the snapshot and take what it speaks of.
    sync_all(&database_path).map_err(io)?;
    in_use::begin(&database_path).map_err(io)?;
    let database = recovered(&database_path, path)?;
    guarded(database, path, |database| {
        make_all_private(&database_path).map_err(io)?;
        let opened = Opened { temporary: None, lock: Some(lock), mark: Some(file), database: database_path.clone() };
        finish(options, path, database, opened, Some(mark))
    })
}

/// The database, with all that its journal holds.
fn recovered(database_path: &Path, path: &Path) -> Result<sled::Db, OpenError> {
    let complete = guarded(sled_at(database_path, path)?, path, |database| {
        // sled has renamed its new snapshot and freed log that only the old one needed. The name must be on disk before
        // anything of that: without its snapshot, a log with holes is read as far as the first one.
        sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
        let disk = Disk::new(database.clone(), database_path, true);
        let disk = disk.map_err(|error| read_error(path, "its trees", error))?;
        let taken = disk.recover().map_err(|error| recover_error(path, error))?;
        Ok((taken == 0).then_some(database))
    })?;
    // A damaged log that sled has read as far as the damage takes writes, and is read no further the next time: what was
    // taken over must be there when it is opened again.
    let Some(database) = complete else {
        let database = sled_at(database_path, path)?;
        return guarded(database, path, |database| {
            sync_directory(database_path).map_err(|source| OpenError::io(path, source))?;
            Ok(database)
        });
    };
    Ok(database)
}

/// Works with an open database. Damage can make sled panic, and so can a disk that refuses, also when its last handle is
/// dropped.
fn guarded<T>(
    database: sled::Db,
    path: &Path,
    work: impl FnOnce(sled::Db) -> Result<T, OpenError>,
) -> Result<T, OpenError> {
    let held = database.clone();
    let result = quietly(|| work(database)).unwrap_or_else(|panic| {
        Err(match quietly(|| held.flush()) {
            Ok(Err(sled::Error::Io(source))) => OpenError::io(path, source),
            _ => {
                let what = format!("the database panics when it is read: {panic}");
                OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None }
            }
        })
    });
    match &result {
        Ok(_) => quietly(|| drop(held)).map_err(|panic| {
            OpenError::io(path, io::Error::other(format!("the database panicked when it was closed: {panic}")))
        })?,
        // On a disk that refuses that may take for ever; what it says then, the error says already.
        Err(_) => stuck::drop_apart(path.join(DATABASE), Arc::new(held)),
    }
    result
}

fn mark(path: &Path) -> Result<Option<(MarkFile, Mark)>, OpenError> {
    let found = MarkFile::open(path).map_err(|source| OpenError::io(path, source))?;
    let Some((file, mark)) = found else { return Ok(None) };
    Ok(Some((file, mark.map_err(|error| read_error(path, "its commit mark", error.into()))?)))
}
/// Makes an empty database.
fn create(path: &Path) -> Result<(), StoreError> {
    build(path, |disk| {
        // A database without its settings is one that has lost everything, and not a new one.
        disk.set_meta(codec::encode(&Meta::default()).map_err(StoreError::from)?)?;
        Ok(Mark::default())
    })
}

fn sled_at(database: &Path, path: &Path) -> Result<sled::Db, OpenError> {
    let damaged =
        |what: &str, source| OpenError::Damaged { path: path.to_owned(), what: what.to_owned(), backup: None, source };
    let config = sled::Config::new().path(database).cache_capacity(CACHE_BYTES);
    let until = Instant::now() + FORK_GRACE;
    // Damage can make sled panic while it opens; that must not be the service's end.
    let mut opened = quietly(|| config.open());
    while matches!(&opened, Ok(Err(error)) if is_locked(error)) && Instant::now() < until {
        std::thread::sleep(LOCK_STEP);
        opened = quietly(|| config.open());
    }
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) if is_locked(&error) => match stuck::take_over(database) {
            Ok(true) => sled_at(database, path),
            Ok(false) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(source) => Err(OpenError::io(path, source)),
        },
        Ok(Err(sled::Error::Io(source))) => Err(OpenError::io(path, source)),
        Ok(Err(error)) => Err(damaged("the database does not open", Some(error.into()))),
        Err(panic) => Err(damaged(&format!("the database panics when it is opened: {panic}"), None)),
    }
}

/// sled says so in words only.
fn is_locked(error: &sled::Error) -> bool {
    matches!(error, sled::Error::Io(error) if error.to_string().contains("could not acquire lock"))
}

/// Reads and checks everything, and starts the store.
fn finish(
    options: KeyStoreBuilder,
    path: &Path,
    database: sled::Db,
    opened: Opened,
    mark: Option<Mark>,
) -> Result<KeyStore, OpenError> {
    let fault = |error| read_error(path, "its head", error);
    let directory = path.join(DATABASE);
    let disk = Disk::new(database, &directory, opened.temporary.is_none()).map_err(fault)?;
    disk.check_journal().map_err(|error| recover_error(path, error))?;
    let digesters = digesters(&options);
    let meta = read_meta(&disk, path)?;
    if meta.is_none() && opened.temporary.is_none() {
        let what = "its settings are gone, and maybe all keys".into();
        return Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None });
    }
    let bound = bind(&options, meta.clone().unwrap_or_default(), &digesters)?;
    let head = disk.head().map_err(fault)?.unwrap_or_default();
    let store = STORES.fetch_add(1, Ordering::Relaxed);
    let log = disk.log_bytes().map_err(|source| OpenError::io(path, source))?;
    // A tampered count must not reserve all memory.
    let keys = usize::try_from(head.records.min(log / SMALLEST_RECORD)).unwrap_or(0);
    let index = Index::new(store, keys, digesters.clone(), options.track_use);
    let now = options.time.now_ms();
    // Records on this thread, events on another.
    let (found, history) = std::thread::scope(|scope| {
        let history = scope.spawn(|| quietly(|| check_history(&disk, &head, path)));
        let found = load(&disk, &index, path, now);
        (found, history.join().unwrap_or_else(|_| Err("the thread that reads them panicked".into())))
    });
    let found = found?;
    check_head(&head, &found, path)?;
    history.unwrap_or_else(|panic| {
        let what = format!("the database panics when its events are read: {panic}");
        Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None })
    })?;
    check_mark(mark, &head, path)?;
    check_peppers(&digesters, &meta.as_ref().map_or_else(BTreeMap::new, |meta| meta.peppers.clone()), &found)?;
    if meta.as_ref() != Some(&bound) {
        let frame = codec::encode(&bound).map_err(StoreError::from).map_err(fault)?;
        disk.set_meta(frame).map_err(fault)?;
    }
    // Not before: what was found wrong may be looked for there.
    disk.begin_journal().map_err(|source| OpenError::io(path, source))?;
    let last_id = (head.last_id > 0).then(|| KeyId::from_u128(head.last_id));
    let writer = Writer::new(head, IdSource::after(last_id), digesters, found.overlapping);
    let inner = Inner::new(options, store, index, disk, writer, opened);
    KeyStore::start(inner).map_err(|source| OpenError::io(path, source))
}

/// Fewer bytes than any key takes in the database's log: its digest alone has half as many, and then there is its event.
const SMALLEST_RECORD: u64 = 64;

/// One without a pepper, then one for each in the order of their numbers: the last is for new secrets.
fn digesters(options: &KeyStoreBuilder) -> Vec<Digester> {
    let mut peppers: Vec<_> = options.peppers.iter().collect();
    peppers.sort_by_key(|pepper| pepper.number);
    [Digester::plain()].into_iter().chain(peppers.into_iter().map(Digester::peppered)).collect()
}

fn read_meta(disk: &Disk, path: &Path) -> Result<Option<Meta>, OpenError> {
    let frame = disk.meta().map_err(|error| read_error(path, "its settings", error))?;
    let meta = frame.map(|frame| codec::decode::<Meta>(&frame).map_err(StoreError::from)).transpose();
    meta.map_err(|error| read_error(path, "its settings", error))
}

/// Holds the options against what the store is bound to, and adds what is new.
fn bind(options: &KeyStoreBuilder, mut meta: Meta, digesters: &[Digester]) -> Result<Meta, OpenError> {
    for prefix in &meta.prefixes {
        if *prefix != options.prefix && !options.accepted.contains(prefix) {
            return Err(OpenError::Config(format!(
                "prefix {:?}: the store has keys made with {prefix:?}; open it with that prefix, or add \
                 .accept_prefix({prefix:?})",
                options.prefix
            )));
        }
    }
    meta.prefixes.retain(|prefix| *prefix != options.prefix);
    meta.prefixes.push(options.prefix.clone());
    for digester in digesters.iter().filter(|digester| digester.pepper() > 0) {
        meta.peppers.entry(digester.pepper()).or_insert_with(|| digester.check_value());
    }
    Ok(meta)
}

/// Every pepper that a key needs must be there, and be the one it was made with.
fn check_peppers(digesters: &[Digester], check_values: &BTreeMap<u32, Digest>, found: &Found) -> Result<(), OpenError> {
    for digester in digesters.iter().filter(|digester| digester.pepper() > 0) {
        let number = digester.pepper();
        if check_values.get(&number).is_some_and(|value| *value != digester.check_value()) {
            let keys = found.peppered.get(&number).copied().unwrap_or(0);
            return Err(OpenError::Config(format!(
                "pepper {number}: these are not the bytes the store knows under that number, and {keys} keys need \
                 those; a new pepper needs a new number"
            )));
        }
    }
    let given = |number: u32| digesters.iter().any(|digester| digester.pepper() == number);
    match found.peppered.iter().find(|(number, _)| !given(**number)) {
        None => Ok(()),
        Some((number, keys)) => Err(OpenError::Config(format!(
            "pepper {number} is missing, and {keys} keys need it: give it with .pepper(Pepper::new({number}, ..))"
        ))),
    }
}

/// What a scan of all records finds.
#[derive(Default)]
struct Found {
    records: u64,
    sum: u128,
    last_id: u128,
    /// How many keys need a pepper, by its number.
    peppered: BTreeMap<u32, u64>,
    /// Keys with more than one secret.
    overlapping: Vec<u128>,
}

/// Records read in one go, and how many such chunks may wait to be taken in.
const CHUNK: usize = 512;
const WAITING: usize = 16;

type Chunk = Vec<Result<(u128, IVec), StoreError>>;

/// Reads every record: one thread reads them from the database, this one checks them and takes them in.
fn load(disk: &Disk, index: &Index, path: &Path, now: i64) -> Result<Found, OpenError> {
    let fault = |error| read_error(path, "a time of use", error);
    let mut uses = HashMap::new();
    for item in disk.uses() {
        let (secret, second) = item.map_err(fault)?;
        if let (Ok(secret), Ok(second)) = (<[u8; 16]>::try_from(&*secret), second.as_ref().try_into()) {
            uses.insert(secret, u32::from_le_bytes(second));
        }
    }
    let used =
        |digest: &Digest| digest.split_first_chunk::<16>().and_then(|(half, _)| uses.get(half)).copied().unwrap_or(0);
    let mut awaited = HashSet::new();
    for made in disk.all_made() {
        let made = made.map_err(|error| read_error(path, "what a request with an idempotency key made", error))?;
        if made.holds(now) && made.at != FOREVER {
            awaited.insert((made.key, made.version));
        }
    }
    let tallies = Tallies { owners: Tally::new(), imported: Tally::new() };
    let (send, receive) = sync_channel(WAITING);
    let (read, found) = thread::scope(|scope| -> Result<_, OpenError> {
        // A panic of sled in that thread is kept as one in this thread would be.
        let reader = move || quietly(|| read_all(disk, &send, tallies));
        let reader = thread::Builder::new().name("apikey".into()).spawn_scoped(scope, reader);
        let reader = reader.map_err(|source| OpenError::io(path, source))?;
        let found = take_in(receive, index, path, used, &awaited, tallies);
        let read = reader.join().unwrap_or_else(|_| Err("its reader panicked".into()));
        Ok((read, found))
    })?;
    let held = read.map_err(|panic| {
        let what = format!("the database panics when it is read: {panic}");
        OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None }
    })?;
    let (found, tallies) = found?;
    OWNERS.finish();
    let held = held.map_err(|(name, error)| read_error(path, name, error))?;
    for (name, held, tally) in
        [("owners", held.owners, tallies.owners), ("imported keys", held.imported, tallies.imported)]
    {
        if held.sum != tally.sum {
            let what = format!("the table of {name} does not fit the records");
            return Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None });
        }
    }
    Ok(found)
}

/// What the other tables should hold, or do.
#[derive(Clone, Copy)]
struct Tallies {
    owners: Tally,
    imported: Tally,
}

/// Hands on every record, and adds up what the other tables hold. Ends early if nobody takes them.
fn read_all(
    disk: &Disk,
    send: &SyncSender<Chunk>,
    mut tallies: Tallies,
) -> Result<Tallies, (&'static str, StoreError)> {
    let mut records = disk.records(None).peekable();
    while records.peek().is_some() {
        if send.send(records.by_ref().take(CHUNK).collect()).is_err() {
            return Ok(tallies);
        }
    }
    for key in disk.owner_keys() {
        tallies.owners.add(&key.map_err(|error| ("owners", error))?);
    }
    for key in disk.imported_keys() {
        tallies.imported.add(&key.map_err(|error| ("imported keys", error))?);
    }
    Ok(tallies)
}

/// Checks records and puts them into the index.
fn take_in(
    records: Receiver<Chunk>,
    index: &Index,
    path: &Path,
    used: impl Fn(&Digest) -> u32,
    awaited: &HashSet<(u128, u32)>,
    mut tallies: Tallies,
) -> Result<(Found, Tallies), OpenError> {
    let mut found = Found::default();
    for item in records.into_iter().flatten() {
        let (id, frame) = item.map_err(|error| read_error(path, "a record", error))?;
        let subject = || format!("the record of key {}", KeyId::from_u128(id));
        let record = codec::decode::<Record>(&frame).map_err(|error| read_error(path, &subject(), error.into()))?;
        if record.id != id {
            let what = format!("{} holds another key", subject());
            return Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None });
        }
        found.records += 1;
        found.sum = found.sum.wrapping_add(record_hash(&frame));
        found.last_id = id;
        let peppers: BTreeSet<u32> = record.secrets.iter().map(|secret| secret.pepper).collect();
        for number in peppers.into_iter().filter(|number| *number > 0) {
            *found.peppered.entry(number).or_default() += 1;
        }
        if record.secrets.len() > 1 {
            found.overlapping.push(id);
        }
        tallies.owners.add(&owner_key(&record.owner, id));
        imported_digests(&record).for_each(|digest| tallies.imported.add(&digest));
        let mut rights = Rights::of_many(&record).map_err(|full| OpenError::io(path, full.into()))?;
        if let Some((newest, stored)) = rights.secrets.last_mut().zip(record.secrets.last()) {
            let unused = !stored.used && used(&newest.digest) == 0;
            newest.unused |= unused && awaited.contains(&(id, newest.version));
        }
        index.load(&rights, &used);
    }
    Ok((found, tallies))
}

/// Tells whether two sets of keys are the same without holding either: a sum of hashes.
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

/// The records must be those that the last change left.
fn check_head(head: &Head, found: &Found, path: &Path) -> Result<(), OpenError> {
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
    Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None })
}

fn check_history(disk: &Disk, head: &Head, path: &Path) -> Result<(), OpenError> {
    match missing_events(disk, head).map_err(|error| read_error(path, "an event", error))? {
        None => Ok(()),
        Some(what) => Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None }),
    }
}

/// Every event from the checkpoint to the last change must be there, but for those that a salvage found missing. What
/// they say is `verify_events`' to check.
pub(super) fn missing_events(disk: &Disk, head: &Head) -> Result<Option<String>, StoreError> {
    let mut last = disk.checkpoint()?.number;
    let mut gap = None;
    for number in disk.event_numbers() {
        let number = number?;
        if number != last.saturating_add(1) {
            gap = Some((last, number));
        }
        last = number;
    }
    if last != head.number {
        return Ok(Some(format!("its events end at {last}, and its last change is {}", head.number)));
    }
    match gap {
        Some((last, next)) if !is_known_gap(disk, next)? => {
            Ok(Some(format!("event {last} is followed by event {next}")))
        }
        _ => Ok(None),
    }
}

/// Whether a salvage came after the gap that ends here, and as many events are there as it left.
fn is_known_gap(disk: &Disk, next: u64) -> Result<bool, StoreError> {
    let purged = disk.checkpoint()?.number > 0;
    let mut known = false;
    for (before, item) in (0..).zip(disk.events(0)) {
        let (number, frame) = item?;
        let event: Event = codec::decode(&frame)?;
        if let EventKind::Salvaged { events, .. } = event.kind {
            known = number >= next && (purged || events == before);
        }
    }
    Ok(known)
}

/// A database behind its mark has lost what was acknowledged.
fn check_mark(mark: Option<Mark>, head: &Head, path: &Path) -> Result<(), OpenError> {
    let Some(mark) = mark.filter(|mark| !mark.admits(head)) else { return Ok(()) };
    let what = format!(
        "its database holds change {} with {} records, and its mark knows change {} with {} records",
        head.number, head.records, mark.number, mark.records
    );
    Err(OpenError::Damaged { path: path.to_owned(), what, backup: None, source: None })
}

fn recover_error(path: &Path, error: RecoverError) -> OpenError {
    match error {
        RecoverError::Database(error) => read_error(path, "what its journal follows", error),
        RecoverError::Journal(JournalError::Entry(error)) => read_error(path, "its journal", error.into()),
        fault @ (RecoverError::Journal(_) | RecoverError::NotKept) => {
            OpenError::Damaged { path: path.to_owned(), what: fault.to_string(), backup: None, source: None }
        }
    }
}

fn read_error(path: &Path, subject: &str, error: StoreError) -> OpenError {
    let path: PathBuf = path.to_owned();
    let source = match error {
        StoreError::Io { source } => source,
        other => io::Error::other(other),
    };
    if source.kind() != io::ErrorKind::InvalidData {
        return OpenError::io(&path, source);
    }
    match source.get_ref().and_then(|inner| inner.downcast_ref::<CodecError>()) {
        Some(CodecError::Newer(found)) => OpenError::NewerFormat { path, found: *found, known: FORMAT },
        _ => {
            let what = format!("{subject} does not decode");
            OpenError::Damaged { path, what, backup: None, source: Some(source.into()) }
        }
    }
}
