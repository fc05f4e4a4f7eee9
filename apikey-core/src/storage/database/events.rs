//! The history of a store as its database holds it.

use std::convert::Infallible;

use sled::IVec;
use sled::transaction::{ConflictableTransactionError, Transactional};

use crate::base::codec;
use crate::base::time::from_ms;
use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Checkpoint, Event, Head};

use crate::storage::database::disk::{CHECKPOINT, Disk, refused};
use crate::storage::database::event_batch;

impl Disk {
    /// Events by number, from one on; none that was accepted before is missing.
    pub(crate) fn events(&self, first: u64) -> impl Iterator<Item = Result<(u64, IVec), StoreError>> + use<> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_events(first))
    }

    /// Those that the database has.
    pub(crate) fn written_events(&self, first: u64) -> impl Iterator<Item = Result<(u64, IVec), StoreError>> + use<> {
        let (begin, fault) = match self.batch_at(first) {
            Ok(batch) => (batch.map_or_else(IVec::default, |(key, _)| key), None),
            Err(error) => (IVec::from(&first.to_be_bytes()), Some(Err(error.into()))),
        };
        let events =
            self.events.range(begin..).flat_map(|item| each(item, |key, value| event_batch::unpack(key, value)));
        // What is deleted meanwhile may leave the end of a batch that was read already.
        let mut next = first;
        let events = events.filter(move |event| match event {
            Ok((number, _)) if *number < next => false,
            Ok((number, _)) => {
                next = number.saturating_add(1);
                true
            }
            Err(_) => true,
        });
        fault.into_iter().chain(events)
    }

    /// The numbers of all events, as they were written.
    pub(crate) fn event_numbers(&self) -> impl Iterator<Item = Result<u64, StoreError>> + use<> {
        self.events.iter().flat_map(|item| each(item, |key, value| event_batch::numbers(key, value)))
    }

    pub(crate) fn has_event(&self, number: u64) -> Result<bool, StoreError> {
        let Some((key, value)) = self.batch_at(number)? else { return Ok(false) };
        Ok(event_batch::numbers(&key, &value)?.contains(&number))
    }

    /// The last batch that begins at a number or before it.
    fn batch_at(&self, number: u64) -> sled::Result<Option<(IVec, IVec)>> {
        self.events.range(..=number.to_be_bytes()).next_back().transpose()
    }

    /// The newest event that is in the database; none of a store in which nothing happened yet.
    pub(crate) fn newest_event(&self) -> Result<Option<Event>, StoreError> {
        let Some(batch) = self.events.last().transpose() else { return Ok(None) };
        let newest = each(batch, |key, value| event_batch::unpack(key, value)).pop().transpose()?;
        Ok(newest.map(|(_, frame)| codec::decode(&frame)).transpose()?)
    }

    /// The number of the last event that put the store's time back to one before `before`; 0 if there is none. It
    /// reads events up to `newest`.
    pub(crate) fn accepted_before(&self, before: i64, newest: u64) -> Result<u64, StoreError> {
        let mut last = 0;
        for item in self.events(0) {
            let (number, frame) = item?;
            if number > newest {
                break;
            }
            // Whoever reads it to delete it reports one that does not decode.
            let event = codec::decode::<Event>(&frame).ok();
            if event
                .is_some_and(|event| matches!(event.kind, EventKind::ClockAccepted { to, .. } if to < from_ms(before)))
            {
                last = number;
            }
        }
        Ok(last)
    }

    /// Where the chain of events begins.
    pub(crate) fn history_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let frame = self.meta.get(CHECKPOINT)?;
        Ok(frame.map(|frame| codec::decode(&frame)).transpose()?.unwrap_or_default())
    }

    /// Deletes all events up to a number, and says in the same transaction where the chain begins. Not durable before
    /// [`sync`](Self::sync). One thread at a time.
    pub(crate) fn forget_events(&self, last: u64, checkpoint: &[u8]) -> Result<(), StoreError> {
        let gate = self.flusher.gate()?;
        let mut keys = Vec::new();
        let mut bytes = 0;
        let mut newest = IVec::default();
        for item in self.events.range(..=last.to_be_bytes()) {
            let (key, value) = self.flusher.noted(item)?;
            bytes += value.len();
            keys.push(key);
            newest = value;
        }
        // Only the last of them can go on behind it.
        let mut kept = keys.last().map_or_else(|| Ok(Vec::new()), |key| event_batch::unpack(key, &newest))?;
        kept.retain(|(number, _)| *number > last);
        let kept = event_batch::pack(kept.iter().map(|(number, frame)| (*number, &**frame)))?;
        let forgotten = (&self.events, &self.meta).transaction(|(events, meta)| {
            for key in &keys {
                events.remove(key)?;
            }
            for (key, batch) in &kept {
                events.insert(key, batch.as_slice())?;
            }
            meta.insert(CHECKPOINT, checkpoint)?;
            Ok::<_, ConflictableTransactionError<Infallible>>(())
        });
        self.flusher.noted(forgotten.map_err(refused))?;
        drop(gate);
        // As `Write::weight` counts.
        Ok(self.throttle(keys.len() + kept.len() + bytes / 512)?)
    }

    /// Every event from the checkpoint to the last change must be there, but for those that a salvage found missing. What
    /// they say is `verify_events`' to check.
    pub(crate) fn missing_events(&self, head: &Head) -> Result<Option<String>, StoreError> {
        let mut last = self.history_checkpoint()?.number;
        let mut gap = None;
        for number in self.event_numbers() {
            let number = number?;
            if number <= last {
                // No salvage leaves that.
                return Ok(Some(format!("event {last} is followed by event {number}")));
            }
            if number != last.saturating_add(1) {
                gap = Some((last, number));
            }
            last = number;
        }
        if last != head.number {
            return Ok(Some(format!("its events end at {last}, and its last change is {}", head.number)));
        }
        match gap {
            Some((last, next)) if !self.is_known_gap(next)? => {
                Ok(Some(format!("event {last} is followed by event {next}")))
            }
            _ => Ok(None),
        }
    }

    /// Whether a salvage came after the gap that ends here, and as many events are there as it left.
    fn is_known_gap(&self, next: u64) -> Result<bool, StoreError> {
        let purged = self.history_checkpoint()?.number > 0;
        let mut known = false;
        for (before, item) in (0..).zip(self.events(0)) {
            let (number, frame) = item?;
            let event: Event = codec::decode(&frame)?;
            if let EventKind::Salvaged { events, .. } = event.kind {
                known = number >= next && (purged || events == before);
            }
        }
        Ok(known)
    }
}

/// The events of a batch, or why it cannot be read.
fn each<T: IntoIterator>(
    batch: sled::Result<(IVec, IVec)>,
    read: impl Fn(&IVec, &IVec) -> Result<T, StoreError>,
) -> Vec<Result<T::Item, StoreError>> {
    match batch.map_err(StoreError::from).and_then(|(key, value)| read(&key, &value)) {
        Ok(events) => events.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    }
}
