//! Makes a new store from a backup.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::access::named::{Kind, NamedId};
use crate::base::codec;
use crate::base::store_time::StoreTime;
use crate::copies::archive::{Archive, Item};
use crate::copies::backup_report::BackupError;
use crate::copies::restore_report::{Restore, RestoreError, RestoreReport, RestoreWarning, UnknownKey};
use crate::key::error::StoreError;
use crate::key::event::actor::{Actor, Origin};
use crate::key::event::kind::EventKind;
use crate::key::event::stored::Event;
use crate::key::evidence::{DELETED, Evidence, restrict_by_state};
use crate::key::named::NamedRecord;
use crate::key::named::evidence::after_events;
use crate::key::owner::owner_info::OwnerInfo;
use crate::key::record::{Record, Revocation};
use crate::key::subject::Subject;
use crate::token::digest::Digester;
use crate::token::key_id::KeyId;

use crate::copies::assembler::Assembler;
use crate::copies::damaged;
use crate::copies::damaged::{DamagedStore, ScanItem};
use crate::storage::create::build;
use crate::storage::database::disk::{Bytes, Disk};
use crate::storage::directory::{clear, is_noted_replica, prepare};
use crate::storage::file_names::DATABASE;
use crate::storage::lock::lock;
use crate::storage::meta::Meta;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Makes a new store from a backup. It checks the whole backup before it writes anything, and the new store appears
    /// only when it is complete and on disk.
    ///
    /// With [`over`](Restore::over) it reapplies the restrictions that the old store still shows: revoked and disabled
    /// keys, and ended secrets. So no key that the old directory shows as revoked becomes valid again. The old
    /// directory need not open as a store; whatever is intact in it counts. A key does not regain what it got after the
    /// backup (more time, more permissions, a new secret), and the report lists keys created after the backup, which
    /// the restore does not add.
    ///
    /// It reads the old directory through a copy, for which there must be room beside the new store.
    ///
    /// # Errors
    /// [`RestoreError::Backup`] for a backup that is damaged, or that a newer version wrote;
    /// [`RestoreError::NoOldStore`] if nothing of a store is in the old directory; [`RestoreError::NotEmpty`];
    /// [`RestoreError::Directory`] for an old store that is open, or a directory that cannot be one of a store;
    /// [`RestoreError::Store`] and [`RestoreError::Io`] if the disk fails.
    pub fn restore(restore: &Restore) -> Result<RestoreReport, RestoreError> {
        restore.old.as_deref().map_or(Ok(()), damaged::check_present)?;
        restore.actor.as_ref().map_or(Ok(()), Actor::check).map_err(StoreError::from)?;
        let archive = Archive::check(&restore.backup)?;
        let meta = settings(&archive, &restore.backup)?;
        let _lock = target(&restore.into)?;
        let mut old = restore.old.as_ref().map(|old| DamagedStore::open(old, &restore.into)).transpose()?;
        let head = archive.trailer.head;
        let mut report = RestoreReport {
            number: head.number,
            old_number: old.as_ref().and_then(DamagedStore::number),
            records: head.records,
            events: archive.trailer.events,
            reapplied: Vec::new(),
            roles: Vec::new(),
            tenants: Vec::new(),
            owners: Vec::new(),
            unknown: Vec::new(),
            warnings: Vec::new(),
        };
        let scanned = old.as_mut().map(|old| EventScan::of(old, head.number)).transpose()?;
        let digester = restore.pepper.as_ref().map_or_else(Digester::plain, Digester::peppered);
        build(&restore.into, |disk| {
            let origin = Origin { actor: restore.actor.clone(), peer: None };
            let mut assembler = Assembler::new(disk, digester, origin, restore.time.raw_ms());
            archive.read(|item| {
                match item {
                    Item::Meta(_) => {}
                    Item::Record(record, frame) => assembler.record(&record, &frame)?,
                    Item::Named(record, frame) => assembler.named(&record, &frame)?,
                    Item::Event(number, frame) => assembler.event(number, &frame)?,
                    Item::Used(secret, second) => assembler.used(&secret, &second.to_le_bytes())?,
                }
                Ok(())
            })?;
            if (assembler.head.records, assembler.head.sum) != (head.records, head.sum) {
                return Err(BackupError::damaged(&restore.backup, "it changed while it was read").into());
            }
            disk.set_meta(codec::encode(&meta).map_err(StoreError::from)?)?;
            assembler.set_history(head, &archive.trailer.checkpoint)?;
            // An open would check the same.
            if let Some(what) = disk.missing_events(&head)? {
                return Err(BackupError::damaged(&restore.backup, what).into());
            }
            // The new store's time is never behind that of either: a key that has expired in the old one stays expired.
            if let Some(newest) = scanned.as_ref().and_then(|scanned| scanned.newest.as_ref()) {
                assembler.now = assembler.now.max(newest.unless_in(disk)?.unwrap_or(i64::MIN));
            }
            let time = StoreTime::new(restore.time.clone(), assembler.now);
            report.warnings.extend(time.lead().map(RestoreWarning::Ahead));
            assembler.append_event(EventKind::Restored { backup: head.number, old: report.old_number })?;
            if let Some((old, scanned)) = old.as_mut().zip(scanned) {
                Reapply { assembler: &mut assembler, backup: head.number, report: &mut report }.all(old, scanned)?;
            }
            Ok::<_, RestoreError>(assembler.head.into())
        })?;
        Ok(report)
    }
}

