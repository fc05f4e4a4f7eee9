//! Backs up a store while it runs and changes.
//!
//! An iterator of the database is not a snapshot. So the writer notes the after-image of every record that changes
//! during the scan, and these replace in the backup what the scan has found.

use std::path::Path;

use crate::base::time::from_ms;
use crate::copies::archive::{Archive, ArchiveWriter, Trailer};
use crate::copies::backup_report::{BackupError, BackupReport};
use crate::copies::destination;
use crate::key::error::StoreError;
use crate::store::health::LastBackup;
use crate::token::digest::hex;

use crate::base::files::{parent, rename};
use crate::commit::image_tap::ImageTap;
use crate::commit::local_log::OpenLog;
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Writes a backup of the store into one file, while the store verifies and changes keys. It writes a new file
    /// beside, syncs, reads and checks it, and only then replaces an older one.
    ///
    /// The backup contains every change up to its [`number`](BackupReport::number), all of them on disk, and none after
    /// it. It contains no secret, but the digests of all secrets and the owners: it is as sensitive as the store, and
    /// only its user can read it (mode 0600). It does not contain peppers: back them up elsewhere.
    ///
    /// It needs memory only for what changes meanwhile. [`close`](Self::close) waits for it.
    ///
    /// ```
    /// use apikey::{KeyStore, NewKey, Restore};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let store = KeyStore::open(directory.path().join("keys.db"))?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// let file = directory.path().join("keys.backup");
    /// let report = store.backup(&file)?;
    /// assert_eq!((report.number, report.records), (1, 1));
    ///
    /// KeyStore::restore(&Restore::new(&file, directory.path().join("restored.db")))?;
    /// let restored = KeyStore::open(directory.path().join("restored.db"))?;
    /// assert!(restored.verify(created.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BackupError::Destination`] if anything but a backup is at `path`, such as another file, a link or a device, or if
    /// `path` is in a store's directory; [`BackupError::Store`] if the store is closed, cannot be read, or cannot make its changes durable;
    /// [`BackupError::Io`] if the file cannot be written; [`BackupError::Damaged`] if the written file does not match
    /// the store when it is read back. After any error an older file at `path` is unchanged.
    pub fn backup(&self, path: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        self.backup_while(path.as_ref(), &|| true)
    }

    /// Reads a whole backup and checks its digest, every record and every event, and that these are the state after its
    /// last change. [`restore`](Self::restore) does the same before it creates anything. It needs no store and no
    /// pepper.
    ///
    /// ```
    /// use apikey_core::{KeyStore, NewKey};
    ///
    /// let directory = tempfile::tempdir()?;
    /// let store = KeyStore::open(directory.path().join("keys.db"))?;
    /// store.create(NewKey::for_owner("alice"))?;
    /// let file = directory.path().join("keys.backup");
    /// assert_eq!(store.backup(&file)?, KeyStore::verify_backup(&file)?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BackupError::Io`] if the file cannot be read, [`BackupError::Damaged`] if it is not a whole backup,
    /// [`BackupError::NewerFormat`], [`BackupError::OldFormat`].
    pub fn verify_backup(path: impl AsRef<Path>) -> Result<BackupReport, BackupError> {
        let path = path.as_ref();
        Ok(report(path, &Archive::check(path)?))
    }

    /// Writes a backup, and stops when `going` returns `false`.
    pub(crate) fn backup_while(&self, path: &Path, going: &dyn Fn() -> bool) -> Result<BackupReport, BackupError> {
        destination::check(path)?;
        self.inner().backup(path, going)
    }
}

fn report(path: &Path, archive: &Archive<'_>) -> BackupReport {
    BackupReport {
        path: path.to_owned(),
        number: archive.trailer.head.number,
        written_at: from_ms(archive.trailer.written_at),
        records: archive.trailer.head.records,
        events: archive.trailer.events,
        bytes: archive.bytes,
        digest: hex(&archive.digest),
    }
}

/// The prefix of a file's name until the file is complete.
pub(super) const TEMPORARY: &str = ".apikey-backup-";

impl Inner {
    /// Writes a backup, and stops when `going` returns `false`.
    pub(super) fn backup(&self, path: &Path, going: &dyn Fn() -> bool) -> Result<BackupReport, BackupError> {
        let disk = self.engine.log.open()?;
        self.engine.group.check().map_err(StoreError::from)?;
        let directory = parent(path);
        let io = BackupError::io(path);
        let temporary = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(directory).map_err(&io)?;
        let file = temporary.as_file().try_clone().map_err(&io)?;
        let (trailer, digest) = self.write_backup(&disk, file, going, &io)?;
        temporary.as_file().sync_all().map_err(&io)?;
        let archive = Archive::check(temporary.path())?;
        if archive.trailer != trailer || archive.digest != digest {
            return Err(BackupError::damaged(path, "it does not read back as it was written"));
        }
        let report = report(path, &archive);
        // Not `files::replace`: two backups to one path each need a file of their own, which is checked before it
        // counts.
        rename(temporary.path(), path).map_err(&io)?;
        self.backup_notes().last = Some(LastBackup { at: from_ms(self.engine.time.raw_ms()), number: report.number });
        Ok(report)
    }

