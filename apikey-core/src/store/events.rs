//! Reading the history, verifying it, and purging its oldest events.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
#[cfg(feature = "cluster")]
use std::sync::atomic::Ordering;

use chrono::{DateTime, Utc};

use crate::access::owner::{OwnerRef, Seen};
use crate::access::verified_key::VerifiedKey;
use crate::base::codec;
use crate::commit::engine::Engine;
#[cfg(feature = "cluster")]
use crate::commit::engine::PURGED_UNKNOWN;
use crate::commit::records::Records;
use crate::key::change::Action;
use crate::key::error::StoreError;
use crate::key::event::chain::{Chain, EventsReport};
use crate::key::event::filter::{EventFilter, EventPage};
use crate::key::event::history::Event;
use crate::key::event::kind::EventKind;
use crate::key::event::stored;
use crate::key::event::stored::Checkpoint;
use crate::key::subject::Subject;

use crate::storage::database::disk::Disk;
#[cfg(feature = "cluster")]
use crate::store::inner::Inner;
use crate::store::key_store::KeyStore;

/// The number of events that one transaction deletes, or one read returns.
const CHUNK: usize = 1000;

impl KeyStore {
    /// Returns a page of the store's history, in order. Every change of a key is an event; the page has only those that
    /// are on disk. The store reads events one by one, from [`after`](EventFilter::after) on.
    ///
    /// ```
    /// use apikey::{EventFilter, KeyStore, NewKey};
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
        let disk = self.inner().engine.log.open()?;
        let is_seen = self.sees_event(&disk)?;
        self.read_events(&disk, filter, |event| Ok(is_seen(event)))
    }

    /// Returns a page of the history on behalf of `actor`: the events of keys that it covers, as for
    /// [`revoke_within`](Self::revoke_within). It has no events of keys whose records were purged; those of roles, tenants, owners
    /// and the whole store are for an actor of no tenant that has `keys:any_owner` and `keys:any_tenant`.
    ///
    /// ```
    /// use apikey::{EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// let new = |grant: &str| NewKey::for_owner("alice").permissions([grant]);
    /// let [reader, writer] = [store.create(new("orders:read"))?, store.create(new("orders:write"))?];
    /// let actor = store.verify(reader.key.expose_secret())?;
    /// let page = store.events_within(&EventFilter::default(), &actor)?;
    /// assert!(page.events.iter().all(|event| event.key() == Some(reader.info.id())));
    /// let of_writer = store.events_within(&EventFilter::default().key(writer.info.id()), &actor);
    /// assert_eq!(of_writer.unwrap_err().status(), 403);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`events`](Self::events). If the filter names a key: [`StoreError::NotFound`] for one that the actor does not
    /// see, and [`StoreError::Exceeds`] for one that has what the actor lacks. The same if the actor is not valid any more.
    pub fn events_within(&self, filter: &EventFilter, actor: &VerifiedKey) -> Result<EventPage, StoreError> {
        let disk = self.inner().engine.log.open()?;
        let records = Records::of(&disk);
        let Some(reach) = self.inner().engine.reach(&self.scope(Some(actor)), &records)? else {
            return self.events(filter);
        };
        let covers = |id: u128| {
            let record = records.record(id)?.map(|(record, _)| record);
            reach.target(id, record.as_ref())
        };
        filter.only_key().map_or(Ok(()), |id| covers(id.as_u128()))?;
        let sees_all = reach.readable() == Seen::default();
        let is_seen = self.sees_event(&disk)?;
        let mut covered: HashMap<u128, bool> = HashMap::new();
        self.read_events(&disk, filter, |event| match event.subject {
            _ if !is_seen(event) => Ok(false),
            Subject::Named(_) | Subject::Store => Ok(sees_all),
            Subject::Key(id) => match covered.entry(id) {
                Entry::Occupied(known) => Ok(*known.get()),
                Entry::Vacant(unknown) => match covers(id) {
                    Ok(()) => Ok(*unknown.insert(true)),
                    Err(StoreError::NotFound(_) | StoreError::Exceeds(_)) => Ok(*unknown.insert(false)),
                    Err(error) => Err(error),
                },
            },
        })
    }

    /// Returns whether this handle sees an event.
    fn sees_event(&self, disk: &Disk) -> Result<impl Fn(&stored::Event) -> bool + use<>, StoreError> {
        // An event names its key, but not the key's owner.
        let ids = self
            .seen()
            .owners()
            .map(|owners| disk.readable_ids_of(owners, None)?.collect::<Result<HashSet<u128>, _>>());
        let ids = ids.transpose()?;
        // A handle sees the events of its owner, or of its tenant and the owners of that, too.
        let seen = self.seen().clone();
        let is_named = move |event: &stored::Event| match &event.kind {
            EventKind::TenantPut { tenant, .. } | EventKind::TenantEnded { tenant, .. } => {
                seen.owner.is_none() && seen.tenant() == Some(tenant)
            }
            EventKind::OwnerPut { owner, tenant, .. } => seen.has(OwnerRef { tenant: tenant.as_deref(), name: owner }),
            _ => false,
        };
        Ok(move |event: &stored::Event| {
            ids.as_ref().is_none_or(|ids| event.subject.key().is_some_and(|key| ids.contains(&key))) || is_named(event)
        })
    }

    fn read_events(
        &self,
        disk: &Disk,
        filter: &EventFilter,
        mut is_seen: impl FnMut(&stored::Event) -> Result<bool, StoreError>,
    ) -> Result<EventPage, StoreError> {
        let size = filter.page_size()?;
        let durable = self.inner().engine.group.durable_head().number;
        let mut events: Vec<Event> = Vec::new();
        let mut more = false;
        let mut reads = 0;
        let mut last_read = None;
        // Whether to read on.
        let mut visit = |frame: &[u8]| -> Result<bool, StoreError> {
            if filter.max_reads.is_some_and(|max| reads >= max) {
                more = true;
                return Ok(false);
            }
            let event: stored::Event = codec::decode(frame)?;
            reads += 1;
            last_read = Some(event.number);
            if is_seen(&event)? {
                let event = Event::new(event);
                if filter.matches(&event) {
                    more = events.len() == size;
                    if !more {
                        events.push(event);
                    }
                }
            }
            Ok(!more)
        };
        if filter.is_newest_first() {
            let first = filter.first().max(disk.history_checkpoint()?.number);
            read_backwards(disk, first, filter.end(durable), visit)?;
        } else {
            let end = filter.end(durable);
            for item in disk.readable_events(filter.first()) {
                let (number, frame) = item?;
                if number >= end || !visit(&frame)? {
                    break;
                }
            }
        }
        let next = if events.len() == size { events.last().map(Event::number) } else { last_read };
        let next = next.filter(|_| more);
        Ok(EventPage { events, next })
    }

    /// Verifies the whole history: the numbers have no gaps, each event has the digest of the one before it, and the
    /// last event is the one that the store's head names.
    ///
    /// An intact chain shows that no event is missing from its middle, and that none has moved. With a
    /// [pepper](crate::Pepper) it also shows that nobody without the pepper has changed or added an event. It shows no
    /// more than that. An attacker who can write to the store's files can forge a whole chain without a pepper; compare
    /// [`EventsReport::peppered_from`] with the number that you expect. The verification does not detect that somebody
    /// cut off the end of the chain together with the head; opening the store detects that the store went back.
    ///
    /// # Errors
    /// [`StoreError::Io`], also for events that are no longer readable, with which the store would not open;
    /// [`StoreError::Closed`]. A fault in the chain is not an error: the report contains it.
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

    /// Deletes the oldest events, up to the first that is not before a time, and returns their number. It never deletes
    /// the newest event. A checkpoint remains, from which [`verify_events`](Self::verify_events) verifies the rest as
    /// before. If there is anything to delete, the store first records an event
    /// ([`EventsPurged`](crate::EventKind::EventsPurged)) with the handle's [actor](Self::as_actor).
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Closed`]. After an error, call it again: it may have deleted some events
    /// already.
    pub fn purge_events(&self, before: DateTime<Utc>) -> Result<usize, StoreError> {
        let before = before.timestamp_millis();
        let (inner, engine) = (self.inner(), &self.inner().engine);
        let purge = || {
            let last = {
                let log = engine.log.open()?;
                let _kept = inner.keep_history();
                last_to_purge(engine, &log, before)?
            };
            // Hold neither lock here: a change opens the log itself, and a thread that opens it twice would deadlock
            // with a close.
            if let Some(last) = last {
                self.change(|_, _| Ok(vec![engine.change_of(0, Action::PurgeEvents { last })]))?;
            }
            let log = engine.log.open()?;
            let _kept = inner.keep_history();
            purge_to(&log, last.unwrap_or(0))
        };
        // After a failed sync the state of the disk is unknown, also for what other threads wrote.
        purge().inspect_err(|_| inner.notice_failure())
    }

    /// Returns the number of events that [`purge_events`](Self::purge_events) would delete, with the first and the
    /// last.
    pub(crate) fn events_to_purge(&self, before: DateTime<Utc>) -> Result<(u64, Option<(Event, Event)>), StoreError> {
        let (inner, engine) = (self.inner(), &self.inner().engine);
        let disk = engine.log.open()?;
        let _kept = inner.keep_history();
        let Some(last) = last_to_purge(engine, &disk, before.timestamp_millis())? else { return Ok((0, None)) };
        let mut count = 0;
        let mut ends: Option<(stored::Event, stored::Event)> = None;
        for item in disk.events(0) {
            let (number, frame) = item?;
            if number > last {
                break;
            }
            count += 1;
            let event: stored::Event = codec::decode(&frame)?;
            ends = Some((ends.map_or_else(|| event.clone(), |(first, _)| first), event));
        }
        Ok((count, ends.map(|(first, last)| (Event::new(first), Event::new(last)))))
    }
}

#[cfg(feature = "cluster")]
impl Inner {
    /// Deletes the events that the cluster has purged.
    pub(crate) fn purge_as_the_cluster(&self) {
        if self.engine.is_alone() {
            return;
        }
        let last = self.engine.purged.swap(0, Ordering::Relaxed);
        let purged = self.engine.log.open().and_then(|log| {
            let last = if last == PURGED_UNKNOWN { last_purged(&log)? } else { last };
            if last == 0 {
                return Ok(0);
            }
            let _kept = self.keep_history();
            purge_to(&log, last)
        });
        if let Err(error) = purged {
            // The next tick tries again.
            self.engine.purged.fetch_max(PURGED_UNKNOWN, Ordering::Relaxed);
            tracing::warn!(%error, "events that the cluster has purged are still in this replica");
        }
    }
}

/// The last event that was purged, by the events that a replica has; 0 if none was.
#[cfg(feature = "cluster")]
fn last_purged(disk: &Disk) -> Result<u64, StoreError> {
    let mut purged = 0;
    for item in disk.events(0) {
        let event: stored::Event = codec::decode(&item?.1)?;
        if let EventKind::EventsPurged { last } = event.kind {
            purged = purged.max(last);
        }
    }
    Ok(purged)
}

/// Reads events from the last one before `end` down to `first`. The database reads forwards only, so this reads one
/// range after another.
fn read_backwards(
    disk: &Disk,
    first: u64,
    mut end: u64,
    mut visit: impl FnMut(&[u8]) -> Result<bool, StoreError>,
) -> Result<(), StoreError> {
    while end > first {
        let begin = end.saturating_sub(CHUNK as u64).max(first);
        let mut range = Vec::new();
        for item in disk.readable_events(begin) {
            let (number, frame) = item?;
            if number >= end {
                break;
            }
            range.push(frame);
        }
        for frame in range.iter().rev() {
            if !visit(frame)? {
                return Ok(());
            }
        }
        end = begin;
    }
    Ok(())
}

/// Returns the number of the last event that is old enough to be deleted.
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
            // An event later than the store's time: the clock was wrong, and all events before its correction are older
            // than they say.
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

/// Deletes all events up to one that is not the newest, in chunks, and returns their number.
fn purge_to(disk: &Disk, last: u64) -> Result<usize, StoreError> {
    let mut purged = 0;
    loop {
        let mut gone = 0;
        let mut passed = 0;
        let mut checkpoint = None;
        for item in disk.events(0).take(CHUNK + 1) {
            let (number, frame) = item?;
            let event: stored::Event = codec::decode(&frame)?;
            // An event has the digest of the one before it, so this needs no pepper.
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
