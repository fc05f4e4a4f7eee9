//! The sled database of a store: its trees, one transaction for a change, and the sync that makes it durable.

use std::convert::Infallible;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::{Bound, Deref, RangeBounds};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};
use sled::{Db, IVec, Tree};

use crate::access::named;
use crate::access::named::{Kind, NamedId};
use crate::access::owner::{OwnerRef, Owners};
use crate::base::codec;
use crate::key::error::StoreError;
use crate::key::event::stored::Head;
use crate::key::idempotency::RequestOutcome;
use crate::key::named::NamedRecord;
use crate::key::owner;
use crate::key::owner::record::OwnerRecord;
use crate::key::record::{Record, SecretForm};
use crate::key::role::record::RoleRecord;
use crate::key::tenant::record::TenantRecord;
use crate::storage::database::fault::io_error;
use crate::token::digest::Digest;

use crate::base::files::own_file;
#[cfg(feature = "cluster")]
use crate::base::files::parent;
use crate::storage::batch::Batch;
use crate::storage::database::abandoned;
use crate::storage::database::event_batch;
use crate::storage::database::flush::Flusher;
use crate::storage::database::memtable::Memtable;
use crate::storage::database::overflow;
use crate::storage::database::owner_places::{owner_key, owner_places, place_of};
use crate::storage::database::usage_tree::UsageTree;
use crate::storage::wal::Wal;

/// A value of the database, shared and not copied.
pub(crate) type Bytes = IVec;

const HEAD: &[u8] = b"head";
const META: &[u8] = b"store";
pub(crate) const CHECKPOINT: &[u8] = b"checkpoint";

/// The number of the event of a write that has none: one of a replica that is loaded anew while it is open.
pub(crate) const NO_EVENT: u64 = 0;

/// How often to read a record again whose parts do not match.
const MAX_TRIES: usize = 20;

pub(crate) struct Disk {
    open: Arc<Open>,
    pub(crate) directory: PathBuf,
}

/// The open database, as a type of its own, so that another thread can drop a failed one.
pub(crate) struct Open {
    /// Records of keys by id, and after them those of roles, tenants and owners; the first bytes of large ones.
    pub(super) keys: Tree,
    /// The overflow chunks of large records and event batches, by id and number.
    pub(super) overflow: Tree,
    /// Ids by tenant and owner: tenant, a zero byte, owner, a zero byte, id. A key of a tenant is there twice: once without
    /// its owner.
    owners: Tree,
    /// Ids by the digest of imported keys, so that the store imports no key twice.
    imported: Tree,
    /// [Blocks](crate::storage::database::event_batch) of events, by the number of the first.
    pub(crate) events: Tree,
    /// Head and meta.
    pub(crate) meta: Tree,
    /// The outcomes of idempotent requests, by the SHA-256 of the idempotency key.
    outcome: Tree,
    /// The second of the last use, by the first half of a secret's digest. Not part of any change.
    pub(super) uses: Tree,
    /// The last warning about each key before its end. Not part of any change.
    pub(super) warned: Tree,
    /// What keys have used of their quotas, by id. Not part of any change.
    pub(super) spent: Tree,
    /// How often keys were used. Not part of any change.
    pub(super) usage: UsageTree,
    /// A second handle of sled's file, since sled's `flush` starts the write-back and does not wait for the disk.
    pub(crate) file: Option<File>,
    pub(crate) flusher: Flusher,
    pub(crate) memtable: Memtable,
    /// Empty for a temporary store, and until the old log has been replayed.
    pub(crate) wal: OnceLock<Wal>,
    /// What was written to the database since the last sync, as [`throttle`](Disk::throttle) counts it.
    pub(crate) unsynced: AtomicUsize,
    /// Held while the database is brought up to the write-ahead log.
    pub(crate) syncing: Mutex<()>,
    /// Held while the database's file is synced.
    pub(crate) syncing_file: Mutex<()>,
    /// Held while the file changes of what is in force on this node of a cluster alone.
    #[cfg(feature = "cluster")]
    pub(crate) keeping_here: Mutex<()>,
    #[cfg(test)]
    pub(crate) faults: Faults,
}

/// The operations that a test makes fail.
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

