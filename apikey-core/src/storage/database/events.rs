//! The history of a store in its database.

use std::convert::Infallible;

use sled::transaction::{ConflictableTransactionError, Transactional};
use sled::{IVec, Tree};

use crate::base::codec;
use crate::base::time::from_ms;
use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Checkpoint, Event, Head};

use crate::storage::database::disk::{CHECKPOINT, Disk, refused};
use crate::storage::database::fault::io_error;
use crate::storage::database::{event_batch, overflow};

impl Disk {
    /// Reads events by number, from `first` on. It includes every event that was accepted before the call.
    pub(crate) fn events(&self, first: u64) -> impl Iterator<Item = Result<(u64, IVec), StoreError>> + use<> {
        let behind = self.flush_memtable().err().map(|error| Err(error.into()));
        behind.into_iter().chain(self.written_events(first))
    }

    /// Reads those that the database has.
    pub(crate) fn written_events(&self, first: u64) -> impl Iterator<Item = Result<(u64, IVec), StoreError>> + use<> {
        let (begin, fault) = match self.batch_at(first) {
            Ok(batch) => (batch.map_or_else(IVec::default, |(key, _)| key), None),
            Err(error) => (IVec::from(&first.to_be_bytes()), Some(Err(io_error(error).into()))),
        };
        let (batches, others) = (self.events.clone(), self.overflow.clone());
        let events = self.events.range(begin..).flat_map(move |item| {
            each(whole(&batches, &others, item).transpose(), |key, value| event_batch::unpack(key, value))
        });
        // A concurrent deletion may leave the end of a batch that was read already.
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

    /// Reads the numbers of all events in the database.
    pub(crate) fn event_numbers(&self) -> impl Iterator<Item = Result<u64, StoreError>> + use<> {
        let (batches, others) = (self.events.clone(), self.overflow.clone());
        self.events.iter().flat_map(move |item| {
            each(whole(&batches, &others, item).transpose(), |key, value| event_batch::numbers(key, value))
        })
    }

    pub(crate) fn has_event(&self, number: u64) -> Result<bool, StoreError> {
        let Some(batch) = self.batch_at(number).map_err(io_error)? else { return Ok(false) };
        let Some((key, value)) = whole(&self.events, &self.overflow, Ok(batch))? else { return Ok(false) };
        Ok(event_batch::numbers(&key, &value)?.contains(&number))
    }

    /// Reads the last batch that begins at a number or before it.
    fn batch_at(&self, number: u64) -> sled::Result<Option<(IVec, IVec)>> {
        self.events.range(..=number.to_be_bytes()).next_back().transpose()
    }

    /// Reads the newest event in the database; `None` for a store without events.
    pub(crate) fn newest_event(&self) -> Result<Option<Event>, StoreError> {
        let Some(batch) = self.events.last().transpose() else { return Ok(None) };
        let batch = whole(&self.events, &self.overflow, batch).transpose();
        let newest = each(batch, |key, value| event_batch::unpack(key, value)).pop().transpose()?;
        Ok(newest.map(|(_, frame)| codec::decode(&frame)).transpose()?)
    }

    /// Returns the number of the last event that set the store's time back to one before `before`; 0 if there is none.
    /// It reads events up to `newest`.
    pub(crate) fn accepted_before(&self, before: i64, newest: u64) -> Result<u64, StoreError> {
        let mut last = 0;
        for item in self.events(0) {
            let (number, frame) = item?;
            if number > newest {
                break;
            }
            // The deletion reports an event that does not decode.
            let event = codec::decode::<Event>(&frame).ok();
            if event
                .is_some_and(|event| matches!(event.kind, EventKind::ClockAccepted { to, .. } if to < from_ms(before)))
            {
                last = number;
            }
        }
        Ok(last)
    }

    /// Reads the checkpoint after which the chain of events begins.
    pub(crate) fn history_checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let frame = self.meta.get(CHECKPOINT).map_err(io_error)?;
        Ok(frame.map(|frame| codec::decode(&frame)).transpose()?.unwrap_or_default())
    }

