//! Opening a store: this reads every record, and checks it against the options.

#[cfg(feature = "cluster")]
pub(crate) mod found;
#[cfg(feature = "cluster")]
mod in_cluster;
pub(crate) mod options;
#[cfg(feature = "cluster")]
mod rebuilt;
mod scan;

use std::collections::BTreeMap;
use std::path::Path;

use crate::access::catalog::Catalog;
use crate::access::stores;
use crate::base::codec;
use crate::base::store_time::StoreTime;
use crate::commit::engine::Engine;
use crate::commit::local_log::LocalLog;
use crate::commit::writer::Writer;
use crate::index::Index;
use crate::key::error::StoreError;
use crate::key::event::stored::{self, Head};
use crate::storage::commit_mark::CommitMark;
use crate::storage::database::disk::Disk;
use crate::storage::directory::is_noted_replica;
use crate::storage::local::{Local, LocalOptions, LockedDirectory};
#[cfg(feature = "cluster")]
use crate::storage::meta::ReplicaOf;
use crate::storage::meta::{Meta, read_meta};
use crate::storage::open_error::{OpenError, damaged, read_error};
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;
use crate::store::open::options::Options;
use crate::store::open::scan::{Rules, ScanResult, scan};
use crate::store::uses::quotas;
use crate::token::digest::{Digest, Digester};
use crate::token::id_generator::IdSource;
use crate::token::key_id::KeyId;

/// Opens the store in this directory, and starts its maintenance.
pub(crate) fn open(options: Options, local: &LocalOptions, path: &Path) -> Result<KeyStore, OpenError> {
    let directory = LockedDirectory::lock(path, local)?;
    #[cfg(feature = "cluster")]
    if options.cluster.is_some() {
        return rebuilt::open(&options, &directory, path, |local| finish(options.clone(), path, local));
    }
    directory.open(|local| finish(options, path, local))
}

/// Creates a store that deletes its files when it is dropped.
pub(crate) fn temporary(options: Options) -> Result<KeyStore, OpenError> {
    let (local, path) = Local::temporary()?;
    finish(options, &path, local)
}