/// Entries of another store, which get no new events.
#[derive(Default)]
pub(crate) struct Load {
    keys: sled::Batch,
    overflow: sled::Batch,
    owners: sled::Batch,
    imported: sled::Batch,
    pub(crate) events: Vec<(u64, Vec<u8>)>,
    pub(crate) uses: sled::Batch,
    outcomes: sled::Batch,
}

impl Load {
    pub(crate) fn record(&mut self, record: &Record, frame: &[u8]) {
        let id = record.id.to_be_bytes();
        self.keys.insert(&id, overflow::inline(frame));
        overflow::chunks(id, frame).for_each(|(key, part)| self.overflow.insert(&key, part));
        owner_places(record.owner(), record.id).for_each(|key| self.owners.insert(key, &[]));
        imported_digests(record).for_each(|digest| self.imported.insert(&digest, &id));
    }

    /// A role, a tenant or an owner.
    pub(crate) fn named(&mut self, id: NamedId, frame: &[u8]) {
        let id = id.to_be_bytes();
        self.keys.insert(&id, overflow::inline(frame));
        overflow::chunks(id, frame).for_each(|(key, part)| self.overflow.insert(&key, part));
    }

    /// What the idempotent request of this name made.
    #[cfg(feature = "cluster")]
    pub(crate) fn outcome(&mut self, name: &[u8], frame: &[u8]) {
        self.outcomes.insert(name, frame);
    }
}

impl Disk {
    /// Opens the trees of a database. `sync` is off for a temporary store.
    pub(crate) fn new(db: Db, directory: &Path, sync: bool) -> Result<Self, StoreError> {
        let file = match sync {
            true => Some(own_file(OpenOptions::new().read(true).write(true), &directory.join("db"))?),
            false => None,
        };
        let open = Open {
            keys: db.open_tree("keys").map_err(io_error)?,
            overflow: db.open_tree("overflow").map_err(io_error)?,
            owners: db.open_tree("owners").map_err(io_error)?,
            imported: db.open_tree("imported").map_err(io_error)?,
            events: db.open_tree("events").map_err(io_error)?,
            meta: db.open_tree("meta").map_err(io_error)?,
            outcome: db.open_tree("outcomes").map_err(io_error)?,
            uses: db.open_tree("uses").map_err(io_error)?,
            warned: db.open_tree("warned").map_err(io_error)?,
            spent: db.open_tree("spent").map_err(io_error)?,
            usage: UsageTree::open(&db).map_err(io_error)?,
            flusher: Flusher::new(db)?,
            memtable: Memtable::default(),
            file,
            wal: OnceLock::new(),
            unsynced: AtomicUsize::new(0),
            syncing: Mutex::default(),
            syncing_file: Mutex::default(),
            #[cfg(feature = "cluster")]
            keeping_here: Mutex::default(),
            #[cfg(test)]
            faults: Faults::default(),
        };
        Ok(Self { open: Arc::new(open), directory: directory.to_owned() })
    }

    /// Reads a key's record after the last change, also an unwritten one. An id of a role, a tenant or an owner is no key's.
    pub(crate) fn record(&self, id: u128) -> Result<Option<(Record, IVec)>, StoreError> {
        let Some(frame) = self.frame(id)?.filter(|_| Kind::of(id).is_none()) else { return Ok(None) };
        Ok(Some((codec::decode(&frame)?, frame)))
    }

    /// Reads a role, a tenant or an owner after the last change, even if that is not written yet.
    pub(crate) fn named(&self, id: NamedId) -> Result<Option<(NamedRecord, IVec)>, StoreError> {
        let Some((frame, kind)) = self.frame(id)?.zip(Kind::of(id)) else { return Ok(None) };
        Ok(Some((NamedRecord::decode(kind, &frame)?, frame)))
    }

    /// Reads a role.
    pub(crate) fn role(&self, name: &str) -> Result<Option<RoleRecord>, StoreError> {
        let role = self.named(Kind::Role.id(name))?.and_then(|(record, _)| record.role());
        Ok(role.filter(|role| role.name == name))
    }

