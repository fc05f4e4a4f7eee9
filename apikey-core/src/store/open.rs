//! Opening a store: its lock, its directory, its database, and every record in it checked.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::base::codec;
use crate::base::codec::Frame;
use crate::base::panics::catch_panic;
use crate::base::store_time::StoreTime;
use crate::index::Index;
use crate::key::error::{OpenError, StoreError};
use crate::key::event::stored::Head;
use crate::token::digest::{Digest, Digester};
use crate::token::id_generator::IdSource;
use crate::token::key_id::KeyId;

use crate::base::files::{make_all_private, sync_all, sync_directory};
use crate::builder::KeyStoreBuilder;
use crate::commit::writer::Writer;
use crate::copies::schedule::Schedule;
use crate::storage::abandoned;
use crate::storage::commit_mark::{Mark, MarkFile};
use crate::storage::directory::{
    DATABASE, LOCK_STEP, build, clear, lock, make_directory, prepare, remove_unfinished_snapshots,
};
use crate::storage::disk::Disk;
use crate::storage::open_error::{because, damaged, read_error, recover_error};
use crate::storage::shutdown_marker;
use crate::store::scan::{Found, scan};
use crate::store::{Inner, KeyStore, Opened};

/// Pages that sled may keep in memory; records are read only by changes and lists.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;
/// The store's own lock is held, so sled's can only be that of a process forked a moment ago, until its `exec`.
const FORK_GRACE: Duration = Duration::from_secs(2);

/// Tells stores of one process apart.
static STORES: AtomicU64 = AtomicU64::new(1);

/// What a store is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Meta {
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

pub(crate) fn temporary(options: KeyStoreBuilder) -> Result<KeyStore, OpenError> {
    let directory = TempDir::new().map_err(|source| OpenError::Io { path: std::env::temp_dir(), source })?;
    let path = directory.path().to_owned();
    let database_path = path.join(DATABASE);
    let database = sled_at(&database_path, &path)?;
    let opened = Opened { temporary: Some(directory), lock: None, mark: None, database: database_path };
    finish(options, &path, database, opened, None)
}

pub(crate) fn open(options: KeyStoreBuilder, path: &Path) -> Result<KeyStore, OpenError> {
    let io = |source| OpenError::io(path, source);
    prepare(path, options.create)?;
    // Only now: where the store is another user's, nothing at all is made.
    let backups = options.schedule.as_ref().map(backups_of).transpose()?;
    let lock = lock(path, options.wait, backups.as_deref())?;
    clear(path).map_err(io)?;
    let database_path = path.join(DATABASE);
    let known = mark(path)?;
    if !database_path.try_exists().map_err(io)? {
        if let Some((_, mark)) = known.as_ref().filter(|(_, mark)| mark.number > 0) {
            return Err(damaged(path, format!("its database is gone, and its mark knows change {}", mark.number)));
        }
        // Nothing is there yet, so nothing is damaged.
        create(path).map_err(|error| read_error(path, "the new database", error))?;
    }
    let Some((file, mark)) = mark(path)? else {
        return Err(damaged(path, "its commit mark is gone, so nobody can say whether the database is complete"));
    };
    remove_unfinished_snapshots(&database_path).map_err(io)?;
    // A process that was killed may have left writes that no sync followed. From what sled reads now it makes a
    // snapshot, which it does sync: without this, a power cut could leave the snapshot and take what it speaks of.
    sync_all(&database_path).map_err(io)?;
    shutdown_marker::begin(&database_path).map_err(io)?;
    let database = recovered(&database_path, path)?;
    guarded(database, path, |database| {
        make_all_private(&database_path).map_err(io)?;
        let opened = Opened { temporary: None, lock: Some(lock), mark: Some(file), database: database_path.clone() };
        finish(options, path, database, opened, Some(mark))
    })
}

/// The directory of the store's own backups, made if it is missing.
fn backups_of(schedule: &Schedule) -> Result<PathBuf, OpenError> {
    let refused = |source| OpenError::io(&schedule.directory, source);
    make_directory(&schedule.directory).map_err(refused)?;
    std::path::absolute(&schedule.directory).map_err(refused)
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
    let result = catch_panic(|| work(database)).unwrap_or_else(|panic| {
        Err(match catch_panic(|| held.flush()) {
            Ok(Err(sled::Error::Io(source))) => OpenError::io(path, source),
            _ => {
                let what = format!("the database panics when it is read: {panic}");
                damaged(path, what)
            }
        })
    });
    match &result {
        Ok(_) => catch_panic(|| drop(held)).map_err(|panic| {
            OpenError::io(path, io::Error::other(format!("the database panicked when it was closed: {panic}")))
        })?,
        // On a disk that refuses that may take for ever; what it says then, the error says already.
        Err(_) => abandoned::drop_apart(path.join(DATABASE), Arc::new(held)),
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
    let config = sled::Config::new().path(database).cache_capacity(CACHE_BYTES);
    let until = Instant::now() + FORK_GRACE;
    // Damage can make sled panic while it opens; that must not be the service's end.
    let mut opened = catch_panic(|| config.open());
    while matches!(&opened, Ok(Err(error)) if is_locked(error)) && Instant::now() < until {
        std::thread::sleep(LOCK_STEP);
        opened = catch_panic(|| config.open());
    }
    match opened {
        Ok(Ok(database)) => Ok(database),
        Ok(Err(error)) if is_locked(&error) => match abandoned::take_over(database) {
            Ok(true) => sled_at(database, path),
            Ok(false) => Err(OpenError::InUse { path: path.to_owned() }),
            Err(source) => Err(OpenError::io(path, source)),
        },
        Ok(Err(sled::Error::Io(source))) => Err(OpenError::io(path, source)),
        Ok(Err(error)) => Err(because(path, "the database does not open", error.into())),
        Err(panic) => Err(damaged(path, format!("the database panics when it is opened: {panic}"))),
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
        return Err(damaged(path, "its settings are gone, and maybe all keys"));
    }
    let bound = bind(&options, meta.clone().unwrap_or_default(), &digesters)?;
    let head = disk.head().map_err(fault)?.unwrap_or_default();
    let store = STORES.fetch_add(1, Ordering::Relaxed);
    let newest = disk.newest_event().map_err(|error| read_error(path, "its newest event", error))?;
    let time = StoreTime::new(options.time.clone(), newest.map_or(i64::MIN, |newest| newest.at));
    let log = disk.log_bytes().map_err(|source| OpenError::io(path, source))?;
    // A tampered count must not reserve all memory.
    let keys = usize::try_from(head.records.min(log / SMALLEST_RECORD)).unwrap_or(0);
    let index = Index::new(store, keys, digesters.clone(), options.track_use);
    let found = scan(&disk, &index, &head, keys, path, time.now_ms(), options.lifetime())?;
    if found.outlived > 0 {
        tracing::warn!(
            keys = found.outlived,
            "keys are refused, for their secrets are older than max_lifetime: rotate them"
        );
    }
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
    let inner = Inner::new(options, time, store, index, disk, writer, opened);
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

/// A database behind its mark has lost what was acknowledged.
fn check_mark(mark: Option<Mark>, head: &Head, path: &Path) -> Result<(), OpenError> {
    let Some(mark) = mark.filter(|mark| !mark.admits(head)) else { return Ok(()) };
    let what = format!(
        "its database holds change {} with {} records, and its mark knows change {} with {} records",
        head.number, head.records, mark.number, mark.records
    );
    Err(damaged(path, what))
}