/// Reads and checks everything, and starts the store.
fn finish(options: Options, path: &Path, local: Local) -> Result<KeyStore, OpenError> {
    let fault = |error| read_error(path, "its head", error);
    let Local { disk, files, mark, was_killed } = local;
    #[cfg_attr(not(feature = "cluster"), allow(unused_mut, reason = "only a replica is loaded anew"))]
    let (mut mark_file, mut mark) = mark.unzip();
    let digesters = options.digesters();
    let meta = read_meta(&disk, path)?;
    if meta.is_none() && !files.is_temporary() {
        return Err(damaged(path, "its settings are gone, and maybe all keys"));
    }
    #[cfg(feature = "cluster")]
    let (meta, joining) = match options.cluster.clone() {
        Some(cluster) => {
            let held = meta.unwrap_or_default();
            let joined = cluster
                .join(&disk, &held, &options.prefixes(), &digesters)
                .map_err(|error| OpenError::Cluster(error.to_string()))?;
            let replica = ReplicaOf { is_loading: joined.is_loaded, ..joined.replica.clone() };
            (Some(Meta { replica: Some(replica), ..held }), Some((cluster, joined)))
        }
        None => (meta, None),
    };
    #[cfg(not(feature = "cluster"))]
    let joining = None::<()>;
    let is_replica = meta.as_ref().is_some_and(|meta| meta.replica.is_some())
        || is_noted_replica(path).map_err(|source| OpenError::io(path, source))?;
    if joining.is_none() && is_replica {
        return Err(OpenError::Replica { path: path.to_owned() });
    }
    let head = disk.head().map_err(fault)?.unwrap_or_default();
    #[cfg(feature = "cluster")]
    if joining.as_ref().is_some_and(|(_, joined)| joined.is_loaded) {
        // What the mark knows was replaced.
        mark = None;
        let reset = mark_file.as_mut().map_or(Ok(()), |file| file.reset(CommitMark::from(head)));
        reset.map_err(|source| OpenError::io(path, source))?;
    }
    let store = stores::register(&options.prefix);
    let newest = disk.newest_event().map_err(|error| read_error(path, "its newest event", error))?;
    let time = StoreTime::new(options.time.clone(), newest.map_or(i64::MIN, |newest| newest.at));
    let log = disk.log_bytes().map_err(|source| OpenError::io(path, source))?;
    // A tampered count must not reserve all memory.
    let keys = usize::try_from(head.records.min(log / SMALLEST_RECORD)).unwrap_or(0);
    let index = Index::new(store, keys, digesters.clone(), options.track_use);
    let stored = meta.clone().unwrap_or_default();
    let permissions = options.catalog.permissions(&stored.catalog);
    let catalog = (!permissions.is_empty()).then(|| Catalog::stored(permissions.clone()));
    index.be_cautious_with_quotas(was_killed);
    let rules = Rules { now: time.now_ms(), lifetime: options.lifetime(), catalog: catalog.as_ref() };
    let found = scan(&disk, &index, &head, keys, path, rules)?;
    #[cfg(feature = "cluster")]
    if joining.is_some() {
        // The ledger has what was used, or reserved.
        index.share_quotas();
    }
    if joining.is_none() {
        quotas::restore(&disk, &index, time.now_ms())
            .map_err(|error| read_error(path, "what keys used of their quotas", error))?;
    }
    index.be_cautious_with_quotas(false);
    if found.outlived > 0 {
        tracing::warn!(
            keys = found.outlived,
            "keys are refused, since their secrets are older than max_lifetime: rotate them"
        );
    }
    if found.unmatched.keys > 0 {
        tracing::warn!(
            name: "apikey.catalog",
            target: "apikey",
            keys = found.unmatched.keys,
            grants = found.unmatched.grants(),
            "keys have grants that match no permission of the catalogue, and give nothing: update the keys, or add the \
             permissions to the catalogue"
        );
    }
    check_mark(mark, &head, path)?;
    check_tracking(&options, &found)?;
    check_prefixes(&options, &found)?;
    check_peppers(&digesters, &stored.peppers, &found, &disk, path)?;
    let bound = Meta { catalog: permissions, ..bind(&options, stored, &found, &digesters) };
    #[cfg(feature = "cluster")]
    let bound = Meta { replica: joining.as_ref().map(|(_, joined)| joined.replica.clone()), ..bound };
    if meta.as_ref() != Some(&bound) {
        let frame = codec::encode(&bound).map_err(StoreError::from).map_err(fault)?;
        disk.set_meta(frame).map_err(fault)?;
    }
    // The log stays as it is until here: after a fault, an operator may look for the cause there.
    disk.start_wal().map_err(|source| OpenError::io(path, source))?;
    let last_id = (head.last_id > 0).then(|| KeyId::from_u128(head.last_id));
    let lifetime = options.lifetime();
    let writer = Writer::new(head, IdSource::after(last_id), digesters, found.overlapping);
    let has_usage = disk.usage_bytes() > 0;
    let engine = Engine::new(index, time, lifetime, LocalLog::new(disk, mark_file), writer);
    let engine = engine.counting(options.count_use, has_usage);
    #[cfg(feature = "cluster")]
    if let Some((cluster, joined)) = joining {
        let inner = |engine| Inner::new(options, store, engine, files, catalog);
        return in_cluster::start(inner, engine, &cluster, &joined, path);
    }
    let inner = Inner::new(options, store, engine, files, catalog);
    // The first request finds a block of a strict quota.
    inner.write_quotas();
    inner.reserve_first_blocks();
    KeyStore::start(inner).map_err(|source| OpenError::io(path, source))
}

/// A lower bound of the bytes of a key in the database's log: its digest alone has half as many, and its event follows.
const SMALLEST_RECORD: u64 = 64;

