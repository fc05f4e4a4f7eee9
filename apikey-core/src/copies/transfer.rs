//! Exports and imports keys as lines of JSON.

use std::collections::HashSet;
use std::io::{BufRead, Read, Write};

use zeroize::Zeroizing;

use crate::access::named::Kind;
use crate::base::codec;
use crate::base::wiped;
use crate::copies::key_line::{BadLine, Exported, LineOf, Subject};
use crate::copies::named_lines::NamedLines;
use crate::copies::transfer_report::{
    ExportOptions, ImportOptions, ImportReport, LineFault, MAX_LINE, RefusedLine, digest_held,
};
use crate::key::change::Action;
use crate::key::error::{Conflict, StoreError};
use crate::key::record::{Record, SecretForm};
use crate::token::key_id::KeyId;

use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::storage::database::disk::{Disk, imported_digests};
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

/// The keys that one transaction imports.
const CHUNK: usize = 1000;

impl KeyStore {
    /// Writes every role and every key as one line of JSON, and returns the number of keys. The line of a key has the fields of
    /// [`KeyInfo`](crate::KeyInfo), and with [`digests`](ExportOptions::digests) the digests of the secrets; the store
    /// does not have the secrets themselves. If a key changes during the export, its line has the state before or after
    /// the change; use [`backup`](Self::backup) for one state of the whole store.
    ///
    /// ```
    /// use apikey::{ExportOptions, ImportOptions, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let created = store.create(NewKey::for_owner("alice"))?;
    /// let mut lines = Vec::new();
    /// store.export(&mut lines, &ExportOptions::default().digests(true))?;
    ///
    /// let other = KeyStore::temporary()?;
    /// let report = other.import(lines.as_slice(), &ImportOptions::default())?;
    /// assert_eq!(report.imported, 1);
    /// assert!(other.verify(created.key.expose_secret()).is_ok());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Io`] if the writer or the disk fails, [`StoreError::Closed`].
    pub fn export(&self, mut writer: impl Write, options: &ExportOptions) -> Result<u64, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let mut exported = 0;
        let mut tenants = HashSet::new();
        for (_, line) in self.inner().named_lines(&disk, None)? {
            writer.write_all(line.as_bytes())?;
        }
        for item in disk.records(None) {
            let record: Record = codec::decode(&item?.1)?;
            if self.inner().engine.group.is_unpublished(record.id) {
                continue;
            }
            if let Some(line) = self.inner().line_of_tenant(&disk, &record, &mut tenants)? {
                writer.write_all(line.as_bytes())?;
            }
            writer.write_all(self.inner().export_line(&disk, record, options.digests)?.as_bytes())?;
            exported += 1;
        }
        writer.flush()?;
        Ok(exported)
    }

    /// Exports the roles, tenants and owners, and then the keys, after the one with this id, up to `max` bytes, and one at least.
    pub(crate) fn export_part(&self, after: Option<KeyId>, digests: bool, max: usize) -> Result<Part, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let mut part = Part::default();
        let mut last = None;
        let after = after.map(KeyId::as_u128);
        // A role, a tenant or an owner; at first there is none yet.
        let after_named = after.filter(|after| Kind::of(*after).is_some());
        if after_named == after {
            for (id, line) in self.inner().named_lines(&disk, after_named)? {
                if !part.lines.is_empty() && part.lines.len() + line.len() > max {
                    part.next = last;
                    return Ok(part);
                }
                part.lines.push_str(&line);
                last = Some(KeyId::from_u128(id));
            }
        }
        let mut tenants = HashSet::new();
        for item in disk.records(after.filter(|_| after_named.is_none())) {
            let record: Record = codec::decode(&item?.1)?;
            if self.inner().engine.group.is_unpublished(record.id) {
                continue;
            }
            let id = KeyId::from_u128(record.id);
            let mut line =
                Zeroizing::new(self.inner().line_of_tenant(&disk, &record, &mut tenants)?.unwrap_or_default());
            line.push_str(&self.inner().export_line(&disk, record, digests)?);
            if !part.lines.is_empty() && part.lines.len() + line.len() > max {
                part.next = last;
                break;
            }
            part.lines.push_str(&line);
            part.count += 1;
            last = Some(id);
        }
        Ok(part)
    }

    /// Imports keys as [`export`](Self::export) writes them, up to 1000 in one change. A line without secrets becomes a
    /// key that no caller can use until it is [rotated](Self::rotate). The import rejects a line if the store has a key
    /// with its id, or if a field is out of bounds: the report names the line, and the other lines are imported. It rejects
    /// the line of a role, a tenant or an owner if the store has another of that name. With any such line that it rejects, for
    /// whatever reason, it rejects those of the keys that have the role or are of the tenant or the owner: they would have what the
    /// store's own grants or leaves. Without that line, they have. A key of a tenant that neither the store nor a line before it has is
    /// rejected, as one with such a role is, and after a line that nothing can be read of, every key whose role or tenant no
    /// other line gave.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the reader or the disk fails, [`StoreError::Closed`]. Lines before the error may be
    /// imported already: a second import of the same lines rejects those, and imports the rest.
    pub fn import(&self, reader: impl BufRead, options: &ImportOptions) -> Result<ImportReport, StoreError> {
        self.import_part(reader, options, &mut NamedLines::default())
    }

    /// Imports a part of an export, of which other parts came before.
    pub(crate) fn import_part(
        &self,
        mut reader: impl BufRead,
        options: &ImportOptions,
        named: &mut NamedLines,
    ) -> Result<ImportReport, StoreError> {
        let (awaiting_rotation, refused) = (Vec::new(), Vec::new());
        let mut report = ImportReport { imported: 0, roles: 0, tenants: 0, owners: 0, awaiting_rotation, refused };
        let mut waiting = Vec::new();
        let mut number = 0;
        let mut text = Vec::new();
        loop {
            text.clear();
            Read::by_ref(&mut reader).take(MAX_LINE as u64 + 1).read_until(b'\n', &mut text)?;
            let at_end = text.is_empty();
            number += 1;
            let line = text.trim_ascii();
            if text.len() > MAX_LINE {
                self.import_some(NamedLines::concerned(&mut waiting, false), named, *options, &mut report)?;
                named.refuse(LineOf::Unknown);
                report.refused.push(RefusedLine { line: number, fault: LineFault::TooLong });
                if !text.ends_with(b"\n") {
                    skip_line(&mut reader)?;
                }
            } else if !line.is_empty() {
                let moment = self.inner().engine.time.moment();
                let subject = Subject::parse(line);
                if !matches!(subject, Ok(Subject::Key(_))) {
                    let is_of_owner = matches!(subject, Ok(Subject::Owner(..)));
                    let concerned = NamedLines::concerned(&mut waiting, is_of_owner);
                    self.import_some(concerned, named, *options, &mut report)?;
                }
                let taken = match subject {
                    Ok(Subject::Key(line)) => line.record(moment).map(|record| waiting.push((number, record))),
                    Ok(Subject::Role(role)) => self.import_role(role, *options, named).map(|new| report.roles += new),
                    Ok(Subject::Tenant(tenant, ended)) => {
                        self.import_tenant(tenant, ended, *options, named).map(|new| report.tenants += new)
                    }
                    Ok(Subject::Owner(owner, tenant)) => {
                        self.import_owner(&owner, tenant, *options, named).map(|new| report.owners += new)
                    }
                    Err(bad) => {
                        let BadLine { of, fault } = *bad;
                        named.refuse(of);
                        Err(fault)
                    }
                };
                match taken {
                    Ok(()) => {}
                    Err(LineFault::Key(fault @ (StoreError::Io { .. } | StoreError::Closed))) => return Err(fault),
                    Err(fault) => report.refused.push(RefusedLine { line: number, fault }),
                }
            }
            if waiting.len() == CHUNK || at_end {
                self.import_some(std::mem::take(&mut waiting), named, *options, &mut report)?;
            }
            if at_end {
                report.refused.sort_by_key(|refused| refused.line);
                return Ok(report);
            }
        }
    }
}

