//! Reads what is whole of a damaged store, and changes nothing in it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::access::named::{Kind, NamedId};
use crate::base::codec;
use crate::base::codec::{CodecError, MAX_FRAME, Newer};
use crate::copies::restore_report::RestoreError;
use crate::key::event::stored::{Checkpoint, Event, Head};
use crate::key::named::NamedRecord;
use crate::key::record::{Record, record_hash};
use crate::key::tenant::record::TenantRecord;
use crate::storage::open_error::OpenError;

use crate::base::files::CREATING;
use crate::base::files::own_file;
use crate::storage::commit_mark::{CommitMark, MarkFile};
use crate::storage::database::damaged::DamagedDatabase;
use crate::storage::database::disk::Bytes;
use crate::storage::directory::remove_unfinished_snapshots;
use crate::storage::file_names::MARK;
use crate::storage::file_names::{DATABASE, LOCK};
use crate::storage::meta::Meta;

/// A damaged store. Its database is opened as a copy, since opening one may write.
pub(super) struct DamagedStore {
    database: DamagedDatabase,
    /// The database's own files, to which nothing has written.
    files: PathBuf,
    pub(super) mark: Option<CommitMark>,
    pub(super) head: Option<Head>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) meta: Option<Vec<u8>>,
    /// The roles, tenants and owners with their frames, once the records are read.
    pub(super) named: Vec<(NamedRecord, Bytes)>,
    /// Those whose records are not whole.
    pub(super) lost: Vec<NamedId>,
    /// Whether every record was read, and they are those of the head.
    pub(super) has_all_records: bool,
    /// What is wrong with the store.
    pub(super) faults: Vec<String>,
    /// The first thing that only a newer version understands: this one cannot say what that restricts.
    newer: Option<Newer>,
    path: PathBuf,
    _copy: TempDir,
    _lock: Option<File>,
}

/// A whole frame that a scan found anywhere in the files. It may be of an earlier state.
pub(super) enum ScanItem {
    Record(Box<Record>),
    /// An event and its frame.
    Event(Box<Event>, Vec<u8>),
    /// A tenant that has ended, which is final.
    Ended(Box<TenantRecord>),
}

impl DamagedStore {
    /// Copies the database into `scratch`, and opens the copy.
    pub(super) fn open(path: &Path, scratch: &Path) -> Result<Self, RestoreError> {
        let io = RestoreError::io(path);
        let lock = lock(path)?;
        let files = path.join(DATABASE);
        let copy = tempfile::Builder::new().prefix(CREATING).tempdir_in(scratch).map_err(RestoreError::io(scratch))?;
        let mark = MarkFile::read(path).map_err(&io)?;
        let mut store = Self {
            database: DamagedDatabase::default(),
            files,
            mark: None,
            head: None,
            checkpoint: None,
            meta: None,
            named: Vec::new(),
            lost: Vec::new(),
            has_all_records: false,
            faults: Vec::new(),
            newer: None,
            path: path.to_owned(),
            _copy: copy,
            _lock: lock,
        };
        match mark {
            Some(Ok(mark)) => store.mark = Some(mark),
            Some(Err(CodecError::Old)) => return Err(OpenError::OldFormat { path: path.to_owned() }.into()),
            Some(Err(CodecError::Newer(newer))) => return Err(newer_format(path, newer)),
            Some(Err(error)) => store.faults.push(format!("its commit mark: {error}")),
            None => store.faults.push("its commit mark is gone".into()),
        }
        if !fs::symlink_metadata(&store.files).is_ok_and(|files| files.is_dir()) {
            store.faults.push("its database is gone".into());
            return Ok(store);
        }
        copy_all(&store.files, store._copy.path()).map_err(&io)?;
        remove_unfinished_snapshots(store._copy.path()).map_err(&io)?;
        store.database = DamagedDatabase::open(store._copy.path());
        store.faults.append(&mut store.database.faults);
        store.read_meta()?;
        store.check_understood()?;
        Ok(store)
    }

    fn read_meta(&mut self) -> Result<(), RestoreError> {
        let [head, checkpoint, meta] = self.database.meta(["head", "checkpoint", "store"]);
        let faults = [
            head.as_deref().and_then(|frame| codec::decode::<Head>(frame).err()),
            meta.as_deref().and_then(|frame| codec::decode::<Meta>(frame).err()),
        ];
        for fault in faults.iter().flatten() {
            match fault {
                CodecError::Old => return Err(OpenError::OldFormat { path: self.path.clone() }.into()),
                error => note_newer(&mut self.newer, error),
            }
        }
        self.head = head.and_then(|frame| codec::decode(&frame).ok());
        self.checkpoint = checkpoint.and_then(|frame| codec::decode(&frame).ok());
        self.meta = meta.filter(|frame| codec::decode::<Meta>(frame).is_ok()).map(|frame| frame.to_vec());
        if self.head.is_none() {
            self.faults.push("its head cannot be read".into());
        }
        if let (Some(mark), Some(head)) = (self.mark, self.head)
            && !mark.is_reached_by(&head)
        {
            let what = format!("it is at change {}, and its mark knows change {}", head.number, mark.number);
            self.faults.push(what);
        }
        Ok(())
    }

    /// Checks that this version understands everything read so far.
    ///
    /// # Errors
    /// [`OpenError::NewerFormat`].
    pub(crate) fn check_understood(&self) -> Result<(), RestoreError> {
        self.newer.map_or(Ok(()), |newer| Err(newer_format(&self.path, newer)))
    }

