use apikey_core::cluster::{Appended, Entry, Fence, LedgerError, LedgerResult, Position};

use super::forms::{chunks_of, entry, no_log, position};
use super::keys::Keys;
use super::transaction::{Done, one};
use crate::failure::Failure;
use crate::rpc::RangeRequest;

/// An entry of a call that lives in the thread of the connections.
pub(crate) struct OwnedEntry {
    pub(super) generation: u64,
    pub(super) op: [u8; 16],
    pub(super) base: Position,
    pub(super) last: Position,
    pub(super) bytes: Vec<u8>,
    pub(super) fence: Option<Fence>,
}

impl OwnedEntry {
    pub(crate) fn new(entry: &Entry<'_>, fence: Option<&Fence>) -> LedgerResult<Self> {
        let Entry { generation, op, base, last, bytes } = *entry;
        if last.number <= base.number {
            let what = format!("an entry after event {} cannot end at event {}", base.number, last.number);
            return Err(LedgerError::refused(what));
        }
        chunks_of(bytes.len())?;
        Ok(Self { generation, op, base, last, bytes: bytes.to_vec(), fence: fence.cloned() })
    }

    /// What decides how an append ended: the head, and the entry in the place of this one.
    pub(super) fn outcome(&self, keys: &Keys) -> [RangeRequest; 2] {
        [one(keys.head(self.generation)), one(keys.entry(self.generation, self.first()))]
    }

    pub(super) fn first(&self) -> u64 {
        self.base.number.saturating_add(1)
    }

    /// How an append ended; `None` if it can still be done, as the head is the base.
    pub(super) fn decide(&self, done: &mut Done) -> Result<Option<Appended>, Failure> {
        let head = done.value()?.ok_or_else(|| no_log(self.generation))?;
        let in_place = done.value()?;
        if let Some(value) = in_place
            && entry(&value)?.op == self.op
        {
            return Ok(Some(Appended::Here));
        }
        let head = position(&head)?;
        Ok((head != self.base).then_some(Appended::Lost { head }))
    }
}