    fn write_backup(
        &self,
        disk: &OpenLog<'_>,
        file: std::fs::File,
        going: &dyn Fn() -> bool,
        io: &dyn Fn(std::io::Error) -> BackupError,
    ) -> Result<(Trailer, crate::token::digest::Digest), BackupError> {
        let mut archive = ArchiveWriter::new(file).map_err(io)?;
        archive.meta(disk.meta()?.as_deref().unwrap_or_default()).map_err(io)?;
        let replaced = self.engine.writer().replaced;
        let tap = ImageTap::open(&self.engine);
        // No image contains what was decided before: the scan must find it.
        disk.flush_memtable().map_err(|source| {
            self.engine.group.fail(&source);
            StoreError::from(source)
        })?;
        let mut scanned = 0;
        for item in disk.frames() {
            let (id, frame) = item?;
            archive.record(id, &frame).map_err(io)?;
            scanned += 1;
            if !going() {
                return Err(BackupError::Stopped);
            }
        }
        let (images, head, ticket) = tap.close();
        // The backup must not contain changes that the store could lose.
        self.engine.wait(ticket, disk).map_err(StoreError::from)?;
        for (id, frame) in &images {
            archive.amendment(*id, frame.as_deref()).map_err(io)?;
        }
        let _kept = self.keep_history();
        let checkpoint = disk.history_checkpoint()?;
        let mut events = 0;
        for item in disk.events(0) {
            let (number, frame) = item?;
            if number > head.number {
                break;
            }
            archive.event(&frame).map_err(io)?;
            events += 1;
            if !going() {
                return Err(BackupError::Stopped);
            }
        }
        self.write_uses_to(disk)?;
        for item in disk.uses() {
            let (secret, second) = item?;
            archive.used(&secret, &second).map_err(io)?;
        }
        if self.engine.writer().replaced != replaced {
            let what = "the replica was loaded anew while it was read: back it up again";
            return Err(StoreError::from(std::io::Error::other(what)).into());
        }
        let written_at = self.engine.time.raw_ms();
        let amendments = images.len() as u64;
        let trailer = Trailer { head, checkpoint, written_at, scanned, amendments, events };
        let (_, _, digest) = archive.finish(&trailer).map_err(io)?;
        Ok((trailer, digest))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;
    use crate::{NewKey, Restore};

    fn refuse_syncs(store: &KeyStore, refuse: bool) {
        let disk = store.inner().engine.log.open().unwrap();
        disk.faults.sync.store(refuse, Ordering::SeqCst);
    }

    #[test]
    fn a_backup_is_never_ahead_of_its_store() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let store = KeyStore::open(directory.path().join("store")).unwrap();
        store.create(NewKey::for_owner("alice")).unwrap();
        let first = store.backup(&file).unwrap();
        refuse_syncs(&store, true);
        store.create(NewKey::for_owner("bob")).unwrap_err();
        assert!(matches!(store.backup(&file), Err(BackupError::Store(StoreError::Io { .. }))));
        assert_eq!(Archive::check(&file).unwrap().trailer.head.number, first.number);
        refuse_syncs(&store, false);
    }

    #[test]
    fn what_changes_behind_the_scan_is_in_the_backup_as_it_became() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let store = KeyStore::open(directory.path().join("store")).unwrap();
        let keys = store.create_many((0..10).map(|_| NewKey::for_owner("alice"))).unwrap();
        let seen = std::cell::Cell::new(0);
        let change = || {
            seen.set(seen.get() + 1);
            // The scan has passed the first four keys, and not yet reached the last ones.
            if seen.get() == 4 {
                for n in [1, 8] {
                    store.revoke(keys[n].info.id(), "meanwhile").unwrap();
                }
                store.purge(chrono::Utc::now() + chrono::TimeDelta::seconds(1)).unwrap();
                store.create(NewKey::for_owner("late")).unwrap();
                store.update(keys[2].info.id(), crate::KeyUpdate::new().name("meanwhile")).unwrap();
            }
            true
        };
        let report = store.inner().backup(&file, &change).unwrap();
        assert_eq!((report.number, report.records, report.events), (16, 9, 16));
        assert!(store.inner().engine.writer().taps.is_empty());
        let new = directory.path().join("new");
        KeyStore::restore(&Restore::new(&file, &new)).unwrap();
        let all = crate::KeyFilter::default();
        let restored = KeyStore::open(&new).unwrap().list(&all).unwrap();
        assert_eq!(restored, store.list(&all).unwrap());
    }

    /// The thread had taken a time of use out of the index, and not written it yet, when a backup read those written.
    #[test]
    fn what_another_thread_is_writing_back_is_not_missing() {
        let store = KeyStore::temporary().unwrap();
        let keys = store.create_many((0..400).map(|_| NewKey::for_owner("alice"))).unwrap();
        let ended = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    store.inner().write_back_uses();
                }
            });
            let disk = store.inner().engine.log.open().unwrap();
            let missing = keys.iter().enumerate().filter(|(at, key)| {
                store.verify(key.key.expose_secret()).unwrap();
                store.inner().write_uses_to(&disk).unwrap();
                disk.uses().count() != at + 1
            });
            let missing = missing.count();
            ended.store(true, Ordering::SeqCst);
            assert_eq!(missing, 0);
        });
    }

    #[test]
    fn one_that_is_stopped_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        let store = KeyStore::temporary().unwrap();
        store.create(NewKey::for_owner("alice")).unwrap();
        assert!(matches!(store.inner().backup(&file, &|| false), Err(BackupError::Stopped)));
        assert!(store.inner().engine.writer().taps.is_empty());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
