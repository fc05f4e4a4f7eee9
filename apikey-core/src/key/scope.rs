//! The bounds of a change, as its call states them.

use std::sync::Arc;

use crate::access::verified_key::VerifiedKey;

/// Who asks for a change, as it is written in the call. Nothing in here is trusted to be still so: see [`Reach`](crate::key::reach::Reach).
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The only owner whose keys there are; `None`: everybody's.
    pub(crate) owner: Option<Arc<str>>,
    /// The key that the change must stay within; `None`: the service itself asks.
    pub(crate) actor: Option<VerifiedKey>,
}

impl Scope {
    /// Whether it bounds anything.
    pub(crate) fn is_bounded(&self) -> bool {
        self.owner.is_some() || self.actor.is_some()
    }

    /// Whether both have the same reach.
    pub(crate) fn is_as(&self, other: &Self) -> bool {
        let actor = |scope: &Self| scope.actor.as_ref().map(|actor| (actor.store, actor.id(), actor.prefix));
        self.owner == other.owner && actor(self) == actor(other)
    }
}