/// A part of an export.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) lines: Zeroizing<String>,
    pub(crate) count: u64,
    /// The last key, role, tenant or owner, if there may be more after it.
    pub(crate) next: Option<KeyId>,
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let (used, done) = end.map_or((buffer.len(), buffer.is_empty()), |end| (end + 1, true));
        reader.consume(used);
        if done {
            return Ok(());
        }
    }
}

impl KeyStore {
    fn import_some(
        &self,
        lines: Vec<(u64, Record)>,
        named: &NamedLines,
        options: ImportOptions,
        report: &mut ImportReport,
    ) -> Result<(), StoreError> {
        if lines.is_empty() {
            return Ok(());
        }
        let mut refused = Vec::new();
        let mut imported = Vec::new();
        self.change_many(lines.len(), |writer, records| {
            refused.clear();
            imported.clear();
            let mut given = HashSet::new();
            let mut ids = HashSet::new();
            let mut changes = Vec::new();
            for (line, record) in &lines {
                let fits = match ids.contains(&record.id) {
                    true => Err(LineFault::Exists(KeyId::from_u128(record.id))),
                    false => self.inner().fits(record, writer, records, &mut given, named),
                };
                match fits {
                    Ok(()) => {
                        ids.insert(record.id);
                        imported.push((KeyId::from_u128(record.id), record.secrets.is_empty()));
                        let action = Action::Create(Box::new(record.clone()));
                        changes.push(self.inner().engine.change_of(record.id, action));
                    }
                    Err(LineFault::Key(fault @ (StoreError::Io { .. } | StoreError::Closed))) => return Err(fault),
                    Err(fault) => refused.push(RefusedLine { line: *line, fault }),
                }
            }
            if options.check_only {
                return Ok(Vec::new());
            }
            for change in &changes {
                writer.ids.pass(KeyId::from_u128(change.id));
            }
            Ok(changes)
        })?;
        report.imported += imported.len() as u64;
        report.awaiting_rotation.extend(imported.iter().filter(|(_, awaits)| *awaits).map(|(id, _)| *id));
        report.refused.append(&mut refused);
        Ok(())
    }
}

