//! Events as callers see them.

use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::base::time::from_ms;
use crate::key::event::actor::{Actor, Origin};
use crate::key::event::kind::EventKind;
use crate::key::event::stored;
use crate::token::key_id::KeyId;

/// One change of the store. It serialises, and contains neither a secret nor a digest.
///
/// ```
/// use apikey::{Actor, EventKind, KeyStore, KeyUpdate, NewKey};
///
/// let store = KeyStore::temporary()?.as_actor("deploy-bot");
/// let id = store.create(NewKey::for_owner("alice").permissions(["orders:*"]))?.info.id();
/// store.update(id, KeyUpdate::new().permissions(["orders:read"]))?;
/// let event = store.events(&Default::default())?.events.pop().expect("there are two");
/// assert_eq!(event.actor(), Some(&Actor::from("deploy-bot")));
/// let EventKind::Updated { changes } = event.kind() else { panic!("{event:?}") };
/// assert_eq!(changes.permissions.as_ref().expect("they changed").from, ["orders:*"]);
/// assert_eq!(
///     serde_json::to_value(event.kind())?,
///     serde_json::json!({
///         "kind": "updated",
///         "changes": { "permissions": { "from": ["orders:*"], "to": ["orders:read"] } },
///     })
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    number: u64,
    at: DateTime<Utc>,
    actor: Option<Actor>,
    peer: Option<IpAddr>,
    key: Option<KeyId>,
    #[serde(flatten)]
    kind: EventKind,
}

impl Event {
    pub(crate) fn new(event: stored::Event) -> Self {
        let Origin { actor, peer } = event.origin;
        Self { number: event.number, at: from_ms(event.at), actor, peer, key: event.subject.key_id(), kind: event.kind }
    }

    /// Returns the number of the event: 1 for the first change of the store, and one more for each later one.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Returns the time of the change, to the millisecond. It is the store's time: that of its clock, but never earlier
    /// than the event before, except for [`ClockAccepted`](EventKind::ClockAccepted).
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }

    /// Returns the actor of the change, if the handle or a cap named one.
    #[must_use]
    pub fn actor(&self) -> Option<&Actor> {
        self.actor.as_ref()
    }

    /// Returns the address from which the actor requested the change, if the handle knew it
    /// ([`KeyStore::as_actor_from`](crate::KeyStore::as_actor_from)).
    #[must_use]
    pub fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// Returns the key that changed; `None` if the event concerns the whole store.
    #[must_use]
    pub fn key(&self) -> Option<KeyId> {
        self.key
    }

    /// Returns the kind of the event, with its fields.
    #[must_use]
    pub fn kind(&self) -> &EventKind {
        &self.kind
    }
}
