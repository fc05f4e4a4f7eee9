//! The sled database of a store: its trees, one transaction for a change, and the sync that makes it durable.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};
use sled::{Db, IVec, Tree};

use crate::base::codec;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::idempotency::RequestOutcome;
use crate::key::record::{Record, SecretForm};
use crate::storage::database::fault::io_error;
use crate::token::digest::Digest;

use crate::base::files::own_file;
use crate::storage::batch::Batch;
use crate::storage::database::abandoned;
use crate::storage::database::event_batch;
use crate::storage::database::flush::Flusher;
use crate::storage::database::memtable::Memtable;
use crate::storage::database::overflow;
use crate::storage::wal::Wal;

/// What the database holds, shared and not copied.
pub(crate) type Bytes = IVec;

const HEAD: &[u8] = b"head";
const META: &[u8] = b"store";
pub(crate) const CHECKPOINT: &[u8] = b"checkpoint";

/// How often a record is read again that does not fit together.
const MAX_TRIES: usize = 20;

pub(crate) struct Disk {
    open: Arc<Open>,
    pub(crate) directory: PathBuf,
}

/// Apart, so that a database that has failed can be dropped by another thread.
pub(crate) struct Open {
    /// Records by id; of a large one its first bytes.
    keys: Tree,
    /// The overflow chunks of large records and event batches, by id and number.
    pub(super) overflow: Tree,
    /// Ids by tenant and owner: tenant, a zero byte, owner, a zero byte, id.
    owners: Tree,
    /// Ids by the digest of imported keys, so that none is taken twice.
    imported: Tree,
    /// [Blocks](crate::storage::database::event_batch) of events, by the number of the first.
    pub(crate) events: Tree,
    /// Head and meta.
    pub(crate) meta: Tree,
    /// What requests with an idempotency key have made, by the key's SHA-256.
    outcome: Tree,
    /// Second of the last use, by the first half of a secret's digest. No part of any change.
    uses: Tree,
    /// Of which end which keys' owners were warned. No part of any change.
    warned: Tree,
    /// An own handle of sled's file: its `flush` starts the write-back and does not wait for the disk.
    pub(crate) file: Option<File>,
    pub(crate) flusher: Flusher,
    pub(crate) memtable: Memtable,
    /// None where nothing is synced, and before what it held was replayed.
    pub(crate) wal: OnceLock<Wal>,
    /// What is in the database and no sync followed, as [`throttle`](Disk::throttle) counts it.
    pub(crate) unsynced: AtomicUsize,
    /// Held while the database is brought up to the write-ahead log.
    pub(crate) syncing: Mutex<()>,
    /// Held while the database's file is synced.
    pub(crate) syncing_file: Mutex<()>,
    #[cfg(test)]
    pub(crate) faults: Faults,
}

/// What a test makes the disk refuse.
#[cfg(test)]
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) read: std::sync::atomic::AtomicBool,
    pub(crate) write: std::sync::atomic::AtomicBool,
    pub(crate) sync: std::sync::atomic::AtomicBool,
}

#[cfg(test)]
impl Faults {
    pub(crate) fn check(fault: &std::sync::atomic::AtomicBool) -> io::Result<()> {
        let refused = fault.load(std::sync::atomic::Ordering::SeqCst);
        if refused { Err(io::Error::new(io::ErrorKind::StorageFull, "a test filled the disk")) } else { Ok(()) }
    }
}

/// Entries of another store, which get no events of their own.
#[derive(Default)]
pub(crate) struct Load {
    keys: sled::Batch,
    overflow: sled::Batch,
    owners: sled::Batch,
    imported: sled::Batch,
    pub(crate) events: Vec<(u64, Vec<u8>)>,
    pub(crate) uses: sled::Batch,
}

