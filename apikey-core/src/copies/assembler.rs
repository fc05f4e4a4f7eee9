//! Assembles a new store from a backup, or from the remains of a damaged one.

use crate::base::codec;
use crate::base::codec::tail::Unknown;
use crate::copies::restore_report::Reapplied;
use crate::key::error::StoreError;
use crate::key::event::actor::Origin;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Checkpoint, Event, Head};
use crate::key::evidence::reapplied;
use crate::key::named::NamedRecord;
use crate::key::record::Record;
use crate::key::subject::Subject;
use crate::token::digest::Digester;

use crate::commit::applier::NamedChange;
use crate::commit::stage::write;
use crate::storage::batch::{Batch, Write};
use crate::storage::database::disk::{Bytes, Disk, Load};

/// The entries of one write.
const CHUNK: usize = 1000;

pub(super) struct Assembler<'a> {
    pub(super) disk: &'a Disk,
    pub(super) head: Head,
    digester: Digester,
    /// The actor of the events that it appends.
    origin: Origin,
    /// The time of the events that it appends: not before the newest that it has loaded.
    pub(super) now: i64,
    load: Load,
    unflushed: usize,
    /// The highest number of a loaded event.
    last_event: u64,
}

impl<'a> Assembler<'a> {
    pub(super) fn new(disk: &'a Disk, digester: Digester, origin: Origin, now: i64) -> Self {
        Self { disk, head: Head::default(), digester, origin, now, load: Load::default(), unflushed: 0, last_event: 0 }
    }

    /// Loads a record as it is stored.
    pub(super) fn record(&mut self, record: &Record, frame: &[u8]) -> Result<(), StoreError> {
        self.load.record(record, frame);
        self.head.add_record(frame);
        self.head.last_id = self.head.last_id.max(record.id);
        self.flush_if_full()
    }

    /// Loads a role, a tenant or an owner as it is stored.
    pub(super) fn named(&mut self, record: &NamedRecord, frame: &[u8]) -> Result<(), StoreError> {
        self.load.named(record.id(), frame);
        self.head.add_record(frame);
        self.flush_if_full()
    }

    /// Loads an event as it is stored, unless there is one of its number.
    pub(super) fn event(&mut self, number: u64, frame: &[u8]) -> Result<(), StoreError> {
        let follows = number > self.last_event;
        if !follows {
            // It comes out of order. No two event batches may contain the same number.
            self.flush()?;
            if self.disk.has_event(number)? {
                return Ok(());
            }
        }
        self.last_event = self.last_event.max(number);
        self.load.events.push((number, frame.to_vec()));
        if follows { self.flush_if_full() } else { self.flush() }
    }

    pub(super) fn used(&mut self, secret: &[u8], second: &[u8]) -> Result<(), StoreError> {
        self.load.uses.insert(secret, second);
        self.flush_if_full()
    }

    fn flush_if_full(&mut self) -> Result<(), StoreError> {
        self.unflushed += 1;
        if self.unflushed >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Writes what was loaded, so that the database can read it.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.unflushed = 0;
        self.disk.load(std::mem::take(&mut self.load))
    }

    /// Writes the head and the checkpoint of the loaded history.
    pub(super) fn set_history(&mut self, head: Head, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.flush()?;
        self.head = head;
        if let Some(newest) = self.disk.newest_event()? {
            self.now = self.now.max(newest.at);
        }
        self.disk.set_head(&codec::encode(&head)?, &codec::encode(checkpoint)?)
    }

    /// Writes the current head.
    pub(super) fn save_head(&self) -> Result<(), StoreError> {
        self.disk.set_head(&codec::encode(&self.head)?, &codec::encode(&self.disk.history_checkpoint()?)?)
    }

    /// Appends an event of the whole store.
    pub(super) fn append_event(&mut self, kind: EventKind) -> Result<(), StoreError> {
        let (event, head) = self.chained(Subject::Store, kind)?;
        self.head = head;
        let write = write(Subject::Store, None, None, event)?;
        Ok(self.disk.write(&Batch { writes: vec![write], head: codec::encode(&head)?, ended: Vec::new() })?)
    }

    /// Replaces a record by one that allows less. Returns what the key lost, if anything.
    pub(super) fn restrict(
        &mut self,
        before: &Record,
        frame: &Bytes,
        after: &Record,
    ) -> Result<Option<Reapplied>, StoreError> {
        let Some(kind) = reapplied(before, after) else { return Ok(None) };
        let EventKind::Reapplied { revoked, disabled, ended, shortened, changes } = &kind else { return Ok(None) };
        let narrowed = !shortened.is_empty() || !changes.is_empty();
        let (revoked, disabled, ended) = (*revoked, *disabled, ended.clone());
        let (event, mut head) = self.chained(Subject::Key(before.id), kind)?;
        let write = write(Subject::Key(before.id), Some(before), Some(after), event)?;
        head.replace_record(Some(frame), write.record.as_ref());
        self.disk.write(&Batch { writes: vec![write], head: codec::encode(&head)?, ended: Vec::new() })?;
        self.head = head;
        let key = crate::KeyId::from_u128(before.id);
        let (tenant, owner) = (before.tenant.clone(), before.owner.clone());
        Ok(Some(Reapplied { key, tenant, owner, revoked, disabled, ended, narrowed }))
    }

    /// Replaces a role, a tenant or an owner by what is `left` of it. Returns whether its keys lose anything; if they do not, it
    /// stays as it is. The tenant of keys may have had no record.
    pub(super) fn restrict_named(
        &mut self,
        before: Option<(&NamedRecord, &Bytes)>,
        left: &NamedRecord,
    ) -> Result<bool, StoreError> {
        let (held, frame) = before.unzip();
        let after = held.map_or_else(|| left.clone(), |held| held.met(left));
        let id = after.id();
        if !NamedChange::of(id, held, Some(&after)).map_err(std::io::Error::from)?.takes() {
            return Ok(false);
        }
        let events = after.narrowing(held);
        let subject = Subject::Named(id);
        let new = after.changed_at(self.now).encode()?;
        let mut old = frame.map(AsRef::as_ref);
        for kind in events {
            let (event, mut head) = self.chained(subject, kind)?;
            head.replace_record(old, Some(&new));
            let written = write(subject, None, None, event)?;
            let write = Write { record: Some(new.clone().into()), is_new: old.is_none(), ..written };
            self.disk.write(&Batch { writes: vec![write], head: codec::encode(&head)?, ended: Vec::new() })?;
            self.head = head;
            old = Some(new.as_slice());
        }
        Ok(true)
    }

    fn chained(&self, subject: Subject, kind: EventKind) -> Result<((u64, Vec<u8>), Head), StoreError> {
        let mut head = self.head;
        head.count()?;
        let event = codec::encode(&Event {
            number: head.number,
            at: self.now,
            subject,
            kind,
            origin: self.origin.clone(),
            previous: head.digest,
            pepper: self.digester.pepper(),
            unknown: Unknown::default(),
        })?;
        head.digest = self.digester.of(&event);
        Ok(((head.number, event), head))
    }
}