/// Checks that the store records uses if one of its keys ends without them.
fn check_tracking(options: &Options, found: &ScanResult) -> Result<(), OpenError> {
    match found.idle_ends {
        keys if keys > 0 && !options.track_use => Err(OpenError::Config(format!(
            "track_use: {keys} of the store's keys {} when nobody uses them (idle_after), and a store that does not track \
             use could not tell; open it with track_use(true), and remove their idle_after",
            if keys == 1 { "ends" } else { "end" },
        ))),
        _ => Ok(()),
    }
}

/// Checks that the options accept every prefix that a token of the store has.
fn check_prefixes(options: &Options, found: &ScanResult) -> Result<(), OpenError> {
    let accepts = |prefix: &String| *prefix == options.prefix || options.accepted.contains(prefix);
    match found.prefixed.iter().find(|(prefix, _)| !accepts(prefix)) {
        None => Ok(()),
        Some((prefix, keys)) => Err(OpenError::Config(format!(
            "prefix {:?}: {keys} of the store's keys {} made with {prefix:?}; open it with .prefix({prefix:?}), or \
             name both in .prefixes(..)",
            options.prefix,
            if *keys == 1 { "was" } else { "were" },
        ))),
    }
}

/// Checks that every pepper that a key needs is there, and that those given are the ones that keys and events are under.
fn check_peppers(
    digesters: &[Digester],
    check_values: &BTreeMap<u32, Digest>,
    found: &ScanResult,
    disk: &Disk,
    path: &Path,
) -> Result<(), OpenError> {
    for digester in digesters.iter().filter(|digester| digester.pepper() > 0) {
        let number = digester.pepper();
        if check_values.get(&number).is_none_or(|value| *value == digester.check_value()) {
            continue;
        }
        let need = match found.peppered.get(&number) {
            Some(1) => "1 key needs".to_owned(),
            Some(keys) => format!("{keys} keys need"),
            None if is_under(disk, number, path)? => "events of its history need".to_owned(),
            // Somebody opened the store with other bytes, and made nothing under them.
            None => continue,
        };
        return Err(OpenError::Config(format!(
            "pepper {number}: these are not the bytes the store knows under that number, and {need} those; a new pepper \
             needs a new number"
        )));
    }
    let given = |number: u32| digesters.iter().any(|digester| digester.pepper() == number);
    match found.peppered.iter().find(|(number, _)| !given(**number)) {
        None => Ok(()),
        Some((number, keys)) => Err(OpenError::Config(format!(
            "pepper {number} is missing, and {keys} {} it: give it with .pepper(Pepper::new({number}, ..))",
            if *keys == 1 { "key needs" } else { "keys need" },
        ))),
    }
}

/// Whether an event is under the pepper of this number. This reads the whole history.
fn is_under(disk: &Disk, pepper: u32, path: &Path) -> Result<bool, OpenError> {
    for item in disk.events(0) {
        let (_, frame) = item.map_err(|error| read_error(path, "an event", error))?;
        if codec::decode::<stored::Event>(&frame).is_ok_and(|event| event.pepper == pepper) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The settings with the prefix and the peppers of the options. They are on the disk before the first key that needs them,
/// and bind nothing before it: what no key has is forgotten.
fn bind(options: &Options, mut meta: Meta, found: &ScanResult, digesters: &[Digester]) -> Meta {
    meta.prefixes.retain(|prefix| *prefix != options.prefix && found.prefixed.contains_key(prefix));
    meta.prefixes.push(options.prefix.clone());
    for digester in digesters.iter().filter(|digester| digester.pepper() > 0) {
        meta.peppers.insert(digester.pepper(), digester.check_value());
    }
    meta
}

/// Checks that the database is not behind its mark, and so has lost no acknowledged change.
fn check_mark(mark: Option<CommitMark>, head: &Head, path: &Path) -> Result<(), OpenError> {
    let Some(mark) = mark.filter(|mark| !mark.is_reached_by(head)) else { return Ok(()) };
    let what = format!(
        "its database holds change {} with {} records, and its mark knows change {} with {} records",
        head.number, head.records, mark.number, mark.records
    );
    Err(damaged(path, what))
}
