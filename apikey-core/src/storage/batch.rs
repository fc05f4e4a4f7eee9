//! A batch: the changes of one call, which the disk gets as a whole or not at all.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::access::owner::OwnerRef;
use crate::base::codec::payload::{Reader, Writer};
use crate::base::codec::{CodecError, entries};
use crate::key::subject::Subject;
use crate::token::digest::Digest;

/// The changes of one call, or of several that follow each other.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) writes: Vec<Write>,
    /// The head after the last change, in its stored form.
    pub(crate) head: Vec<u8>,
    /// The secrets whose times of use are deleted; not part of the transaction.
    pub(crate) ended: Vec<Digest>,
}

impl Batch {
    /// Appends the batch that follows.
    pub(crate) fn extend(&mut self, later: Self) {
        self.writes.extend(later.writes);
        self.ended.extend(later.ended);
        self.head = later.head;
    }
}

impl Write {
    /// The owner of the key.
    pub(crate) fn owner(&self) -> OwnerRef<'_> {
        OwnerRef { tenant: self.tenant.as_deref(), name: &self.owner }
    }

    /// Roughly how much the database writes for it: one for the change, and one for each half KiB.
    pub(crate) fn weight(&self) -> usize {
        let outcome = self.outcome.as_ref().map_or(0, |(_, frame)| frame.len());
        let record = self.record.as_ref().map_or(0, |record| record.len());
        1 + (record + self.event.1.len() + outcome) / 512
    }
}

/// One change: an after-image and an event.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(fuzzing, derive(Debug))]
pub(crate) struct Write {
    pub(crate) subject: Subject,
    pub(crate) tenant: Option<String>,
    pub(crate) owner: String,
    /// Whether there was no record before.
    pub(crate) is_new: bool,
    /// The record's new frame; `None` deletes the record.
    pub(crate) record: Option<ByteBuf>,
    pub(crate) imported_in: Vec<Digest>,
    pub(crate) imported_out: Vec<Digest>,
    pub(crate) event: (u64, ByteBuf),
    /// The outcome of an idempotent request, under its name.
    pub(crate) outcome: Option<(Digest, ByteBuf)>,
}

/// A key that is new, and its owner.
pub(crate) struct NewId {
    tenant: Option<String>,
    owner: String,
    pub(crate) id: u128,
}

impl NewId {
    pub(crate) fn of(write: &Write, id: u128) -> Self {
        Self { tenant: write.tenant.clone(), owner: write.owner.clone(), id }
    }

    pub(crate) fn owner(&self) -> OwnerRef<'_> {
        OwnerRef { tenant: self.tenant.as_deref(), name: &self.owner }
    }
}

/// A write without its subject, which precedes it. The order of fields is the stored format of the write-ahead log.
#[derive(Serialize)]
struct Fixed<'a> {
    tenant: &'a Option<String>,
    owner: &'a str,
    is_new: bool,
    record: &'a Option<ByteBuf>,
    #[serde(serialize_with = "entries::list::serialize")]
    imported_in: &'a Vec<Digest>,
    #[serde(serialize_with = "entries::list::serialize")]
    imported_out: &'a Vec<Digest>,
    event: &'a (u64, ByteBuf),
    outcome: &'a Option<(Digest, ByteBuf)>,
}

#[derive(Deserialize)]
struct FixedRead {
    tenant: Option<String>,
    owner: String,
    is_new: bool,
    record: Option<ByteBuf>,
    #[serde(with = "entries::list")]
    imported_in: Vec<Digest>,
    #[serde(with = "entries::list")]
    imported_out: Vec<Digest>,
    event: (u64, ByteBuf),
    outcome: Option<(Digest, ByteBuf)>,
}

impl Write {
    pub(crate) fn put(&self, payload: &mut Writer) -> Result<(), CodecError> {
        let Self { subject, tenant, owner, is_new, record, imported_in, imported_out, event, outcome } = self;
        subject.put(payload)?;
        payload.put(&Fixed { tenant, owner, is_new: *is_new, record, imported_in, imported_out, event, outcome })
    }

    pub(crate) fn take(payload: &mut Reader<'_>) -> Result<Self, CodecError> {
        let subject = Subject::take(payload)?;
        let FixedRead { tenant, owner, is_new, record, imported_in, imported_out, event, outcome } = payload.take()?;
        Ok(Self { subject, tenant, owner, is_new, record, imported_in, imported_out, event, outcome })
    }
}