impl Load {
    pub(crate) fn record(&mut self, record: &Record, frame: &[u8]) {
        let id = record.id.to_be_bytes();
        self.keys.insert(&id, overflow::inline(frame));
        overflow::chunks(id, frame).for_each(|(key, part)| self.overflow.insert(&key, part));
        self.owners.insert(owner_key(&record.owner, record.id), &[]);
        imported_digests(record).for_each(|digest| self.imported.insert(&digest, &id));
    }
}

impl Disk {
    /// The trees of an open database. `sync` is off for a temporary store.
    pub(crate) fn new(db: Db, directory: &Path, sync: bool) -> Result<Self, StoreError> {
        let file = match sync {
            true => Some(own_file(OpenOptions::new().read(true).write(true), &directory.join("db"))?),
            false => None,
        };
        let open = Open {
            keys: db.open_tree("keys")?,
            overflow: db.open_tree("overflow")?,
            owners: db.open_tree("owners")?,
            imported: db.open_tree("imported")?,
            events: db.open_tree("events")?,
            meta: db.open_tree("meta")?,
            outcome: db.open_tree("outcomes")?,
            uses: db.open_tree("uses")?,
            warned: db.open_tree("warned")?,
            flusher: Flusher::new(db)?,
            memtable: Memtable::default(),
            file,
            wal: OnceLock::new(),
            unsynced: AtomicUsize::new(0),
            syncing: Mutex::default(),
            syncing_file: Mutex::default(),
            #[cfg(test)]
            faults: Faults::default(),
        };
        Ok(Self { open: Arc::new(open), directory: directory.to_owned() })
    }

