//! A log line and a count for each change that is in force.

use crate::access::identity::owner_of;
use crate::access::owner::OwnerRef;
use crate::commit::engine::Engine;
use crate::key::effective_key::EffectiveKey;
use crate::key::event::actor::Origin;
use crate::key::event::stored;
use crate::key::subject::Subject;

/// A change that was appended, for the log and the metrics.
pub(crate) struct ChangeNotice {
    number: u64,
    subject: Subject,
    origin: Origin,
    /// The owner of its key.
    owner: Option<OwnerRef<'static>>,
    kind: &'static str,
    /// Whether the record was deleted.
    is_deleted: bool,
}

impl ChangeNotice {
    pub(crate) fn new(event: &stored::Event, before: Option<&EffectiveKey>, after: Option<&EffectiveKey>) -> Self {
        Self {
            number: event.number,
            subject: event.subject,
            origin: event.origin.clone(),
            owner: after.or(before).map(|rights| owner_of(rights.allowance.identity)),
            kind: event.kind.name(),
            is_deleted: before.is_some() && after.is_none(),
        }
    }
}

impl Engine {
    /// Logs and counts changes that are in force.
    pub(crate) fn emit(&self, notices: &[ChangeNotice]) {
        for notice in notices {
            self.meter.changed(notice.kind);
            if let Some(key) = notice.subject.key().filter(|_| notice.is_deleted) {
                self.forget_counts(key);
            }
            let key = notice.subject.key_id().map(tracing::field::display);
            let ChangeNotice { kind, number, owner, .. } = *notice;
            let (owner, tenant) = (owner.map(|owner| owner.name), owner.and_then(|owner| owner.tenant));
            let actor = notice.origin.actor.as_ref().map(tracing::field::display);
            let peer = notice.origin.peer.map(tracing::field::display);
            tracing::info!(
                name: "apikey.changed", target: "apikey", kind, key, owner, tenant, actor, peer, number,
                "API key changed: {kind}"
            );
        }
    }
}