    /// Reads a tenant.
    pub(crate) fn tenant(&self, name: &str) -> Result<Option<TenantRecord>, StoreError> {
        let tenant = self.named(Kind::Tenant.id(name))?.and_then(|(record, _)| record.tenant());
        Ok(tenant.filter(|tenant| tenant.name == name))
    }

    /// Reads the record of an owner.
    pub(crate) fn owner(&self, owner: OwnerRef<'_>) -> Result<Option<OwnerRecord>, StoreError> {
        let record = self.named(owner::record::id(owner))?.and_then(|(record, _)| record.owner());
        Ok(record.filter(|record| record.owner() == owner))
    }

    fn frame(&self, id: u128) -> Result<Option<IVec>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        // Read in this order: a record is in the tree before it leaves the memtable.
        match self.memtable.record(id) {
            Some(waiting) => Ok(waiting.map(IVec::from)),
            None => {
                let first = self.flusher.noted(self.keys.get(id.to_be_bytes())).map_err(io_error)?;
                first.map_or(Ok(None), |first| self.whole(id, first))
            }
        }
    }

    /// Reads the whole frame that begins with these bytes; `None` if the record was deleted meanwhile.
    fn whole(&self, id: u128, first: IVec) -> Result<Option<IVec>, StoreError> {
        let key = id.to_be_bytes();
        let part = |key| self.flusher.noted(self.overflow.get(key)).map_err(|error| StoreError::from(io_error(error)));
        let mut first = first;
        for _ in 0..MAX_TRIES {
            match overflow::join(key, &first, part) {
                Ok(joined) => return Ok(Some(joined.map_or(first, IVec::from))),
                // The record changed during the read: a reader does not lock out the writer.
                Err(StoreError::Io { source }) if source.kind() == io::ErrorKind::InvalidData => {}
                Err(error) => return Err(error),
            }
            std::thread::yield_now();
            let Some(again) = self.flusher.noted(self.keys.get(key)).map_err(io_error)? else { return Ok(None) };
            first = again;
        }
        overflow::join(key, &first, part).map(|joined| Some(joined.map_or(first, IVec::from)))
    }

    /// Reads all roles, tenants and owners as they are stored, by id. It includes every one that was accepted before the call.
    pub(crate) fn named_frames(&self) -> impl Iterator<Item = Result<(NamedId, IVec), StoreError>> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_frames(named::IDS))
    }

    /// Reads the records of keys, roles, tenants and owners by id, as they are stored. It includes every one that was accepted before the
    /// call.
    pub(crate) fn frames(&self) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_frames(..))
    }

    /// Reads the records of keys by id, after one. It includes every record that was accepted before the call.
    pub(crate) fn records(&self, after: Option<u128>) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_records(after))
    }

    /// Reads those that the database has.
    pub(crate) fn written_records(
        &self,
        after: Option<u128>,
    ) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.written_frames((begin, Bound::Excluded(*named::IDS.start())))
    }

    /// Reads the records of keys, roles, tenants and owners that the database has.
    pub(super) fn written_frames(
        &self,
        ids: impl RangeBounds<u128>,
    ) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let bound = |bound: Bound<&u128>| bound.map(|id| id.to_be_bytes());
        let range = self.keys.range((bound(ids.start_bound()), bound(ids.end_bound())));
        let frame = |item: sled::Result<(IVec, IVec)>| -> Result<_, StoreError> {
            let (id, first) = self.flusher.noted(item).map_err(io_error)?;
            let id = number(&id)?;
            Ok(self.whole(id, first)?.map(|frame| (id, frame)))
        };
        range.filter_map(move |item| frame(item).transpose())
    }

    /// Reads the ids of keys of these owners, after one. It includes every key that was accepted before the call.
    pub(crate) fn ids_of(
        &self,
        owners: Owners<'_>,
        after: Option<u128>,
    ) -> Result<impl Iterator<Item = Result<u128, StoreError>> + use<>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        self.flush_memtable()?;
        Ok(self.written_ids_of(owners, after))
    }

    /// Reads those that the database has.
    pub(crate) fn written_ids_of(
        &self,
        owners: Owners<'_>,
        after: Option<u128>,
    ) -> impl Iterator<Item = Result<u128, StoreError>> + use<> {
        let place = place_of(owners);
        let ends = place.map(|place| [after.unwrap_or(0), u128::MAX].map(|id| owner_key(place, id)));
        let range = ends.map(|[first, last]| self.owners.range(first..=last));
        range.into_iter().flatten().filter_map(move |item| {
            let id = item.map_err(|error| StoreError::from(io_error(error))).and_then(|(key, _)| {
                number(key.split_at_checked(key.len().saturating_sub(16)).map_or(&[][..], |(_, id)| id))
            });
            (id.as_ref().ok() != after.as_ref() || after.is_none()).then_some(id)
        })
    }

    pub(crate) fn imported(&self, digest: &Digest) -> Result<Option<u128>, StoreError> {
        match self.memtable.imported(digest) {
            Some(waiting) => Ok(waiting),
            None => self.flusher.noted(self.imported.get(digest)).map_err(io_error)?.map(|id| number(&id)).transpose(),
        }
    }

    /// Reads the outcome of the idempotent request with this name.
    pub(crate) fn request_outcome(&self, name: &Digest) -> Result<Option<RequestOutcome>, StoreError> {
        let frame = match self.memtable.request_outcome(name) {
            Some(waiting) => Some(IVec::from(waiting)),
            None => self.flusher.noted(self.outcome.get(name)).map_err(io_error)?,
        };
        Ok(frame.map(|frame| codec::decode(&frame)).transpose()?)
    }

    /// Reads the outcomes of all such requests.
    pub(crate) fn request_outcomes(&self) -> impl Iterator<Item = Result<RequestOutcome, StoreError>> + use<> {
        self.outcome.iter().values().map(|frame| Ok(codec::decode(&frame.map_err(io_error)?)?))
    }

    /// Reads them as they are stored, with their names.
    #[cfg(feature = "cluster")]
    pub(crate) fn outcome_frames(&self) -> impl Iterator<Item = Result<(IVec, IVec), StoreError>> + use<> {
        self.outcome.iter().map(|item| Ok(item.map_err(io_error)?))
    }

    /// Deletes outcomes that no longer count, without a sync: those that a crash brings back do not count either.
    pub(crate) fn forget_outcomes(&self, over: impl Fn(&RequestOutcome) -> bool) -> Result<(), StoreError> {
        self.flusher.check()?;
        for item in self.outcome.iter() {
            let (name, frame) = self.flusher.noted(item).map_err(io_error)?;
            if over(&codec::decode(&frame)?) {
                // Another request may have taken the name meanwhile: keep its outcome.
                let _ = self
                    .flusher
                    .noted(self.outcome.compare_and_swap(name, Some(frame), None::<IVec>))
                    .map_err(io_error)?;
                self.throttle(1)?;
            }
        }
        Ok(())
    }

    /// Returns the length of the database's log in bytes; 0 for a temporary one, which begins empty.
    pub(crate) fn log_bytes(&self) -> io::Result<u64> {
        self.file.as_ref().map_or(Ok(0), |file| Ok(file.metadata()?.len()))
    }

    pub(crate) fn head(&self) -> Result<Option<Head>, StoreError> {
        self.meta.get(HEAD).map_err(io_error)?.map(|frame| Ok(codec::decode(&frame)?)).transpose()
    }

    /// Loads entries into a new store. They are durable after the next [`checkpoint`](Self::checkpoint), and not
    /// atomic.
    pub(crate) fn load(&self, load: Load) -> Result<(), StoreError> {
        let _gate = self.flusher.gate()?;
        let Load { keys, mut overflow, owners, imported, events, uses, outcomes } = load;
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
            (&self.outcome, outcomes),
        ];
        for (tree, batch) in pairs {
            self.flusher.noted(tree.apply_batch(batch)).map_err(io_error)?;
        }
        Ok(())
    }

    /// Deletes everything but the settings. It is not atomic.
    #[cfg(feature = "cluster")]
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let _gate = self.flusher.gate()?;
        let Open { keys, overflow, owners, imported, events, outcome, uses, warned, .. } = &*self.open;
        for tree in [keys, overflow, owners, imported, events, outcome, uses, warned] {
            self.flusher.noted(tree.clear()).map_err(io_error)?;
        }
        for name in [HEAD, CHECKPOINT] {
            self.flusher.noted(self.meta.remove(name)).map_err(io_error)?;
        }
        Ok(())
    }

    /// Replaces the outcomes of all idempotent requests. It is not atomic.
    #[cfg(feature = "cluster")]
    pub(crate) fn replace_outcomes(&self, outcomes: Load) -> Result<(), StoreError> {
        {
            let _gate = self.flusher.gate()?;
            self.flusher.noted(self.outcome.clear()).map_err(io_error)?;
        }
        self.load(outcomes)
    }

    /// Sets the head and the history checkpoint of loaded entries.
    pub(crate) fn set_head(&self, head: &[u8], checkpoint: &[u8]) -> Result<(), StoreError> {
        self.flusher.noted(self.meta.insert(CHECKPOINT, checkpoint)).map_err(io_error)?;
        self.flusher.noted(self.meta.insert(HEAD, head)).map_err(io_error)?;
        Ok(())
    }

    /// The directory of the store; `None` for a temporary one.
    #[cfg(feature = "cluster")]
    pub(crate) fn store_directory(&self) -> Option<&Path> {
        self.file.as_ref().map(|_| parent(&self.directory))
    }

    /// Whether the store is a temporary one.
    pub(crate) fn is_temporary(&self) -> bool {
        self.file.is_none()
    }

    pub(crate) fn meta(&self) -> Result<Option<IVec>, StoreError> {
        Ok(self.meta.get(META).map_err(io_error)?)
    }

    pub(crate) fn set_meta(&self, frame: Vec<u8>) -> Result<(), StoreError> {
        self.flusher.noted(self.meta.insert(META, frame)).map_err(io_error)?;
        Ok(self.checkpoint()?)
    }

    /// Writes a batch in one transaction. It is durable after the next [`checkpoint`](Self::checkpoint).
    pub(crate) fn write(&self, batch: &Batch) -> io::Result<()> {
        #[cfg(test)]
        Faults::check(&self.faults.write)?;
        let events = batch.writes.iter().filter(|write| write.event.0 > NO_EVENT);
        let batches = event_batch::pack(events.map(|write| (write.event.0, write.event.1.as_slice())));
        let batches = batches.map_err(io::Error::other)?;
        let _gate = self.flusher.gate()?;
        let trees = (&self.keys, &self.overflow, &self.owners, &self.imported, &self.events, &self.meta, &self.outcome);
        let written = trees.transaction(|(keys, others, owners, imported, events, meta, outcome)| {
            for write in &batch.writes {
                if let Some(id) = write.subject.record() {
                    let key = write.subject.key();
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
                            for owner in
                                key.filter(|_| write.is_new).into_iter().flat_map(|id| owner_places(write.owner(), id))
                            {
                                owners.insert(owner, &[])?;
                            }
                        }
                        None => {
                            for owner in key.into_iter().flat_map(|id| owner_places(write.owner(), id)) {
                                owners.remove(owner)?;
                            }
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
        Box::new(self.owners.iter().keys().map(|key| Ok(key.map_err(io_error)?)))
    }

    pub(crate) fn imported_keys(&self) -> Box<dyn Iterator<Item = Result<IVec, StoreError>>> {
        Box::new(self.imported.iter().keys().map(|key| Ok(key.map_err(io_error)?)))
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
        // Each tree flushes when it is dropped, without a rescuer. Flush first, so that those do not wait.
        if self.flusher.flush().is_err() {
            abandoned::drop_in_background(self.directory.clone(), self.open.clone());
        }
    }
}

/// The database's error of a transaction that this crate never aborts.
pub(crate) fn refused(error: TransactionError<Infallible>) -> sled::Error {
    match error {
        TransactionError::Abort(never) => match never {},
        TransactionError::Storage(error) => error,
    }
}

/// Returns the digests of a record's imported secrets.
pub(crate) fn imported_digests(record: &Record) -> impl Iterator<Item = Digest> {
    let imported = record.secrets.iter().filter(|secret| matches!(secret.form, SecretForm::Imported(_)));
    imported.map(|secret| secret.digest)
}

pub(super) fn number(bytes: &[u8]) -> Result<u128, StoreError> {
    let bytes =
        bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "a key of the wrong length"))?;
    Ok(u128::from_be_bytes(bytes))
}