    /// A record as the last change has left it, also if that waits to be written.
    pub(crate) fn record(&self, id: u128) -> Result<Option<(Record, IVec)>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        // In this order: what leaves the memtable is in the tree before.
        let frame = match self.memtable.record(id) {
            Some(waiting) => waiting.map(IVec::from),
            None => {
                let first = self.flusher.noted(self.keys.get(id.to_be_bytes()))?;
                first.map_or(Ok(None), |first| self.whole(id, first))?
            }
        };
        let Some(frame) = frame else { return Ok(None) };
        Ok(Some((codec::decode(&frame)?, frame)))
    }

    /// The frame that begins so; `None` if the record was deleted meanwhile.
    fn whole(&self, id: u128, first: IVec) -> Result<Option<IVec>, StoreError> {
        let key = id.to_be_bytes();
        let part = |key| self.flusher.noted(self.overflow.get(key)).map_err(StoreError::from);
        let mut first = first;
        for _ in 0..MAX_TRIES {
            match overflow::join(key, &first, part) {
                Ok(joined) => return Ok(Some(joined.map_or(first, IVec::from))),
                // Changed while it was read: no reader keeps the writer out.
                Err(StoreError::Io { source }) if source.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
            std::thread::yield_now();
            let Some(again) = self.flusher.noted(self.keys.get(key))? else { return Ok(None) };
            first = again;
        }
        overflow::join(key, &first, part).map(|joined| Some(joined.map_or(first, IVec::from)))
    }

    /// Records by id, after one, as they are written; none that was accepted before is missing.
    pub(crate) fn records(&self, after: Option<u128>) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_records(after))
    }

    /// Those that the database has.
    pub(crate) fn written_records(
        &self,
        after: Option<u128>,
    ) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let start = after.map_or(std::ops::Bound::Unbounded, |id| std::ops::Bound::Excluded(id.to_be_bytes()));
        let range = self.keys.range((start, std::ops::Bound::<[u8; 16]>::Unbounded));
        let frame = |item: sled::Result<(IVec, IVec)>| -> Result<_, StoreError> {
            let (id, first) = self.flusher.noted(item)?;
            let id = number(&id)?;
            Ok(self.whole(id, first)?.map(|frame| (id, frame)))
        };
        range.filter_map(move |item| frame(item).transpose())
    }

    /// The ids of an owner's keys, after one; none that was accepted before is missing.
    pub(crate) fn ids_of(
        &self,
        owner: &str,
        after: Option<u128>,
    ) -> Result<impl Iterator<Item = Result<u128, StoreError>> + use<>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        self.flush_memtable()?;
        Ok(self.written_ids_of(owner, after))
    }

    /// Those that the database has.
    pub(crate) fn written_ids_of(
        &self,
        owner: &str,
        after: Option<u128>,
    ) -> impl Iterator<Item = Result<u128, StoreError>> + use<> {
        let first = owner_key(owner, after.unwrap_or(0));
        let last = owner_key(owner, u128::MAX);
        self.owners.range(first..=last).filter_map(move |item| {
            let id = item.map_err(StoreError::from).and_then(|(key, _)| {
                number(key.split_at_checked(key.len().saturating_sub(16)).map_or(&[][..], |(_, id)| id))
            });
            (id.as_ref().ok() != after.as_ref() || after.is_none()).then_some(id)
        })
    }

    pub(crate) fn imported(&self, digest: &Digest) -> Result<Option<u128>, StoreError> {
        match self.memtable.imported(digest) {
            Some(waiting) => Ok(waiting),
            None => self.flusher.noted(self.imported.get(digest))?.map(|id| number(&id)).transpose(),
        }
    }

    /// What a request with an idempotency key of this name has made.
    pub(crate) fn request_outcome(&self, name: &Digest) -> Result<Option<RequestOutcome>, StoreError> {
        let frame = match self.memtable.request_outcome(name) {
            Some(waiting) => Some(IVec::from(waiting)),
            None => self.flusher.noted(self.outcome.get(name))?,
        };
        Ok(frame.map(|frame| codec::decode(&frame)).transpose()?)
    }

    /// What all such requests have made.
    pub(crate) fn request_outcomes(&self) -> impl Iterator<Item = Result<RequestOutcome, StoreError>> + use<> {
        self.outcome.iter().values().map(|frame| Ok(codec::decode(&frame?)?))
    }

    /// Deletes what is over, without a sync: what a crash brings back is over all the same.
    pub(crate) fn forget_outcomes(&self, over: impl Fn(&RequestOutcome) -> bool) -> Result<(), StoreError> {
        self.flusher.check()?;
        for item in self.outcome.iter() {
            let (name, frame) = self.flusher.noted(item)?;
            if over(&codec::decode(&frame)?) {
                // Another request may have taken the name meanwhile: that stays.
                let _ = self.flusher.noted(self.outcome.compare_and_swap(name, Some(frame), None::<IVec>))?;
                self.throttle(1)?;
            }
        }
        Ok(())
    }

    /// How long the database's log is; 0 for a temporary one, which begins empty.
    pub(crate) fn log_bytes(&self) -> io::Result<u64> {
        self.file.as_ref().map_or(Ok(0), |file| Ok(file.metadata()?.len()))
    }

    pub(crate) fn head(&self) -> Result<Option<Head>, StoreError> {
        self.meta.get(HEAD)?.map(|frame| Ok(codec::decode(&frame)?)).transpose()
    }

    /// Takes entries over. Not durable before [`checkpoint`](Self::checkpoint), and not all at once: for a new store only.
    pub(crate) fn load(&self, load: Load) -> Result<(), StoreError> {
        let _gate = self.flusher.gate()?;
        let Load { keys, mut overflow, owners, imported, events, uses } = load;
        let mut batches = sled::Batch::default();
        for (first, batch) in event_batch::pack(events.iter().map(|(number, frame)| (*number, frame.as_slice())))? {
            batches.insert(&first, overflow::inline(&batch));
            let id = overflow::id_of_batch(u64::from_be_bytes(first));
            overflow::chunks(id, &batch).for_each(|(key, chunk)| overflow.insert(&key, chunk));
        }
        let pairs = [
            (&self.keys, keys),
            (&self.overflow, overflow),
            (&self.owners, owners),
            (&self.imported, imported),
            (&self.events, batches),
            (&self.uses, uses),
        ];
        for (tree, batch) in pairs {
            self.flusher.noted(tree.apply_batch(batch))?;
        }
        Ok(())
    }

    /// Says where history begins and stands, for what was loaded.
    pub(crate) fn set_head(&self, head: &[u8], checkpoint: &[u8]) -> Result<(), StoreError> {
        self.flusher.noted(self.meta.insert(CHECKPOINT, checkpoint))?;
        self.flusher.noted(self.meta.insert(HEAD, head))?;
        Ok(())
    }

    pub(crate) fn meta(&self) -> Result<Option<IVec>, StoreError> {
        Ok(self.meta.get(META)?)
    }

    pub(crate) fn set_meta(&self, frame: Vec<u8>) -> Result<(), StoreError> {
        self.flusher.noted(self.meta.insert(META, frame))?;
        Ok(self.checkpoint()?)
    }

    /// Writes a batch in one transaction. Not durable before the next [`checkpoint`](Self::checkpoint).
    pub(crate) fn write(&self, batch: &Batch) -> io::Result<()> {
        #[cfg(test)]
        Faults::check(&self.faults.write)?;
        let batches = event_batch::pack(batch.writes.iter().map(|write| (write.event.0, write.event.1.as_slice())));
        let batches = batches.map_err(io::Error::other)?;
        let _gate = self.flusher.gate()?;
        let trees = (&self.keys, &self.overflow, &self.owners, &self.imported, &self.events, &self.meta, &self.outcome);
        let written = trees.transaction(|(keys, others, owners, imported, events, meta, outcome)| {
            for write in &batch.writes {
                if let Some(id) = write.subject.key() {
                    let owner = owner_key(&write.owner, id);
                    let id = id.to_be_bytes();
                    let old = match &write.record {
                        Some(record) => keys.insert(&id, overflow::inline(record))?,
                        None => keys.remove(&id)?,
                    };
                    for key in old.iter().flat_map(|old| overflow::keys(id, old)) {
                        others.remove(&key)?;
                    }
                    match &write.record {
                        Some(record) => {
                            for (key, chunk) in overflow::chunks(id, record) {
                                others.insert(&key, chunk)?;
                            }
                            if write.is_new {
                                owners.insert(owner, &[])?;
                            }
                        }
                        None => {
                            owners.remove(owner)?;
                        }
                    }
                    for digest in &write.imported_out {
                        imported.remove(digest)?;
                    }
                    for digest in &write.imported_in {
                        imported.insert(digest, &id)?;
                    }
                }
                if let Some((name, frame)) = &write.outcome {
                    outcome.insert(name, frame.as_slice())?;
                }
            }
            for (first, batch) in &batches {
                events.insert(first, overflow::inline(batch))?;
                for (key, chunk) in overflow::chunks(overflow::id_of_batch(u64::from_be_bytes(*first)), batch) {
                    others.insert(&key, chunk)?;
                }
            }
            meta.insert(HEAD, batch.head.as_slice())?;
            Ok::<_, ConflictableTransactionError<Infallible>>(())
        });
        self.flusher.noted(written.map_err(refused)).map_err(io_error)
    }

    pub(crate) fn owner_keys(&self) -> Box<dyn Iterator<Item = Result<IVec, StoreError>>> {
        Box::new(self.owners.iter().keys().map(|key| Ok(key?)))
    }

    pub(crate) fn imported_keys(&self) -> Box<dyn Iterator<Item = Result<IVec, StoreError>>> {
        Box::new(self.imported.iter().keys().map(|key| Ok(key?)))
    }

    pub(crate) fn uses(&self) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> {
        self.uses.iter().map(|item| Ok(item?))
    }

    /// Writes times of use, without a sync: a crash may lose them.
    pub(crate) fn set_uses(&self, uses: &[([u8; 16], u32)]) -> Result<(), StoreError> {
        for chunk in uses.chunks(1024) {
            let mut batch = sled::Batch::default();
            chunk.iter().for_each(|(secret, second)| batch.insert(secret, &second.to_le_bytes()));
            let gate = self.flusher.gate()?;
            self.flusher.noted(self.uses.apply_batch(batch))?;
            drop(gate);
            // Twenty bytes each, and now and then a page of them as a whole.
            self.throttle(chunk.len().div_ceil(4))?;
        }
        Ok(())
    }

    /// The end of which was warned, and how long before it: the last warning about a key.
    pub(crate) fn warned(&self, id: u128) -> Result<Option<(i64, i64)>, StoreError> {
        let Some(bytes) = self.flusher.noted(self.warned.get(id.to_be_bytes()))? else { return Ok(None) };
        let (end, before) = bytes.split_first_chunk::<8>().unwrap_or((&[0; 8], &[]));
        let before = before.first_chunk::<8>().copied().unwrap_or_default();
        Ok(Some((i64::from_le_bytes(*end), i64::from_le_bytes(before))))
    }

    /// Notes a warning, without a sync: after a crash it may come again.
    pub(crate) fn set_warned(&self, id: u128, end: i64, before: i64) -> Result<(), StoreError> {
        self.flusher.check()?;
        let bytes = [end.to_le_bytes(), before.to_le_bytes()].concat();
        self.flusher.noted(self.warned.insert(id.to_be_bytes(), bytes))?;
        Ok(self.throttle(1)?)
    }

    /// Forgets the warnings about keys that are not there any more.
    pub(crate) fn forget_warned(&self) -> Result<(), StoreError> {
        self.flusher.check()?;
        for key in self.warned.iter().keys() {
            let key = self.flusher.noted(key)?;
            if !self.flusher.noted(self.keys.contains_key(&key))? {
                self.flusher.noted(self.warned.remove(&key))?;
                self.throttle(1)?;
            }
        }
        Ok(())
    }

    pub(crate) fn forget_uses(&self, digests: &[Digest]) -> Result<(), StoreError> {
        for digest in digests {
            if let Some((half, _)) = digest.split_first_chunk::<16>() {
                self.flusher.noted(self.uses.remove(half))?;
            }
        }
        Ok(())
    }
}

