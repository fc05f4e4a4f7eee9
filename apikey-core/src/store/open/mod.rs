//! Opening a store: every record in its engine read and checked, and held against the options.

pub(crate) mod options;
mod scan;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::base::codec;
use crate::base::store_time::StoreTime;
use crate::commit::engine::Engine;
use crate::commit::local_log::LocalLog;
use crate::commit::writer::Writer;
use crate::index::Index;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::storage::commit_mark::CommitMark;
use crate::storage::local::{Local, LocalOptions};
use crate::storage::meta::{Meta, read_meta};
use crate::storage::open_error::{OpenError, damaged, read_error};
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::open::options::Options;
use crate::store::open::scan::{ScanResult, scan};
use crate::token::digest::{Digest, Digester};
use crate::token::id_generator::IdSource;
use crate::token::key_id::KeyId;

/// Tells stores of one process apart.
static STORES: AtomicU64 = AtomicU64::new(1);

/// Opens the store in this directory, and starts its maintenance.
pub(crate) fn open(options: Options, local: &LocalOptions, path: &Path) -> Result<KeyStore, OpenError> {
    Local::open(path, local, |local| finish(options, path, local))
}

/// Makes a store that is gone when it is dropped.
pub(crate) fn temporary(options: Options) -> Result<KeyStore, OpenError> {
    let (local, path) = Local::temporary()?;
    finish(options, &path, local)
}

/// Reads and checks everything, and starts the store.
fn finish(options: Options, path: &Path, local: Local) -> Result<KeyStore, OpenError> {
    let fault = |error| read_error(path, "its head", error);
    let Local { disk, files, mark } = local;
    let (mark_file, mark) = mark.unzip();
    let digesters = options.digesters();
    let meta = read_meta(&disk, path)?;
    if meta.is_none() && !files.is_temporary() {
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
    disk.start_wal().map_err(|source| OpenError::io(path, source))?;
    let last_id = (head.last_id > 0).then(|| KeyId::from_u128(head.last_id));
    let lifetime = options.lifetime();
    let writer = Writer::new(head, IdSource::after(last_id), digesters, found.overlapping);
    let engine = Engine::new(index, time, lifetime, LocalLog::new(disk, mark_file), writer);
    let inner = Inner::new(options, store, engine, files);
    KeyStore::start(inner).map_err(|source| OpenError::io(path, source))
}

/// Fewer bytes than any key takes in the database's log: its digest alone has half as many, and then there is its event.
const SMALLEST_RECORD: u64 = 64;

/// Holds the options against what the store is bound to, and adds what is new.
fn bind(options: &Options, mut meta: Meta, digesters: &[Digester]) -> Result<Meta, OpenError> {
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
fn check_peppers(
    digesters: &[Digester],
    check_values: &BTreeMap<u32, Digest>,
    found: &ScanResult,
) -> Result<(), OpenError> {
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
fn check_mark(mark: Option<CommitMark>, head: &Head, path: &Path) -> Result<(), OpenError> {
    let Some(mark) = mark.filter(|mark| !mark.is_reached_by(head)) else { return Ok(()) };
    let what = format!(
        "its database holds change {} with {} records, and its mark knows change {} with {} records",
        head.number, head.records, mark.number, mark.records
    );
    Err(damaged(path, what))
}
