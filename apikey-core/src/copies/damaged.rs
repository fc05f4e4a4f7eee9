//! What can still be read of a store, however damaged. Nothing here changes it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sled::{IVec, Tree};
use tempfile::TempDir;

use crate::base::codec;
use crate::base::codec::{FORMAT, MAX_FRAME};
use crate::base::panics::catch_panic;
use crate::copies::restore_report::RestoreError;
use crate::key::error::{OpenError, StoreError};
use crate::key::event::stored::{Checkpoint, Event, Head};
use crate::key::record::{Record, record_hash};

use crate::base::files::{CREATING, own_file};
use crate::storage::commit_mark::{MARK, Mark, MarkFile};
use crate::storage::directory::{DATABASE, LOCK, remove_unfinished_snapshots};
use crate::storage::disk::Disk;
use crate::storage::durable::RecoverError;
use crate::storage::event_batch;
use crate::storage::flush::Flusher;
use crate::storage::overflow;
use crate::storage::wal::Journal;
use crate::store::open::Meta;

/// The database of an old store, opened as a copy: opening it may write.
pub(crate) struct Old {
    database: Option<sled::Db>,
    flusher: Option<Flusher>,
    /// The store's own files, which nothing has written to.
    files: PathBuf,
    pub(crate) mark: Option<Mark>,
    pub(crate) head: Option<Head>,
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) meta: Option<Vec<u8>>,
    /// Every record was read, and they are those of the head.
    pub(crate) has_all_records: bool,
    /// What is wrong with it.
    pub(crate) faults: Vec<String>,
    _copy: TempDir,
    _lock: Option<File>,
}

/// Something whole, found anywhere in the files; maybe of an earlier state.
pub(crate) enum Found {
    Record(Record),
    Event(Event),
}