impl Inner {
    /// Writes a key as a line with its line end. The text is wiped, since it may contain digests.
    fn export_line(&self, disk: &Disk, record: Record, digests: bool) -> Result<Zeroizing<String>, StoreError> {
        let secrets = digests.then(|| record.clone());
        let info = self.info(disk, record)?;
        let mut line = wiped::json(&Exported::new(&info, secrets.as_ref())).map_err(std::io::Error::from)?;
        line.push('\n');
        Ok(line)
    }

    /// Checks that the store can import this record.
    fn fits(
        &self,
        record: &Record,
        writer: &Writer,
        records: &Records<'_>,
        given: &mut HashSet<crate::token::digest::Digest>,
        named: &NamedLines,
    ) -> Result<(), LineFault> {
        named.check(record, records)?;
        if records.record(record.id)?.is_some() {
            return Err(LineFault::Exists(KeyId::from_u128(record.id)));
        }
        let length = codec::encode(record).map_err(StoreError::from)?.len();
        if length > crate::key::bounds::MAX_RECORD {
            let error = StoreError::invalid("record", &format!("{length} bytes"), "records of at most 32 KiB");
            return Err(error.into());
        }
        self.engine.lifetime.check(record)?;
        record.idle.map_or(Ok(()), |idle| self.check_tracks_use(idle.after_ms))?;
        self.check_catalog(&record.permissions, &[]).map_err(StoreError::from)?;
        if record.prefix.as_deref().is_some_and(|prefix| !self.prefixes.knows(prefix)) {
            return Err(LineFault::Prefix);
        }
        // Lines of keys that were revoked with their tenant say so.
        if let Some(tenant) = record.tenant.as_deref().filter(|_| record.revoked.is_none())
            && records.tenant(tenant)?.is_some_and(|tenant| tenant.ended.is_some())
        {
            return Err(StoreError::Conflict(Conflict::TenantEnded).into());
        }
        for secret in &record.secrets {
            if !writer.digesters.iter().any(|digester| digester.pepper() == secret.pepper) {
                return Err(LineFault::Pepper(secret.pepper));
            }
            if let SecretForm::Own { prefix } = &secret.form
                && !self.prefixes.knows(prefix)
            {
                return Err(LineFault::Prefix);
            }
        }
        for digest in imported_digests(record) {
            if let Some(holder) = records.imported(&digest)? {
                return Err(digest_held(holder));
            }
        }
        if !record.secrets.iter().all(|secret| given.insert(secret.digest)) {
            return Err(StoreError::Conflict(Conflict::DigestTwice).into());
        }
        Ok(())
    }
}