    /// Deletes all events up to a number, and sets the checkpoint in the same transaction. It is durable after the next
    /// [`sync`](Self::sync). One thread at a time may call it.
    pub(crate) fn forget_events(&self, last: u64, checkpoint: &[u8]) -> Result<(), StoreError> {
        let gate = self.flusher.gate()?;
        let (mut keys, mut chunks) = (Vec::new(), Vec::new());
        let mut bytes = 0;
        let mut newest = IVec::default();
        for item in self.events.range(..=last.to_be_bytes()) {
            let (key, value) = self.flusher.noted(item).map_err(io_error)?;
            bytes += value.len();
            if let Ok(first) = <[u8; 8]>::try_from(key.as_ref()) {
                chunks.extend(overflow::keys(overflow::id_of_batch(u64::from_be_bytes(first)), &value));
            }
            keys.push(key);
            newest = value;
        }
        if let Some(key) = keys.last() {
            let whole = whole(&self.events, &self.overflow, Ok((key.clone(), newest)))?;
            newest = whole.map_or_else(IVec::default, |(_, value)| value);
        }
        // Only the last batch can continue after that number.
        let mut kept = keys.last().map_or_else(|| Ok(Vec::new()), |key| event_batch::unpack(key, &newest))?;
        kept.retain(|(number, _)| *number > last);
        let kept = event_batch::pack(kept.iter().map(|(number, frame)| (*number, &**frame)))?;
        let forgotten = (&self.events, &self.overflow, &self.meta).transaction(|(events, others, meta)| {
            for key in &keys {
                events.remove(key)?;
            }
            for key in &chunks {
                others.remove(key)?;
            }
            // The rest of a batch of several needs no chunks.
            for (key, batch) in &kept {
                events.insert(key, batch.as_slice())?;
            }
            meta.insert(CHECKPOINT, checkpoint)?;
            Ok::<_, ConflictableTransactionError<Infallible>>(())
        });
        self.flusher.noted(forgotten.map_err(refused)).map_err(io_error)?;
        drop(gate);
        // This counts as `Write::weight` does.
        Ok(self.throttle(keys.len() + chunks.len() + kept.len() + bytes / 512)?)
    }

    /// Checks that every event from the checkpoint to the last change exists, except those that a salvage found
    /// missing. `verify_events` checks their content.
    pub(crate) fn missing_events(&self, head: &Head) -> Result<Option<String>, StoreError> {
        let mut last = self.history_checkpoint()?.number;
        let mut gap = None;
        for number in self.event_numbers() {
            let number = number?;
            if number <= last {
                // A salvage never leaves this.
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

    /// Whether a salvage followed the gap that ends here, and left as many events as there are.
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

/// Reads a batch with its overflow chunks; `None` if it was deleted meanwhile.
fn whole(batches: &Tree, others: &Tree, batch: sled::Result<(IVec, IVec)>) -> Result<Option<(IVec, IVec)>, StoreError> {
    let (key, value) = batch.map_err(io_error)?;
    let Ok(first) = <[u8; 8]>::try_from(key.as_ref()) else { return Ok(Some((key, value))) };
    let id = overflow::id_of_batch(u64::from_be_bytes(first));
    match overflow::join(id, &value, |key| Ok::<_, StoreError>(others.get(key).map_err(io_error)?)) {
        Ok(joined) => Ok(Some((key, joined.map_or(value, IVec::from)))),
        // A batch can only be deleted, and never changes.
        Err(_) if batches.get(&key).map_err(io_error)?.is_none() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the events of a batch, or the error of reading it.
fn each<T: IntoIterator>(
    batch: Option<Result<(IVec, IVec), StoreError>>,
    read: impl Fn(&IVec, &IVec) -> Result<T, StoreError>,
) -> Vec<Result<T::Item, StoreError>> {
    match batch.map(|batch| batch.and_then(|(key, value)| read(&key, &value))) {
        None => Vec::new(),
        Some(Ok(events)) => events.into_iter().map(Ok).collect(),
        Some(Err(error)) => vec![Err(error)],
    }
}
