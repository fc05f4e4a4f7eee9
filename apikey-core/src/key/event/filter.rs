//! Which events to read.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::key::error::StoreError;
use crate::key::event::actor::Actor;
use crate::key::event::history::Event;
use crate::key::event::kind::EventKind;
use crate::key::key_filter::{DEFAULT_PAGE, MAX_PAGE};
use crate::token::key_id::KeyId;

/// Which events to read; what is not named does not matter. Events come in order of their numbers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[must_use]
pub struct EventFilter {
    key: Option<KeyId>,
    kind: Option<String>,
    actor: Option<Actor>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    after: Option<u64>,
    limit: Option<usize>,
}

/// Some of the events that a filter names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EventPage {
    /// The events, in order of their numbers.
    pub events: Vec<Event>,
    /// There may be more: ask again with [`EventFilter::after`] this number.
    pub next: Option<u64>,
}

impl EventFilter {
    /// Events of this key.
    pub fn key(mut self, id: KeyId) -> Self {
        self.key = Some(id);
        self
    }

    /// Events of this kind, one of [`EventKind::NAMES`].
    pub fn kind(mut self, name: impl Into<String>) -> Self {
        self.kind = Some(name.into());
        self
    }

    /// Events of changes that this actor made ([`KeyStore::as_actor`](crate::KeyStore::as_actor)): a name, `uid:1000`, or
    /// `key:` and a key's id.
    pub fn actor(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Events at this time or later.
    pub fn since(mut self, time: DateTime<Utc>) -> Self {
        self.since = Some(time);
        self
    }

    /// Events before this time.
    pub fn until(mut self, time: DateTime<Utc>) -> Self {
        self.until = Some(time);
        self
    }

    /// Events with a higher number.
    pub fn after(mut self, number: u64) -> Self {
        self.after = Some(number);
        self
    }

    /// At most this many events on the page, 1 to 1000; 100 if it is not set.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    pub(crate) fn page_size(&self) -> Result<usize, StoreError> {
        if let Some(kind) = self.kind.as_deref().filter(|kind| !EventKind::NAMES.contains(kind)) {
            return Err(StoreError::invalid("kind", kind, "the names in EventKind::NAMES"));
        }
        match self.limit.unwrap_or(DEFAULT_PAGE) {
            limit @ 1..=MAX_PAGE => Ok(limit),
            other => Err(StoreError::invalid("limit", &other.to_string(), "1 to 1000")),
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.after.map_or(0, |number| number.saturating_add(1))
    }

    pub(crate) fn matches(&self, event: &Event) -> bool {
        self.key.is_none_or(|key| event.key() == Some(key))
            && self.kind.as_deref().is_none_or(|kind| event.kind().name() == kind)
            && self.actor.as_ref().is_none_or(|actor| event.actor() == Some(actor))
            && self.since.is_none_or(|since| event.at() >= since)
            && self.until.is_none_or(|until| event.at() < until)
    }
}