/// Decodes the settings of the store in a backup: a store whose settings do not decode would never open.
pub(crate) fn settings(archive: &Archive<'_>, path: &Path) -> Result<Meta, BackupError> {
    if archive.meta.is_empty() {
        return Ok(Meta::default());
    }
    let meta: Meta = codec::decode(&archive.meta).map_err(|error| BackupError::codec(path, "its settings", &error))?;
    // A backup of a replica becomes a store of its own.
    Ok(Meta { replica: None, ..meta })
}

/// Creates and locks the directory of a new store.
pub(super) fn target(path: &Path) -> Result<std::fs::File, RestoreError> {
    prepare(path, true)?;
    let lock = lock(path, std::time::Duration::ZERO, None)?;
    if path.join(DATABASE).exists() || is_noted_replica(path).map_err(RestoreError::io(path))? {
        return Err(RestoreError::NotEmpty { path: path.to_owned() });
    }
    clear(path).map_err(RestoreError::io(path))?;
    Ok(lock)
}

/// Notes an event of the old store. The backup contains events up to its number; but a store that was restored before
/// may have others under the same numbers, of which only the final ones count.
fn note(evidence: &mut BTreeMap<u128, Evidence>, event: &Event, backup: u64) {
    let Some(key) = event.subject.key() else { return };
    let evidence = evidence.entry(key).or_default();
    if event.number > backup { evidence.note(event) } else { evidence.note_final(event) }
}

/// The events of the old store that can be read in their place.
struct EventScan {
    evidence: BTreeMap<u128, Evidence>,
    /// The events of roles, tenants and owners, by number.
    named: BTreeMap<u64, Event>,
    last_id: u128,
    newest: Option<Newest>,
}

/// The newest event of an old store.
struct Newest {
    number: u64,
    at: i64,
    frame: Bytes,
}

impl Newest {
    /// Its time, unless the new store has the same event from its backup. Another event may have the same number, if
    /// the old store was itself restored from an earlier backup.
    fn unless_in(&self, disk: &Disk) -> Result<Option<i64>, StoreError> {
        let held = disk.written_events(self.number).next().transpose()?;
        let is_held = held.is_some_and(|(number, frame)| number == self.number && frame == self.frame);
        Ok((!is_held).then_some(self.at))
    }
}

impl EventScan {
    fn of(old: &mut DamagedStore, backup: u64) -> Result<Self, RestoreError> {
        let mut scanned = Self { evidence: BTreeMap::new(), named: BTreeMap::new(), last_id: 0, newest: None };
        old.events(|number, event, frame| {
            if let Some(event) = event {
                scanned.last_id = scanned.last_id.max(event.subject.key().unwrap_or(0));
                if scanned.newest.as_ref().is_none_or(|newest| number > newest.number) {
                    scanned.newest = Some(Newest { number, at: event.at, frame: frame.clone() });
                }
                note(&mut scanned.evidence, &event, backup);
                if let Subject::Named(_) = event.subject {
                    scanned.named.insert(number, event);
                }
            }
            Ok::<_, RestoreError>(())
        })?;
        Ok(scanned)
    }
}

/// Applies again what keys have lost in the old store.
struct Reapply<'r, 'd> {
    assembler: &'r mut Assembler<'d>,
    /// The number of the backup.
    backup: u64,
    report: &'r mut RestoreReport,
}