impl Old {
    /// Opens a copy of the database, which is made in `scratch`.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, RestoreError> {
        let io = RestoreError::io(path);
        let lock = lock(path)?;
        let files = path.join(DATABASE);
        let copy = tempfile::Builder::new().prefix(CREATING).tempdir_in(scratch).map_err(RestoreError::io(scratch))?;
        let mark = MarkFile::read(path).map_err(&io)?;
        let mut old = Self {
            database: None,
            flusher: None,
            files,
            mark: None,
            head: None,
            checkpoint: None,
            meta: None,
            has_all_records: false,
            faults: Vec::new(),
            _copy: copy,
            _lock: lock,
        };
        match mark {
            Some(Ok(mark)) => old.mark = Some(mark),
            Some(Err(error)) => old.faults.push(format!("its commit mark: {error}")),
            None => old.faults.push("its commit mark is gone".into()),
        }
        if !fs::symlink_metadata(&old.files).is_ok_and(|files| files.is_dir()) {
            old.faults.push("its database is gone".into());
            return Ok(old);
        }
        copy_all(&old.files, old._copy.path()).map_err(&io)?;
        remove_unfinished_snapshots(old._copy.path()).map_err(&io)?;
        old.open_copy();
        old.read_meta();
        Ok(old)
    }

    fn open_copy(&mut self) {
        let path = self._copy.path().to_owned();
        match catch_panic(|| sled::Config::new().path(&path).open()) {
            Ok(Ok(database)) => match Flusher::new(database.clone()) {
                Ok(flusher) => {
                    (self.database, self.flusher) = (Some(database.clone()), Some(flusher));
                    self.take_over(database, &path);
                }
                Err(error) => self.faults.push(format!("its database is not read: {error}")),
            },
            Ok(Err(error)) => self.faults.push(format!("its database does not open: {error}")),
            Err(panic) => self.faults.push(format!("its database panics when it is opened: {panic}")),
        }
    }

    /// What its journal holds goes into the copy.
    fn take_over(&mut self, database: sled::Db, copy: &Path) {
        let taken = catch_panic(|| {
            let disk = Disk::new(database, copy, false)?;
            disk.take_over(&Journal::bytes(copy).map_err(StoreError::from)?)
        });
        match taken {
            Ok(Ok(_)) => {}
            Ok(Err(RecoverError::Journal(fault))) => self.faults.push(fault.to_string()),
            Ok(Err(error)) => self.faults.push(format!("its journal cannot be taken over: {error}")),
            Err(panic) => self.faults.push(format!("its database panics when it takes over the journal: {panic}")),
        }
    }

    fn read_meta(&mut self) {
        let Some(tree) = self.tree("meta") else { return };
        let get = |name: &str| match catch_panic(|| tree.get(name)) {
            Ok(Ok(frame)) => frame,
            _ => None,
        };
        self.head = get("head").and_then(|frame| codec::decode(&frame).ok());
        self.checkpoint = get("checkpoint").and_then(|frame| codec::decode(&frame).ok());
        self.meta = get("store").filter(|frame| codec::decode::<Meta>(frame).is_ok()).map(|frame| frame.to_vec());
        if self.head.is_none() {
            self.faults.push("its head cannot be read".into());
        }
        if let (Some(mark), Some(head)) = (self.mark, self.head)
            && !mark.admits(&head)
        {
            let what = format!("it is at change {}, and its mark knows change {}", head.number, mark.number);
            self.faults.push(what);
        }
    }

    /// The number of the last change it is known to have had.
    pub(crate) fn number(&self) -> Option<u64> {
        self.head.map(|head| head.number).max(self.mark.map(|mark| mark.number))
    }

    /// Every record in its place: its id, and what it says if it is whole.
    pub(crate) fn records<E>(
        &mut self,
        mut each: impl FnMut(u128, Option<Record>, &IVec) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut records, mut sum) = (0, 0u128);
        let others = self.tree("parts");
        let part = |key| match catch_panic(|| others.as_ref().map(|others| others.get(key))) {
            Ok(Some(Ok(part))) => Ok(part),
            _ => Err(io::Error::other("a part of a record cannot be read")),
        };
        let whole = self.scan("keys", |key, first| {
            let Ok(key) = <[u8; 16]>::try_from(key.as_ref()) else { return Ok(()) };
            let id = u128::from_be_bytes(key);
            // What lacks a part is told as it stands: it decodes to nothing.
            let joined = overflow::join(key, first, part).ok().flatten().map(IVec::from);
            let frame = joined.as_ref().unwrap_or(first);
            records += 1;
            sum = sum.wrapping_add(record_hash(frame));
            each(id, codec::decode::<Record>(frame).ok().filter(|record| record.id == id), frame)
        })?;
        self.has_all_records = whole && self.head.is_some_and(|head| (head.records, head.sum) == (records, sum));
        if whole && !self.has_all_records {
            self.faults.push("its records are not those of its last change".into());
        }
        Ok(())
    }

    /// Every event in its place.
    pub(crate) fn events<E>(
        &mut self,
        mut each: impl FnMut(u64, Option<Event>, &IVec) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = self.checkpoint.map_or(0, |checkpoint| checkpoint.number);
        let mut lost = 0;
        self.scan("events", |key, value| {
            let Some(first) = <[u8; 8]>::try_from(key.as_ref()).ok().map(u64::from_be_bytes) else { return Ok(()) };
            // Of a block that cannot be read, the first is told; those behind it are missing before the next.
            let events = event_batch::unpack(key, value).unwrap_or_else(|_| vec![(first, value.clone())]);
            for (number, frame) in events {
                let event = codec::decode::<Event>(&frame).ok().filter(|event| event.number == number);
                let missing = number.saturating_sub(last).saturating_sub(1);
                lost = missing.saturating_add(u64::from(event.is_none())).saturating_add(lost);
                last = number;
                each(number, event, &frame)?;
            }
            Ok(())
        })?;
        lost = self.number().unwrap_or(0).saturating_sub(last).saturating_add(lost);
        if lost > 0 {
            self.faults.push(format!("{lost} of its events cannot be read"));
        }
        Ok(())
    }

    pub(crate) fn uses<E>(&mut self, mut each: impl FnMut(&IVec, &IVec) -> Result<(), E>) -> Result<(), E> {
        self.scan("uses", |secret, second| match (secret.len(), second.len()) {
            (16, 4) => each(secret, second),
            _ => Ok(()),
        })?;
        Ok(())
    }

    /// Searches the files for whatever is whole, of whatever time. Only if something is wrong with the store.
    pub(crate) fn search<E>(&mut self, mut each: impl FnMut(Found) -> Result<(), E>) -> Result<(), E> {
        let mut refused = None;
        let mut files = Vec::new();
        list(&self.files, &mut files);
        for file in files {
            let searched = search_file(&file, &mut |found| {
                if refused.is_none() {
                    refused = each(found).err();
                }
            });
            if let Err(error) = searched {
                self.faults.push(format!("{} cannot be read: {error}", file.display()));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    fn tree(&mut self, name: &str) -> Option<Tree> {
        let database = self.database.as_ref()?;
        match catch_panic(|| database.open_tree(name)) {
            Ok(Ok(tree)) => return Some(tree),
            Ok(Err(error)) => self.faults.push(format!("its table {name:?} does not open: {error}")),
            Err(panic) => self.faults.push(format!("its table {name:?} panics when it is opened: {panic}")),
        }
        None
    }

    /// From the beginning as far as it goes, and if that is not the end, from the end back. Whether it was read whole.
    fn scan<E>(&mut self, name: &str, mut each: impl FnMut(&IVec, &IVec) -> Result<(), E>) -> Result<bool, E> {
        let Some(tree) = self.tree(name) else { return Ok(false) };
        let mut last: Option<IVec> = None;
        let mut forward = tree.iter();
        let fault = loop {
            match catch_panic(|| forward.next()) {
                Ok(None) => return Ok(true),
                Ok(Some(Ok((key, value)))) if last.as_ref().is_none_or(|last| *last < key) => {
                    each(&key, &value)?;
                    last = Some(key);
                }
                Ok(Some(Ok(_))) => break "it goes in circles".to_owned(),
                Ok(Some(Err(error))) => break error.to_string(),
                Err(panic) => break panic,
            }
        };
        self.faults.push(format!("its table {name:?} cannot be read to the end: {fault}"));
        let mut first: Option<IVec> = None;
        let mut backward = tree.iter();
        while let Ok(Some(Ok((key, value)))) = catch_panic(|| backward.next_back()) {
            if last.as_ref().is_some_and(|last| key <= *last) || first.as_ref().is_some_and(|first| key >= *first) {
                break;
            }
            each(&key, &value)?;
            first = Some(key);
        }
        Ok(false)
    }
}

impl Drop for Old {
    fn drop(&mut self) {
        let (database, flusher) = (self.database.take(), self.flusher.take());
        // sled flushes when it is dropped, and could wait for ever then on a disk that refuses; after a flush that has
        // failed it does not. It was opened as a copy, so what is lost is nothing.
        let flushed = flusher.as_ref().map_or(Ok(()), Flusher::flush);
        if let (Err(error), _) | (Ok(()), Err(error)) =
            (flushed, catch_panic(|| drop((database, flusher))).map_err(std::io::Error::other))
        {
            tracing::debug!(%error, "the copy of the old database was not written to its end");
        }
    }
}

/// Whether anything of a store is in the directory. One that was named by mistake would show that no key was revoked.
///
/// # Errors
/// [`RestoreError::NoOldStore`] if nothing is, [`RestoreError::Io`] if that cannot be told.
pub(crate) fn look(path: &Path) -> Result<(), RestoreError> {
    // Below what is no directory there is nothing, either.
    let is_there = |name: &str| match fs::symlink_metadata(path.join(name)) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(false),
        Err(error) => Err(RestoreError::io(path)(error)),
    };
    match is_there(DATABASE)? || is_there(MARK)? {
        true => Ok(()),
        false => Err(RestoreError::NoOldStore { path: path.to_owned() }),
    }
}

/// A store that is open must not be read from below. Nothing is written: the lock is one of the operating system's.
fn lock(path: &Path) -> Result<Option<File>, RestoreError> {
    let io = RestoreError::io(path);
    let file = match own_file(OpenOptions::new().read(true), &path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: path.to_owned() }.into()),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&target)?;
            copy_all(&entry.path(), &target)?;
        } else {
            let mut file = own_file(OpenOptions::new().read(true), &entry.path())?;
            io::copy(&mut file, &mut File::create_new(target)?)?;
        }
    }
    Ok(())
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_directory { list(&entry.path(), files) } else { files.push(entry.path()) }
    }
}

/// sled keeps a value in one piece, so a frame that is whole can be found without it.
fn search_file(path: &Path, each: &mut dyn FnMut(Found)) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let mut file = own_file(OpenOptions::new().read(true), path)?;
    let mut window = Vec::new();
    loop {
        let before = window.len();
        Read::by_ref(&mut file).take(STEP as u64).read_to_end(&mut window)?;
        let at_end = window.len() == before;
        // The last frames of a window are looked at with the next one.
        let done = if at_end { window.len() } else { window.len().saturating_sub(MAX_FRAME) };
        for at in 0..done {
            let Some(rest) = window.get(at..) else { break };
            let [kind, format, ..] = *rest else { break };
            if format > FORMAT || format == 0 {
                continue;
            }
            match kind {
                b'K' => codec::carve(rest).map(Found::Record),
                b'E' => codec::carve(rest).map(Found::Event),
                _ => None,
            }
            .into_iter()
            .for_each(&mut *each);
        }
        if at_end {
            return Ok(());
        }
        window.drain(..done);
    }
}