impl Deref for Disk {
    type Target = Open;

    fn deref(&self) -> &Open {
        &self.open
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Each tree flushes when it is dropped, and nobody looks after that: what is flushed already does not wait.
        if self.flusher.flush().is_err() {
            abandoned::drop_in_background(self.directory.clone(), self.open.clone());
        }
    }
}

/// A transaction that nobody aborts fails by what the database refuses.
pub(crate) fn refused(error: TransactionError<Infallible>) -> sled::Error {
    match error {
        TransactionError::Abort(never) => match never {},
        TransactionError::Storage(error) => error,
    }
}

/// The digests of a record's imported secrets.
pub(crate) fn imported_digests(record: &Record) -> impl Iterator<Item = Digest> {
    let imported = record.secrets.iter().filter(|secret| matches!(secret.form, SecretForm::Imported(_)));
    imported.map(|secret| secret.digest)
}

pub(crate) fn owner_key(owner: &str, id: u128) -> Vec<u8> {
    let mut key = Vec::with_capacity(owner.len() + 18);
    owner_key_into(&mut key, owner, id);
    key
}

/// The same, in the place of what was there before.
pub(crate) fn owner_key_into(key: &mut Vec<u8>, owner: &str, id: u128) {
    key.clear();
    // No key is a tenant's yet. Neither tenants nor owners have control characters, so a zero byte ends each.
    key.push(0);
    key.extend_from_slice(owner.as_bytes());
    key.push(0);
    key.extend_from_slice(&id.to_be_bytes());
}

fn number(bytes: &[u8]) -> Result<u128, StoreError> {
    let bytes =
        bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a key of the wrong length"))?;
    Ok(u128::from_be_bytes(bytes))
}