impl Reapply<'_, '_> {
    fn all(&mut self, old: &mut DamagedStore, scanned: EventScan) -> Result<(), RestoreError> {
        let EventScan { mut evidence, mut named, mut last_id, .. } = scanned;
        let mut ended = Vec::new();
        // If it is not later than the backup, what it says of things that keys can get back is out of date.
        let later = old.number().is_none_or(|number| number > self.backup);
        let mut read = BTreeSet::new();
        old.records(|id, record, _| {
            last_id = last_id.max(id);
            let Some(record) = record else { return Ok(()) };
            read.insert(id);
            self.by_record(&record, later)
        })?;
        if !old.faults.is_empty() {
            let intact = old.has_all_records;
            let mut unknown = BTreeMap::new();
            old.search(|found| match found {
                ScanItem::Record(record) => {
                    last_id = last_id.max(record.id);
                    if !intact && !read.contains(&record.id) && self.assembler.disk.record(record.id)?.is_none() {
                        unknown.insert(record.id, UnknownKey::of(&record));
                    }
                    self.by_record(&record, false)
                }
                ScanItem::Event(event, _) => {
                    note(&mut evidence, &event, self.backup);
                    if let Subject::Named(_) = event.subject {
                        named.entry(event.number).or_insert(*event);
                    }
                    Ok(())
                }
                ScanItem::Ended(tenant) => {
                    ended.push(NamedRecord::Tenant(*tenant));
                    Ok(())
                }
            })?;
            let listed = |id: &u128| self.report.unknown.iter().any(|one| one.key.as_u128() == *id);
            let over = |id: &u128| evidence.get(id).is_some_and(Evidence::is_revoked);
            let unlisted: Vec<_> = unknown.into_iter().filter(|(id, _)| !listed(id) && !over(id)).collect();
            self.report.unknown.extend(unlisted.into_iter().map(|(_, key)| key));
        }
        old.check_understood()?;
        let whole = old.faults.is_empty();
        // The end of a tenant is final, whenever it was.
        let counts = |event: &&Event| event.number > self.backup || matches!(event.kind, EventKind::TenantEnded { .. });
        let left = after_events(named.values().filter(counts));
        self.narrow_named(old.named.iter().map(|(record, _)| record).chain(&ended), left, later)?;
        self.by_events(&evidence, &read)?;
        if later {
            self.absent(&evidence, &read, whole)?;
        }
        for what in &old.faults {
            self.report.warnings.push(RestoreWarning::NotWhole { what: what.clone() });
        }
        // No id is ever given twice.
        self.assembler.head.last_id = self.assembler.head.last_id.max(last_id);
        Ok(self.assembler.save_head()?)
    }

