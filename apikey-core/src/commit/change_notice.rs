//! A log line and a count for each change that is in force.

use crate::base::interner::OWNERS;
use crate::commit::engine::Engine;
use crate::key::effective_key::EffectiveKey;
use crate::key::event::history::EventKind;
use crate::key::event::stored;
use crate::token::key_id::KeyId;

/// A change that was appended, for those who watch.
pub(crate) struct ChangeNotice {
    number: u64,
    key: u128,
    actor: Option<String>,
    /// Number in [`OWNERS`].
    owner: Option<u32>,
    kind: &'static str,
    /// Whether the record was deleted.
    is_deleted: bool,
}

impl ChangeNotice {
    pub(crate) fn new(event: &stored::Event, before: Option<&EffectiveKey>, after: Option<&EffectiveKey>) -> Self {
        Self {
            number: event.number,
            key: event.key,
            actor: event.actor.clone(),
            owner: after.or(before).map(|rights| rights.owner),
            kind: EventKind::new(event.kind.clone()).name(),
            is_deleted: after.is_none(),
        }
    }
}

impl Engine {
    /// Logs and counts changes that are in force.
    pub(crate) fn emit(&self, notices: &[ChangeNotice]) {
        for notice in notices {
            self.meter.changed(notice.kind);
            if notice.is_deleted {
                self.refusals.forget(notice.key);
            }
            let key = (notice.key != 0).then(|| tracing::field::display(KeyId::from_u128(notice.key)));
            let (key, owner) = (key, notice.owner.map(|owner| OWNERS.text(owner)));
            let ChangeNotice { kind, number, .. } = *notice;
            let actor = notice.actor.as_deref();
            tracing::info!(
                name: "apikey.changed", target: "apikey", kind, key, owner, actor, number, "API key changed: {kind}"
            );
        }
    }
}
