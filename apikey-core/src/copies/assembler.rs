//! A store that is being put together, from a backup or from what is left of another store.

use crate::base::codec;
use crate::copies::restore_report::Reapplied;
use crate::key::error::StoreError;
use crate::key::event::stored::{Checkpoint, Event, EventKind, Head};
use crate::key::record::{Record, record_hash};
use crate::token::digest::Digester;

use crate::commit::stage::write;
use crate::storage::batch::Batch;
use crate::storage::database::disk::{Bytes, Disk, Load};

/// Entries written at once.
const CHUNK: usize = 1000;

pub(crate) struct Draft<'a> {
    pub(crate) disk: &'a Disk,
    pub(crate) head: Head,
    digester: Digester,
    /// The time of the events it writes: not before the newest that was taken over.
    pub(crate) now: i64,
    load: Load,
    waiting: usize,
    /// The highest number of an event so far.
    last_event: u64,
}

impl<'a> Draft<'a> {
    pub(crate) fn new(disk: &'a Disk, digester: Digester, now: i64) -> Self {
        Self { disk, head: Head::default(), digester, now, load: Load::default(), waiting: 0, last_event: 0 }
    }

    /// Takes a record over as it is stored.
    pub(crate) fn record(&mut self, record: &Record, frame: &[u8]) -> Result<(), StoreError> {
        self.load.record(record, frame);
        self.head.records += 1;
        self.head.sum = self.head.sum.wrapping_add(record_hash(frame));
        self.head.last_id = self.head.last_id.max(record.id);
        self.loaded()
    }

    /// Takes an event over as it is stored; of one number, the first that comes.
    pub(crate) fn event(&mut self, number: u64, frame: &[u8]) -> Result<(), StoreError> {
        let follows = number > self.last_event;
        if !follows {
            // Found where it does not belong. No block may have what another has.
            self.flush()?;
            if self.disk.has_event(number)? {
                return Ok(());
            }
        }
        self.last_event = self.last_event.max(number);
        self.load.events.push((number, frame.to_vec()));
        if follows { self.loaded() } else { self.flush() }
    }

    pub(crate) fn used(&mut self, secret: &[u8], second: &[u8]) -> Result<(), StoreError> {
        self.load.uses.insert(secret, second);
        self.loaded()
    }

    fn loaded(&mut self) -> Result<(), StoreError> {
        self.waiting += 1;
        if self.waiting >= CHUNK { self.flush() } else { Ok(()) }
    }

    /// Makes what was taken over readable in the database.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        self.waiting = 0;
        self.disk.load(std::mem::take(&mut self.load))
    }

    /// Writes down where the history that was taken over stands.
    pub(crate) fn settle(&mut self, head: Head, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.flush()?;
        self.head = head;
        if let Some(newest) = self.disk.newest_event()? {
            self.now = self.now.max(newest.at);
        }
        self.disk.set_head(&codec::encode(&head)?, &codec::encode(checkpoint)?)
    }

    /// Writes the head as it is now.
    pub(crate) fn save_head(&self) -> Result<(), StoreError> {
        self.disk.set_head(&codec::encode(&self.head)?, &codec::encode(&self.disk.checkpoint()?)?)
    }

    /// Writes an event of the whole store.
    pub(crate) fn happened(&mut self, kind: EventKind) -> Result<(), StoreError> {
        let (event, head) = self.chained(0, kind)?;
        self.head = head;
        // No record has the id 0, so none is deleted.
        let write = write(None, None, event)?;
        Ok(self.disk.write(&Batch { writes: vec![write], head: codec::encode(&head)?, ended: Vec::new() })?)
    }

    /// Puts a record in the place of another that gave more; what it lost, if anything.
    pub(crate) fn lessen(
        &mut self,
        before: &Record,
        frame: &Bytes,
        after: &Record,
    ) -> Result<Option<Reapplied>, StoreError> {
        if before == after {
            return Ok(None);
        }
        let kept = |version| after.secrets.iter().any(|secret| secret.version == version);
        let ended: Vec<u32> = before.secrets.iter().map(|secret| secret.version).filter(|one| !kept(*one)).collect();
        let revoked = after.revoked != before.revoked;
        let disabled = after.disabled != before.disabled;
        let rest = |record: &Record| {
            let ends: Vec<_> = record.secrets.iter().filter(|one| kept(one.version)).map(|one| one.end).collect();
            let limits = (record.limit.clone(), record.networks.clone());
            (ends, record.permissions.clone(), record.not_before, record.expires_at, limits)
        };
        let narrowed = rest(before) != rest(after);
        let kind = EventKind::Reapplied { revoked, disabled, ended: ended.clone(), narrowed };
        let (event, mut head) = self.chained(before.id, kind)?;
        let write = write(Some(before), Some(after), event)?;
        head.sum = head.sum.wrapping_sub(record_hash(frame));
        if let Some(new) = &write.record {
            head.sum = head.sum.wrapping_add(record_hash(new));
        }
        self.disk.write(&Batch { writes: vec![write], head: codec::encode(&head)?, ended: Vec::new() })?;
        self.head = head;
        let key = crate::KeyId::from_u128(before.id);
        Ok(Some(Reapplied { key, owner: before.owner.clone(), revoked, disabled, ended, narrowed }))
    }

    fn chained(&self, key: u128, kind: EventKind) -> Result<((u64, Vec<u8>), Head), StoreError> {
        let mut head = self.head;
        head.count()?;
        let pepper = self.digester.pepper();
        let event = Event { number: head.number, at: self.now, actor: None, key, kind, previous: head.digest, pepper };
        let event = codec::encode(&event)?;
        head.digest = self.digester.of(&event);
        Ok(((head.number, event), head))
    }
}