    /// The number of the last change that the store is known to have had.
    pub(super) fn number(&self) -> Option<u64> {
        self.head.map(|head| head.number).max(self.mark.map(|mark| mark.number))
    }

    /// Reads every record of a key in its place, and keeps those of roles, tenants and owners. One that is not whole has an id alone.
    pub(super) fn records<E>(
        &mut self,
        mut each: impl FnMut(u128, Option<Record>, &Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut records, mut sum, mut newer) = (0, 0u128, None);
        let (mut named, mut lost) = (Vec::new(), Vec::new());
        let whole = self.database.records(|id, frame| {
            records += 1;
            sum = sum.wrapping_add(record_hash(frame));
            if let Some(kind) = Kind::of(id) {
                let found = NamedRecord::decode(kind, frame).inspect_err(|error| note_newer(&mut newer, error));
                match found.ok().filter(|found| found.id() == id) {
                    Some(found) => named.push((found, frame.clone())),
                    None => lost.push(id),
                }
                return Ok(());
            }
            let record = codec::decode::<Record>(frame).inspect_err(|error| note_newer(&mut newer, error));
            each(id, record.ok().filter(|record| record.id == id), frame)
        })?;
        self.newer = self.newer.or(newer);
        self.note_faults();
        if !lost.is_empty() {
            self.faults.push(format!("{} of its roles, tenants and owners cannot be read: put them again", lost.len()));
        }
        (self.named, self.lost) = (named, lost);
        self.has_all_records = whole && self.head.is_some_and(|head| (head.records, head.sum) == (records, sum));
        if whole && !self.has_all_records {
            self.faults.push("its records are not those of its last change".into());
        }
        Ok(())
    }

    /// Reads every event in its place.
    pub(super) fn events<E>(
        &mut self,
        mut each: impl FnMut(u64, Option<Event>, &Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut last = self.checkpoint.map_or(0, |checkpoint| checkpoint.number);
        let (mut lost, mut newer) = (0, None);
        self.database.events(|number, frame| {
            let event = codec::decode::<Event>(frame).inspect_err(|error| note_newer(&mut newer, error));
            let event = event.ok().filter(|event| event.number == number);
            let missing = number.saturating_sub(last).saturating_sub(1);
            lost = missing.saturating_add(u64::from(event.is_none())).saturating_add(lost);
            last = number;
            each(number, event, frame)
        })?;
        self.newer = self.newer.or(newer);
        self.note_faults();
        lost = self.number().unwrap_or(0).saturating_sub(last).saturating_add(lost);
        if lost > 0 {
            self.faults.push(format!("{lost} of its events cannot be read"));
        }
        Ok(())
    }

    pub(super) fn uses<E>(&mut self, each: impl FnMut(&Bytes, &Bytes) -> Result<(), E>) -> Result<(), E> {
        let read = self.database.uses(each);
        self.note_faults();
        read
    }

    /// Scans the files for whole frames of any time. The caller does so only if the store has faults.
    pub(super) fn search<E>(&mut self, mut each: impl FnMut(ScanItem) -> Result<(), E>) -> Result<(), E> {
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

    fn note_faults(&mut self) {
        self.faults.append(&mut self.database.faults);
    }
}

fn note_newer(newer: &mut Option<Newer>, error: &CodecError) {
    if let CodecError::Newer(found) = error {
        newer.get_or_insert(*found);
    }
}

fn newer_format(path: &Path, newer: Newer) -> RestoreError {
    OpenError::NewerFormat { path: path.to_owned(), what: newer.to_string() }.into()
}

/// Checks that the directory contains anything of a store. A directory that was named by mistake would be evidence that
/// no key was revoked.
///
/// # Errors
/// [`RestoreError::NoOldStore`] if it contains nothing of a store, [`RestoreError::Io`] if it cannot be read.
pub(super) fn check_present(path: &Path) -> Result<(), RestoreError> {
    // A file in the directory's place contains nothing, either.
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

/// Locks the directory, since nothing may read the files of an open store. The lock is the operating system's, and
/// writes nothing.
fn lock(path: &Path) -> Result<Option<File>, RestoreError> {
    let io = RestoreError::io(path);
    let file = match own_file(OpenOptions::new().read(true), &path.join(LOCK)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error)),
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::in_use(path).into()),
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

/// Scans a file for whole frames. sled keeps a value in one piece, so they can be found without it.
fn search_file(path: &Path, each: &mut dyn FnMut(ScanItem)) -> io::Result<()> {
    const STEP: usize = 1 << 20;
    let mut file = own_file(OpenOptions::new().read(true), path)?;
    let mut window = Vec::new();
    loop {
        let before = window.len();
        Read::by_ref(&mut file).take(STEP as u64).read_to_end(&mut window)?;
        let at_end = window.len() == before;
        // The next window begins with the last frames of this one.
        let done = if at_end { window.len() } else { window.len().saturating_sub(MAX_FRAME) };
        for at in 0..done {
            let Some(rest) = window.get(at..) else { break };
            if codec::may_begin::<Record>(rest) {
                codec::carve(rest).map(|(record, _)| ScanItem::Record(Box::new(record)))
            } else if codec::may_begin::<Event>(rest) {
                codec::carve(rest).map(|(event, frame)| ScanItem::Event(Box::new(event), frame.to_vec()))
            } else if codec::may_begin::<TenantRecord>(rest) {
                let tenant = codec::carve::<TenantRecord>(rest).map(|(tenant, _)| tenant);
                tenant.filter(|tenant| tenant.ended.is_some()).map(|tenant| ScanItem::Ended(Box::new(tenant)))
            } else {
                None
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