    /// Takes from the roles, tenants and owners of the backup what they lost after it.
    fn narrow_named<'n>(
        &mut self,
        records: impl Iterator<Item = &'n NamedRecord>,
        mut left: BTreeMap<NamedId, NamedRecord>,
        later: bool,
    ) -> Result<(), RestoreError> {
        for record in records {
            let has_ended = record.as_tenant().is_some_and(|tenant| tenant.ended.is_some());
            if later || has_ended {
                let met = left.get(&record.id()).map_or_else(|| record.clone(), |left| record.met(left));
                left.insert(record.id(), met);
            }
        }
        for (id, left) in left {
            let held = self.assembler.disk.named(id)?;
            // No key of the backup has a role that the backup lacks; but it may be of a tenant or an owner that was put later.
            if held.is_none() && Kind::of(id) == Some(Kind::Role) {
                continue;
            }
            if !self.assembler.restrict_named(held.as_ref().map(|(held, frame)| (held, frame)), &left)? {
                continue;
            }
            match left {
                NamedRecord::Role(role) => self.report.roles.push(role.name),
                NamedRecord::Tenant(tenant) => self.report.tenants.push(tenant.name),
                NamedRecord::Owner(_) => {
                    let owner = self.assembler.disk.named(id)?.and_then(|(record, _)| record.owner());
                    self.report.owners.extend(owner.map(OwnerInfo::of));
                }
            }
        }
        Ok(())
    }

    fn by_record(&mut self, old: &Record, later: bool) -> Result<(), RestoreError> {
        let Some((held, frame)) = self.assembler.disk.record(old.id)? else {
            if later {
                self.report.unknown.push(UnknownKey::of(old));
            }
            return Ok(());
        };
        let mut after = held.clone();
        restrict_by_state(&mut after, old, later);
        self.note(&held, &frame, &after)?;
        if old.version > held.version && old.revoked.is_none() {
            let warning = RestoreWarning::NewerSecret { key: KeyId::from_u128(old.id), version: old.version };
            if !self.report.warnings.contains(&warning) {
                self.report.warnings.push(warning);
            }
        }
        Ok(())
    }

    fn by_events(&mut self, evidence: &BTreeMap<u128, Evidence>, read: &BTreeSet<u128>) -> Result<(), RestoreError> {
        for (id, evidence) in evidence {
            let Some((held, frame)) = self.assembler.disk.record(*id)? else { continue };
            let mut after = held.clone();
            evidence.restrict(&mut after);
            self.note(&held, &frame, &after)?;
            if evidence.changed_at > self.backup && !read.contains(id) && after.revoked.is_none() {
                self.report.warnings.push(RestoreWarning::Unread { key: KeyId::from_u128(*id) });
            }
        }
        Ok(())
    }

    /// Handles keys of the backup that the old store does not have in their place.
    fn absent(
        &mut self,
        evidence: &BTreeMap<u128, Evidence>,
        read: &BTreeSet<u128>,
        whole: bool,
    ) -> Result<(), RestoreError> {
        if !whole && read.is_empty() {
            // Another warning says already that nothing could be read.
            return Ok(());
        }
        let ids =
            self.assembler.disk.records(None).map(|item| Ok(item?.0)).collect::<Result<Vec<u128>, StoreError>>()?;
        for id in ids.into_iter().filter(|id| !read.contains(id)) {
            let Some((held, frame)) = self.assembler.disk.record(id)? else { continue };
            if held.revoked.is_some() {
                continue;
            }
            if whole {
                // It was deleted, and only keys that are revoked or have expired can be.
                let mut after = held.clone();
                after.revoked = Some(Revocation { at: self.assembler.now, reason: DELETED.into() });
                self.note(&held, &frame, &after)?;
            } else if evidence.get(&id).is_none_or(|evidence| evidence.changed_at <= self.backup) {
                self.report.warnings.push(RestoreWarning::Unread { key: KeyId::from_u128(id) });
            }
        }
        Ok(())
    }

    fn note(&mut self, held: &Record, frame: &Bytes, after: &Record) -> Result<(), RestoreError> {
        if let Some(reapplied) = self.assembler.restrict(held, frame, after)? {
            self.report.reapplied.push(reapplied);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::archive::{ArchiveWriter, Trailer};
    use crate::key::event::stored::{Checkpoint, Head};

    /// Restores a backup of no keys that has these settings, this number and this highest id.
    fn restored(settings: &[&[u8]], number: u64, purged: u64, last_id: u128) -> Result<KeyStore, RestoreError> {
        let directory = tempfile::tempdir().unwrap();
        let (backup, into) = (directory.path().join("file"), directory.path().join("store"));
        let mut archive = ArchiveWriter::new(std::fs::File::create(&backup).unwrap()).unwrap();
        settings.iter().for_each(|frame| archive.meta(frame).unwrap());
        let head = Head { number, last_id, ..Head::default() };
        let checkpoint = Checkpoint { number: purged, ..Checkpoint::default() };
        archive.finish(&Trailer { head, checkpoint, written_at: 0, scanned: 0, amendments: 0, events: 0 }).unwrap();
        let restored = KeyStore::restore(&Restore::new(&backup, &into));
        assert_eq!(into.join(DATABASE).exists(), restored.is_ok());
        restored.map(|_| KeyStore::open(&into).unwrap())
    }

    #[test]
    fn a_backup_has_settings_that_a_store_can_be_opened_with() {
        let good = codec::encode(&Meta::default()).unwrap();
        assert!(restored(&[&good[..]], 0, 0, 0).is_ok());
        assert!(restored(&[b""], 0, 0, 0).is_ok());
        for bad in [vec![], vec![&b"none"[..]], vec![&good[1..]], vec![&good[..], &good[..]]] {
            let error = restored(&bad, 0, 0, 0).unwrap_err();
            assert!(matches!(error, RestoreError::Backup(BackupError::Damaged { .. })), "{error}");
        }
    }

    #[test]
    fn a_backup_has_numbers_and_ids_that_others_can_follow() {
        assert!(restored(&[b""], 7, 7, 0).is_ok());
        for (number, purged, last_id) in [(u64::MAX, u64::MAX, 0), (u64::MAX, 0, 0), (7, 8, 0), (7, 0, u128::MAX)] {
            let error = restored(&[b""], number, purged, last_id).unwrap_err();
            assert!(matches!(error, RestoreError::Backup(BackupError::Damaged { .. })), "{error}");
        }
    }
}
