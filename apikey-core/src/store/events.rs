//! Reading history, checking that it is whole, and letting go of its beginning.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use crate::base::codec;
use crate::commit::engine::Engine;
use crate::key::change::Action;
use crate::key::error::StoreError;
use crate::key::event::chain::{Chain, EventsReport};
use crate::key::event::filter::{EventFilter, EventPage};
use crate::key::event::history::Event;
use crate::key::event::stored;
use crate::key::event::stored::Checkpoint;

use crate::storage::database::disk::Disk;
use crate::store::key_store::KeyStore;

/// Events deleted in one transaction.
const CHUNK: usize = 1000;

impl KeyStore {
    /// A page of the store's history, in order. Every change to a key is an event; those that are not on disk yet are
    /// not shown. The store reads events one by one, from [`after`](EventFilter::after) on.
    ///
    /// ```
    /// use apikey_core::{EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let id = store.create(NewKey::for_owner("alice"))?.info.id();
    /// store.revoke(id, "leaked")?;
    /// let page = store.events(&EventFilter::default().key(id).kind("revoked"))?;
    /// assert_eq!(page.events[0].number(), 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for a kind that does not exist or a limit out of bounds, [`StoreError::Io`],
    /// [`StoreError::Closed`].
    pub fn events(&self, filter: &EventFilter) -> Result<EventPage, StoreError> {
        let size = filter.page_size()?;
        let disk = self.inner().engine.log.open()?;
        let durable = self.inner().engine.group.durable_head().number;
        // An event says which key it is of, and not whose that was.
        let ids =
            self.only_owner().map(|owner| disk.readable_ids_of(owner, None)?.collect::<Result<HashSet<u128>, _>>());
        let ids = ids.transpose()?;
        let is_seen = |event: &stored::Event| {
            ids.as_ref().is_none_or(|ids| event.subject.key().is_some_and(|key| ids.contains(&key)))
        };
        let mut events: Vec<Event> = Vec::new();
        let mut more = false;
        for item in disk.readable_events(filter.first()) {
            let (number, frame) = item?;
            if number > durable {
                break;
            }
            let event: stored::Event = codec::decode(&frame)?;
            if !is_seen(&event) {
                continue;
            }
            let event = Event::new(event);
            if filter.matches(&event) {
                more = events.len() == size;
                if more {
                    break;
                }
                events.push(event);
            }
        }
        let next = events.last().filter(|_| more).map(Event::number);
        Ok(EventPage { events, next })
    }

    /// Checks the whole history: numbers without gaps, each event made for the one before it, the last one the one
    /// that the store's head names.
    ///
    /// A chain that is whole shows that no event was lost from its middle and none was moved. With a
    /// [pepper](crate::Pepper) it also shows that none was changed or put in by anyone who lacks the pepper. It does
    /// not show more: who can write to the store's files can make a whole new chain of events without a pepper, and
    /// [`EventsReport::peppered_from`] is what tells. A chain whose end, and head with it, was cut off is a chain; that
    /// the store went back is noticed when it is opened.
    ///
    /// # Errors
    /// [`StoreError::Io`], also for events that cannot be read any more, which `open` would refuse;
    /// [`StoreError::Closed`]. What is wrong with the chain is in the report.
    pub fn verify_events(&self) -> Result<EventsReport, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let _kept = self.inner().keep_history();
        let digesters = self.inner().engine.writer().digesters.clone();
        let head = self.inner().engine.group.durable_head();
        let mut chain = Chain::new(disk.history_checkpoint()?, &digesters);
        for item in disk.readable_events(0) {
            let (number, frame) = item?;
            if number > head.number {
                break;
            }
            chain.push(number, &frame);
        }
        Ok(chain.end(&head))
    }

    /// Deletes events from the beginning of history up to the first that is not before a time, and never the newest.
    /// How many. A checkpoint stays, so that [`verify_events`](Self::verify_events) goes on to say what it said. If there
    /// is anything to delete, an event ([`EventsPurged`](crate::EventKind::EventsPurged)) says so before, with the
    /// handle's [actor](Self::as_actor).
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]. After an error, call it again: some may be deleted already.
    pub fn purge_events(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        let before = before.timestamp_millis();
        let (inner, engine) = (self.inner(), &self.inner().engine);
        let purge = || {
            let last = {
                let log = engine.log.open()?;
                let _kept = inner.keep_history();
                last_to_purge(engine, &log, before)?
            };
            // Holds neither: a change opens the log itself, and whoever opens it twice waits for a close that waits for it.
            if let Some(last) = last {
                self.change(|_, _| Ok(vec![engine.change_of(0, Action::PurgeEvents { last })]))?;
            }
            let log = engine.log.open()?;
            let _kept = inner.keep_history();
            purge_to(&log, last.unwrap_or(0))
        };
        // After a failed sync nobody knows what is on the disk, also not of what others wrote.
        purge().inspect_err(|_| inner.notice_failure())
    }
}

/// The number of the last event that is old enough to be deleted.
fn last_to_purge(engine: &Engine, disk: &Disk, before: i64) -> Result<Option<u64>, StoreError> {
    let newest = engine.group.durable_head().number;
    let (mut last, mut passed) = (None, None);
    for item in disk.events(0) {
        let (number, frame) = item?;
        let event: stored::Event = codec::decode(&frame)?;
        if number >= newest {
            break;
        }
        if event.at >= before {
            // Later than the newest: the clock was wrong, and all up to where that was said is older than it says.
            let was_wrong = event.at > engine.time.floor();
            let past = match passed {
                Some(past) => past,
                None if was_wrong => *passed.insert(disk.accepted_before(before, newest)?),
                None => 0,
            };
            if number >= past {
                break;
            }
        }
        last = Some(number);
    }
    Ok(last)
}

/// Deletes all events up to one that is not the newest, some at a time. How many.
fn purge_to(disk: &Disk, last: u64) -> Result<usize, StoreError> {
    let mut purged = 0;
    loop {
        let mut gone = 0;
        let mut passed = 0;
        let mut checkpoint = None;
        for item in disk.events(0).take(CHUNK + 1) {
            let (number, frame) = item?;
            let event: stored::Event = codec::decode(&frame)?;
            // What an event is made for is the digest of the one before it: no pepper is needed.
            checkpoint = Some(Checkpoint { number: number.saturating_sub(1), digest: event.previous });
            if number > last || gone == CHUNK {
                break;
            }
            gone += 1;
            passed = number;
        }
        let (Some(checkpoint), false) = (checkpoint, gone == 0) else { break };
        disk.forget_events(passed, &codec::encode(&checkpoint)?)?;
        purged += gone;
    }
    disk.checkpoint()?;
    Ok(purged)
}
