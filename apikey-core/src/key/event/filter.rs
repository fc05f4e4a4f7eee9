//! The selection of events to read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::json::{from_object, maybe_time, maybe_whole};
use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::event::history::Event;
use crate::key::event::kind::EventKind;
use crate::key::key_filter::{DEFAULT_PAGE, MAX_PAGE};
use crate::token::key_id::KeyId;

/// Selects the events to read. An empty filter selects all of them. The page has the events in the order of their
/// numbers, or [newest first](EventFilter::newest_first).
#[derive(Debug, Clone, Default, Serialize)]
#[must_use]
pub struct EventFilter {
    key: Option<KeyId>,
    /// Empty: events of every kind.
    kinds: Vec<String>,
    actor: Option<Actor>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    after: Option<u64>,
    before: Option<u64>,
    newest_first: bool,
    limit: Option<usize>,
    #[serde(skip)]
    pub(crate) max_reads: Option<usize>,
}

/// How a caller writes it.
#[derive(Deserialize)]
#[serde(remote = "EventFilter", deny_unknown_fields)]
struct EventFilterJson {
    key: Option<KeyId>,
    #[serde(default)]
    kinds: Vec<String>,
    actor: Option<Actor>,
    #[serde(default, deserialize_with = "maybe_time")]
    since: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_time")]
    until: Option<DateTime<Utc>>,
    #[serde(default, deserialize_with = "maybe_whole")]
    after: Option<u64>,
    #[serde(default, deserialize_with = "maybe_whole")]
    before: Option<u64>,
    #[serde(default)]
    newest_first: bool,
    #[serde(default, deserialize_with = "maybe_whole")]
    limit: Option<usize>,
    #[serde(skip)]
    max_reads: Option<usize>,
}

from_object!(EventFilter, EventFilterJson);

/// A page of the events that a filter selects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, in the order of the filter.
    pub events: Vec<Event>,
    /// If there may be more events: the number for [`EventFilter::after`], or for [`EventFilter::before`] if the newest
    /// come first, that selects the next page.
    pub next: Option<u64>,
}

impl EventFilter {
    /// Selects the events of this key.
    pub fn key(mut self, id: KeyId) -> Self {
        self.key = Some(id);
        self
    }

    /// The key whose events alone it selects.
    pub(crate) fn only_key(&self) -> Option<KeyId> {
        self.key
    }

    /// Selects the events of this kind, one of [`EventKind::NAMES`]. Several calls select the events of any of these
    /// kinds.
    pub fn kind(mut self, name: impl Into<String>) -> Self {
        self.kinds.push(name.into());
        self
    }

    /// Selects the events of changes that this actor made ([`KeyStore::as_actor`](crate::KeyStore::as_actor)): an
    /// application's name, `uid:1000`, or `key:` and a key's id.
    pub fn actor(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Selects the events at this time or later.
    pub fn since(mut self, time: DateTime<Utc>) -> Self {
        self.since = Some(time);
        self
    }

    /// Selects the events before this time.
    pub fn until(mut self, time: DateTime<Utc>) -> Self {
        self.until = Some(time);
        self
    }

    /// Selects the events with a higher number.
    pub fn after(mut self, number: u64) -> Self {
        self.after = Some(number);
        self
    }

    /// Selects the events with a lower number.
    pub fn before(mut self, number: u64) -> Self {
        self.before = Some(number);
        self
    }

    /// Returns the newest events first. Read the earlier ones with [`before`](Self::before).
    ///
    /// ```
    /// use apikey_core::{EventFilter, KeyStore, NewKey};
    ///
    /// let store = KeyStore::temporary()?;
    /// store.create_many((0..5).map(|_| NewKey::for_owner("alice")))?;
    /// let newest = EventFilter::default().newest_first().limit(2);
    /// let page = store.events(&newest)?;
    /// assert_eq!(page.events.iter().map(|event| event.number()).collect::<Vec<_>>(), [5, 4]);
    /// let earlier = store.events(&newest.before(page.next.unwrap()))?;
    /// assert_eq!(earlier.events[0].number(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn newest_first(mut self) -> Self {
        self.newest_first = true;
        self
    }

    /// Sets the most events on the page, 1 to 1000; the default is 100.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Bounds the events that the store reads for the page, as [`KeyFilter::max_reads`](crate::KeyFilter::max_reads) does for
    /// keys.
    pub fn max_reads(mut self, events: usize) -> Self {
        self.max_reads = Some(events);
        self
    }

    pub(crate) fn page_size(&self) -> Result<usize, StoreError> {
        if let Some(kind) = self.kinds.iter().find(|kind| !EventKind::NAMES.contains(&kind.as_str())) {
            return Err(StoreError::invalid("kind", kind, "the kinds of events, such as created or revoked"));
        }
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            other => Err(StoreError::invalid("limit", &other.to_string(), "1 to 1000")),
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.after.map_or(0, |number| number.saturating_add(1))
    }

    /// Returns the number after that of the last event to read, given the number of the newest event.
    pub(crate) fn end(&self, newest: u64) -> u64 {
        self.before.unwrap_or(u64::MAX).min(newest.saturating_add(1))
    }

    pub(crate) fn is_newest_first(&self) -> bool {
        self.newest_first
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.key.is_none_or(|key| event.key() == Some(key))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| event.kind().name() == kind))
            && self.actor.as_ref().is_none_or(|actor| event.actor() == Some(actor))
            && self.since.is_none_or(|since| event.at() >= since)
            && self.until.is_none_or(|until| event.at() < until)
    }
}
