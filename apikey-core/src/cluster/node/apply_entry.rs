//! Applying an entry of the cluster's log to the replica: the one path of own entries and of those of other nodes.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use crate::access::named::{Kind, NamedId};
use crate::base::codec::{self, CodecError};
use crate::cluster::format::entry::{LogEntry, position};
use crate::cluster::node::here_only::{AllHereOnly, narrowed};
use crate::commit::applier::{NamedChange, Pending};
use crate::commit::change_feed::is_of_rotator;
use crate::commit::engine::Engine;
use crate::commit::first_use::FirstUses;
use crate::commit::local_log::OpenLog;
use crate::commit::stage::{Staged, await_use};
use crate::commit::writer::Writer;
use crate::key::applied::Applied;
use crate::key::change::apply;
use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Event, Head};
use crate::key::idempotency::{NEVER_EXPIRES, RequestOutcome};
use crate::key::named::NamedRecord;
use crate::key::record::Record;
use crate::key::subject::Subject;
use crate::storage::batch::Write;
use crate::storage::database::disk::Disk;
use crate::token::digest::Digest;
use crate::token::key_id::KeyId;

/// Why an entry cannot be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApplyError {
    /// The entry does not follow the replica's head. Nothing is applied.
    #[error("the entry after event {0} does not follow this replica: it has other events before it")]
    Chain(u64),
    /// The entry does not lead to the head that it names. Nothing is applied.
    #[error("the entry after event {0} does not fit together: {1}")]
    Entry(u64, &'static str),
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The replica cannot be read or written.
    #[error(transparent)]
    Replica(#[from] StoreError),
}

/// Roles, tenants and owners as an entry leaves them, before it is applied.
type NamedAfter = HashMap<NamedId, Option<(NamedRecord, Vec<u8>)>>;

/// Keys as an entry leaves them, before it is applied.
type After = HashMap<u128, Option<(Record, Vec<u8>)>>;

impl Engine {
    /// Applies an entry, or the part of it that the replica lacks. When this returns, what the entry takes away is in
    /// force; what it gives is once the caller has [waited](Self::wait) for what is appended. Returns the keys, roles, tenants and owners that it
    /// changes; the caller settles them after that.
    pub(crate) fn apply_entry(
        &self,
        writer: &mut Writer,
        log: &OpenLog<'_>,
        here: &AllHereOnly,
        entry: LogEntry,
    ) -> Result<Vec<u128>, ApplyError> {
        let (mut head, after) = (writer.head(), entry.base.number);
        if entry.head.number <= head.number {
            return Ok(Vec::new());
        }
        if entry.base.number > head.number || (entry.base.number == head.number && entry.base != position(&head)) {
            return Err(ApplyError::Chain(after));
        }
        let digesters = writer.digesters.clone();
        let (mut changed, mut named) = (After::new(), HashMap::new());
        let mut staged = Vec::with_capacity(entry.writes.len());
        let (mut at, mut accepted, mut purged) = (i64::MIN, None, 0);
        for write in entry.writes {
            let event: Event = codec::decode(&write.event.1)?;
            if event.number <= head.number {
                continue;
            }
            if event.number != head.number + 1 || event.number != write.event.0 || event.previous != head.digest {
                return Err(ApplyError::Chain(after));
            }
            if event.subject != write.subject {
                return Err(ApplyError::Entry(after, "a change and its event have different subjects"));
            }
            let digester = digesters.iter().find(|digester| digester.pepper() == event.pepper);
            let digester =
                digester.ok_or(ApplyError::Entry(after, "it has an event under a pepper that is missing"))?;
            head.number = event.number;
            head.digest = digester.of(&write.event.1);
            match event.kind {
                // It is the store's time from then on, also if that is earlier.
                EventKind::ClockAccepted { to, .. } => accepted = Some(to.timestamp_millis()),
                EventKind::EventsPurged { last } => purged = purged.max(last),
                _ => {}
            }
            at = at.max(event.at);
            if let Subject::Named(id) = write.subject {
                let one = apply_named(id, write, log, here, &mut named, &mut head).map_err(|fault| fault.of(after))?;
                staged.push(one);
                continue;
            }
            let id = write.subject.key();
            let before = match id {
                Some(id) => current(log, &changed, id)?,
                None => None,
            };
            if id.is_some() && before.is_none() != write.is_new {
                return Err(ApplyError::Entry(after, "it changes a key that is not there, or creates one that is"));
            }
            let record: Option<Record> = write.record.as_ref().map(|frame| codec::decode(frame)).transpose()?;
            if record.as_ref().is_some_and(|record| Some(record.id) != id) {
                return Err(ApplyError::Entry(after, "it has the record of another key"));
            }
            head.replace_record(before.as_ref().map(|(_, frame)| frame), write.record.as_ref());
            let id = id.unwrap_or_default();
            head.last_id = head.last_id.max(id);
            let before_rights = before.as_ref().map(|(record, _)| self.effective(record)).transpose()?;
            let mut after_rights = record.as_ref().map(|record| self.effective(record)).transpose()?;
            if let Some((_, outcome)) = &write.outcome
                && codec::decode::<RequestOutcome>(outcome)?.at != NEVER_EXPIRES
            {
                await_use(after_rights.as_mut());
            }
            // The index must never have what was taken on this node, not even for a moment.
            if let (Some(rights), Some(record), Some(here)) = (&mut after_rights, &record, here.get(&id)) {
                here.narrow(self, record, rights)?;
            }
            let concerns_rotator = before.iter().map(|(record, _)| record).chain(&record).any(is_of_rotator);
            writer.replace_ends(before.as_ref().map(|(record, _)| record), record.as_ref());
            if record.is_none() && before.is_some() {
                self.forget_counts(id);
            }
            changed.insert(id, record.zip(write.record.as_ref().map(|frame| frame.to_vec())));
            staged.push(Staged {
                pending: Pending { id, before: before_rights, after: after_rights, named: None },
                write,
                is_of_rotator: concerns_rotator,
            });
        }
        if head != entry.head {
            return Err(ApplyError::Entry(after, "its changes do not lead to the head that it names"));
        }
        if head.last_id > 0 {
            writer.ids.pass(KeyId::from_u128(head.last_id));
        }
        let keys = staged.iter().map(|one| one.pending.id).collect();
        self.group.enqueue(staged.iter().map(|one| one.pending.clone()));
        self.time.raise(at);
        self.append(writer, log, staged, head)?;
        if let Some(to) = accepted {
            self.time.accept(to);
        }
        self.purged.fetch_max(purged, Ordering::Relaxed);
        Ok(keys)
    }

    /// Sets what the index has of these keys to what their records give, less what is in force here alone. A first use
    /// that is among those `waiting` here counts as in the record: it has ended another secret here, which must not come
    /// back.
    pub(crate) fn settle(
        &self,
        keys: &[u128],
        log: &Disk,
        here: &AllHereOnly,
        unused: &[(u128, u32)],
        waiting: Option<&FirstUses>,
    ) -> Result<(), StoreError> {
        for id in keys {
            if let Subject::Named(id) = Subject::of_record(*id) {
                let held = log.named(id)?;
                let rights = narrowed(here.get(&id), id, held.as_ref().map(|(held, _)| held));
                let published = rights.and_then(|rights| self.index.publish_named(id, rights));
                published.map_err(std::io::Error::from)?;
                continue;
            }
            let Some((mut record, _)) = log.record(*id)? else { continue };
            // Until the index is set: a first use in between would count nowhere.
            let waiting = waiting.map(FirstUses::hold);
            for first in waiting.iter().flat_map(|waiting| waiting.iter()).filter(|first| first.id == *id) {
                let change = self.change_of(*id, first.action());
                if let Ok(Applied::Changed { after: Some(after), .. }) = apply(Some(&record), &change) {
                    record = *after;
                }
            }
            let mut rights = self.effective(&record)?;
            for secret in &mut rights.secrets {
                secret.unused |= unused.contains(&(*id, secret.version));
            }
            let used: Vec<Digest> =
                record.secrets.iter().filter(|secret| secret.used).map(|secret| secret.digest).collect();
            let Some(here) = here.get(id) else {
                self.index.reconcile(&rights, &used);
                continue;
            };
            let mut left = rights.clone();
            here.narrow(self, &record, &mut left)?;
            self.index.reconcile(&left, &used);
            // Reconciling removes no secret.
            self.index.restrict(&rights, Some(&left)).map_err(std::io::Error::from)?;
        }
        Ok(())
    }
}

/// Stages a change of a role, a tenant or an owner that an entry has, and counts it in the head.
fn apply_named(
    id: NamedId,
    write: Write,
    disk: &Disk,
    here: &AllHereOnly,
    changed: &mut NamedAfter,
    head: &mut Head,
) -> Result<Staged, NamedFault> {
    let before = match changed.get(&id) {
        Some(after) => after.clone(),
        None => disk.named(id)?.map(|(record, frame)| (record, frame.to_vec())),
    };
    if before.is_none() != write.is_new {
        return Err(NamedFault::Entry("it changes a role, tenant or owner that is not there, or creates one that is"));
    }
    let kind = Kind::of(id).ok_or(NamedFault::Entry("it has a record of no kind"))?;
    let after = write.record.as_ref().map(|frame| NamedRecord::decode(kind, frame)).transpose()?;
    if after.as_ref().is_some_and(|after| after.id() != id) {
        return Err(NamedFault::Entry("it has the record of another role, tenant or owner"));
    }
    head.replace_record(before.as_ref().map(|(_, frame)| frame), write.record.as_ref());
    // The index must never have what was taken on this node, not even for a moment.
    let rights = |record: Option<&NamedRecord>| {
        narrowed(here.get(&id), id, record).map_err(|full| StoreError::from(std::io::Error::from(full)))
    };
    let before = rights(before.as_ref().map(|(record, _)| record))?;
    let change = NamedChange { before, after: rights(after.as_ref())? };
    changed.insert(id, after.zip(write.record.as_ref().map(|frame| frame.to_vec())));
    let pending = Pending { id, named: Some(change), ..Pending::default() };
    Ok(Staged { pending, write, is_of_rotator: false })
}

/// Why a change of a role, a tenant or an owner cannot be applied.
enum NamedFault {
    Entry(&'static str),
    Codec(CodecError),
    Replica(StoreError),
}

impl NamedFault {
    fn of(self, after: u64) -> ApplyError {
        match self {
            Self::Entry(what) => ApplyError::Entry(after, what),
            Self::Codec(error) => error.into(),
            Self::Replica(error) => error.into(),
        }
    }
}

impl From<CodecError> for NamedFault {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl From<StoreError> for NamedFault {
    fn from(error: StoreError) -> Self {
        Self::Replica(error)
    }
}

/// A key before a change of an entry: as an earlier change of the entry leaves it, or as the replica has it.
fn current(disk: &Disk, changed: &After, id: u128) -> Result<Option<(Record, Vec<u8>)>, StoreError> {
    match changed.get(&id) {
        Some(after) => Ok(after.clone()),
        None => Ok(disk.record(id)?.map(|(record, frame)| (record, frame.to_vec()))),
    }
}
