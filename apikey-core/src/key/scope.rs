//! The bounds of a change, as its call states them.

use std::sync::Arc;

use crate::access::owner::Seen;
use crate::access::verified_key::VerifiedKey;
use crate::key::owner::key_bounds::KeyBounds;

/// The bounds that a call states for its change. They may be out of date by the time the change is decided: see
/// [`Reach`](crate::key::reach::Reach).
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The keys that the call may see.
    pub(crate) seen: Seen,
    /// What these keys may become; `None` for whatever the store allows.
    pub(crate) bounds: Option<Arc<KeyBounds>>,
    /// The key that caps the change; `None` if the service itself makes it.
    pub(crate) actor: Option<VerifiedKey>,
}

impl Scope {
    /// Whether the scope bounds anything.
    pub(crate) fn is_bounded(&self) -> bool {
        self.seen != Seen::default() || self.bounds.is_some() || self.actor.is_some()
    }

    /// Whether both have the same reach.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let actor = |scope: &Self| scope.actor.as_ref().map(|actor| (actor.store, actor.id(), actor.digest));
        self.seen == other.seen && self.bounds == other.bounds && actor(self) == actor(other)
    }
}
