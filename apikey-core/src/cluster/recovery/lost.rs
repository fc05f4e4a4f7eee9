//! What the log lost when the engine went back, and another history took its place: what this took away from keys, roles and
//! tenants is taken again. What it gave stays lost.

use std::collections::BTreeMap;

use crate::access::named::NamedId;
use crate::base::codec;
use crate::base::lock::lock;
use crate::cluster::format::entry::LogEntry;
use crate::cluster::format::here_only::{KeptHereOnly, KeptRestriction};
use crate::cluster::ledger::{Logged, Position, Sight};
use crate::cluster::node::here_only::{HereOnly, Kept};
use crate::cluster::node::shared::{FollowError, Node, PATIENCE};
use crate::cluster::recovery::history::digest_at;
use crate::commit::engine::Engine;
use crate::key::error::StoreError;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::Event;
use crate::key::named::NamedRecord;
use crate::key::named::evidence::{after_event, takes};
use crate::key::subject::Subject;

/// The most bytes that a node reads of the log at a time.
const READ: usize = 1 << 20;
/// How far before its end the log is compared first, in events, and how much further then.
const FIRST_SPAN: u64 = 64;
const FACTOR: u64 = 8;

/// From how many keys, and from how many roles, tenants and owners, the engine lost that something was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) keys: u64,
    pub(crate) named: u64,
}

impl Node {
    /// Returns the number of the last event that the log and the replica have in common; `None` if the log no longer has it,
    /// or the replica never had it.
    pub(super) fn last_in_common(&self, engine: &Engine, sight: &Sight) -> Result<Option<u64>, FollowError> {
        let digesters = engine.writer().digesters.clone();
        let own = engine.writer().head();
        let top = sight.head.unwrap_or_default().number.min(own.number);
        let is_own = |position: &Position| -> Result<bool, FollowError> {
            let log = engine.log.open()?;
            Ok(digest_at(&log, &own, position.number)? == Some(position.digest))
        };
        let mut span = FIRST_SPAN;
        loop {
            let from = top.saturating_sub(span).max(sight.floor);
            let (mut common, mut at, mut is_first) = (None, from, true);
            'compare: loop {
                let by = self.runtime.now() + PATIENCE;
                let entries: Vec<Logged> = self.noted(self.ledger.read(self.generation(), at, READ, by))?;
                let Some(end) = entries.last().map(|last| last.last.number) else { break };
                if std::mem::take(&mut is_first)
                    && let Some(Ok(first)) = entries.first().map(|first| LogEntry::decode(&first.bytes, &digesters))
                    && is_own(&first.base)?
                {
                    common = Some(first.base.number);
                }
                for logged in &entries {
                    if !is_own(&logged.last)? {
                        break 'compare;
                    }
                    common = Some(logged.last.number);
                }
                at = end;
            }
            if common.is_some() || from <= sight.floor {
                // A log without entries begins at its state.
                let state = sight.state.filter(|_| common.is_none()).map(|state| Ok((state, is_own(&state)?)));
                let state = state.transpose().map_err(|error: FollowError| error)?;
                return Ok(common.or_else(|| state.filter(|(_, is_own)| *is_own).map(|(state, _)| state.number)));
            }
            span = span.saturating_mul(FACTOR);
        }
    }

    /// Keeps what the events after this one took away from keys, roles, tenants and owners, durably: it is in force here from now on,
    /// and the node makes it again until the log has it.
    pub(crate) fn keep_lost(&self, engine: &Engine, common: u64) -> Result<Lost, StoreError> {
        // What the log has by now is forgotten before this, or after the replica is loaded anew.
        let _applying = lock(&self.applying);
        let log = engine.log.open()?;
        let own = engine.writer().head().number;
        // The keys, and whether an event set fields of theirs.
        let mut concerned: BTreeMap<u128, bool> = BTreeMap::new();
        // What they leave of roles, tenants and owners, and whether they have taken anything from them.
        let mut named: BTreeMap<NamedId, (Option<NamedRecord>, bool)> = BTreeMap::new();
        for item in log.events(common.saturating_add(1)) {
            let (number, frame) = item?;
            if number > own {
                break;
            }
            let event: Event = codec::decode(&frame)?;
            if let Subject::Named(id) = event.subject {
                let (left, has_lost) = named.entry(id).or_default();
                *left = after_event(left.take(), &event);
                *has_lost |= takes(&event.kind);
            }
            let Some(key) = event.subject.key() else { continue };
            let sets_fields = match &event.kind {
                EventKind::Updated { .. } | EventKind::Disabled { .. } | EventKind::Enabled { .. } => true,
                EventKind::Reapplied { disabled, changes, .. } => *disabled || !changes.is_empty(),
                _ => false,
            };
            *concerned.entry(key).or_default() |= sets_fields;
        }
        let mut kept = Vec::with_capacity(concerned.len());
        for (key, sets_fields) in concerned {
            let mut record = log.record(key)?.map(|(record, _)| Box::new(record));
            let mut sets_fields = sets_fields;
            match self.state().here.get(&key).and_then(HereOnly::kept) {
                // It takes everything.
                Some(Kept::Revocation(_)) => continue,
                // The record does not have this yet.
                Some(Kept::Named(_)) | None => {}
                Some(Kept::Restriction(held)) => {
                    sets_fields |= held.sets_fields;
                    if let Some(record) = &mut record {
                        held.restrict(record, engine.time.now_ms());
                    }
                }
            }
            kept.push((key, KeptRestriction { record, sets_fields }));
        }
        let mut kept_named = Vec::new();
        for (id, (left, has_lost)) in named {
            // The record has more than the events say; one that is gone was a role, which grants nothing.
            let left = log.named(id)?.map(|(record, _)| record).or(left).filter(|_| has_lost);
            let Some(left) = left else { continue };
            let held = self.state().here.get(&id).and_then(HereOnly::kept).cloned();
            let left = if let Some(Kept::Named(held)) = held { left.met(&held) } else { left };
            kept_named.push((id, left));
        }
        let frames = kept.iter().map(|(key, one)| Ok((*key, KeptHereOnly::Restriction(one.clone()).encode()?)));
        let of_named = kept_named.iter().map(|(id, one)| Ok((*id, KeptHereOnly::Named(one.clone()).encode()?)));
        log.keep_here(frames.chain(of_named).collect::<Result<Vec<_>, StoreError>>()?)?;
        self.put_here(&kept, |here, one| here.keep(Kept::Restriction(one.clone())));
        self.put_here(&kept_named, |here, one| here.keep(Kept::Named(one.clone())));
        Ok(Lost { keys: kept.len() as u64, named: kept_named.len() as u64 })
    }
}
