//! Staging: applying changes to the current records, before anything is written.

mod named;

use crate::base::codec;
use crate::base::codec::tail::Unknown;
use crate::commit::applier::Pending;
use crate::commit::change_feed;
use crate::commit::change_notice::ChangeNotice;
use crate::commit::engine::Engine;
use crate::commit::outcome::Outcome;
use crate::commit::records::Records;
use crate::commit::writer::Writer;
use crate::key::applied::Applied;
use crate::key::bounds;
use crate::key::change::{Action, Change, apply};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::{Conflict, StoreError};
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Event, Head};
use crate::key::idempotency::{IdempotentRequest, NEVER_EXPIRES, RequestOutcome};
use crate::key::record::Record;
use crate::key::rotation::ended::keep_ended;
use crate::key::subject::Subject;
use crate::storage::batch::Write;
use crate::storage::database::disk::imported_digests;

/// A change that is decided and not appended.
pub(crate) struct Staged {
    pub(crate) pending: Pending,
    pub(crate) write: Write,
    /// Whether the change concerns a rotator.
    pub(crate) is_of_rotator: bool,
}

/// The outcome of several changes, before any is written.
pub(crate) struct Stage {
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) notices: Vec<ChangeNotice>,
    /// The changes that have an effect.
    pub(crate) staged: Vec<Staged>,
    pub(crate) head: Head,
    /// The time of the latest event.
    pub(crate) at: i64,
}

impl Engine {
    /// Applies changes to the current records, visible or not, and writes nothing. This is the one place that checks
    /// each change against its scope.
    pub(crate) fn stage(
        &self,
        writer: &mut Writer,
        records: &Records<'_>,
        changes: &[Change],
    ) -> Result<Stage, StoreError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut staged = Vec::with_capacity(changes.len());
        let mut notices = Vec::with_capacity(changes.len());
        let mut head = records.head(writer);
        let mut reach = None;
        let mut at = i64::MIN;
        let rights = |record: &Record| self.effective(record);
        for change in changes {
            if let Action::Named(action) = &change.action {
                let reach = self.reach_of(change, records, &mut reach)?;
                let one = self.stage_named(change, action, reach, records, head, writer)?;
                let changed = one.is_some();
                if let Some((named, notice, after)) = one {
                    at = at.max(change.at);
                    head = after;
                    staged.push(named);
                    notices.push(notice);
                }
                outcomes.push(Outcome { after: None, changed });
                continue;
            }
            let current = match change.action {
                Action::Create(_) | Action::AcceptClock { .. } | Action::PurgeEvents { .. } => None,
                _ => records.record(change.id)?,
            };
            let (current, frame) = current.unzip();
            let reach = self.reach_of(change, records, &mut reach)?;
            reach.map_or(Ok(()), |reach| reach.before(change, current.as_ref()))?;
            self.check_tenant(change, current.as_ref(), records)?;
            current.as_ref().map_or(Ok(()), |record| self.check_not_idle(change, record))?;
            match apply(current.as_ref(), change)? {
                Applied::Unchanged => outcomes.push(Outcome { after: current, changed: false }),
                Applied::Changed { mut after, event } => {
                    if let (Some(before), Some(after)) = (&current, &mut after) {
                        keep_ended(before, after, &change.action, change.at, self.lifetime.keep_ended);
                    }
                    reach.map_or(Ok(()), |reach| reach.after(change, current.as_ref(), after.as_deref()))?;
                    let mut before_rights = current.as_ref().map(rights).transpose()?;
                    let mut after = after.map(|after| self.keep_last_use(before_rights.as_ref(), *after));
                    self.check_roles(current.as_ref(), after.as_ref(), records)?;
                    at = at.max(change.at);
                    head.last_id = head.last_id.max(change.id);
                    let (event, frame_of_event) = event_of(change, *event, &mut head, writer)?;
                    if let Some(after) = &mut after {
                        after.last_event = head.number;
                    }
                    let mut write =
                        write(event.subject, current.as_ref(), after.as_ref(), (head.number, frame_of_event))?;
                    if let (Some(IdempotentRequest { name, request, at }), Some(after)) = (change.idempotency, &after) {
                        let outcome = RequestOutcome { at, request, key: change.id, version: after.version };
                        write.outcome = Some((name, codec::encode(&outcome)?.into()));
                    }
                    head.replace_record(frame.as_ref(), write.record.as_ref());
                    // In a cluster the replica notes them when it applies the entry.
                    if let Some(after) = after.as_ref().filter(|_| self.is_alone()) {
                        writer.note_ends(after);
                    }
                    let mut after_rights = after.as_ref().map(rights).transpose()?;
                    // An idempotent request needs the first use of its secret, whatever the secret's version.
                    if change.idempotency.is_some_and(|idempotency| idempotency.at != NEVER_EXPIRES) {
                        await_use(after_rights.as_mut());
                    }
                    if matches!(change.action, Action::Repeat { .. }) {
                        await_use(before_rights.as_mut());
                    }
                    notices.push(ChangeNotice::new(&event, before_rights.as_ref(), after_rights.as_ref()));
                    let pending = Pending { id: change.id, before: before_rights, after: after_rights, named: None };
                    let is_of_rotator =
                        [current.as_ref(), after.as_ref()].into_iter().flatten().any(change_feed::is_of_rotator);
                    staged.push(Staged { pending, write, is_of_rotator });
                    outcomes.push(Outcome { after, changed: true });
                }
            }
        }
        Ok(Stage { outcomes, notices, staged, head, at })
    }

    /// Checks that a change does not give an idle key another secret. Every other state that is in the way of that comes
    /// before, and the record alone says which.
    fn check_not_idle(&self, change: &Change, record: &Record) -> Result<(), StoreError> {
        let rotates = matches!(change.action, Action::Rotate { .. } | Action::Repeat { .. } | Action::Stage { .. });
        let is_over = record.revoked.is_some() || record.disabled || record.expired(change.at);
        if rotates && !is_over && self.is_idle(record, change.at) {
            return Err(StoreError::Conflict(Conflict::Idle));
        }
        Ok(())
    }

    /// Keeps the time of use of a secret that ends in the record.
    pub(crate) fn keep_last_use(&self, before: Option<&EffectiveKey>, mut after: Record) -> Record {
        if let Some(before) = before {
            let gone = before.secrets.iter().any(|old| !after.secrets.iter().any(|new| new.digest == old.digest));
            if gone {
                after.used_before = after.used_before.max(self.index.last_used(before));
            }
        }
        after
    }
}

/// Creates the event of a change, with its frame, and counts it.
pub(super) fn event_of(
    change: &Change,
    kind: EventKind,
    head: &mut Head,
    writer: &Writer,
) -> Result<(Event, Vec<u8>), StoreError> {
    head.count()?;
    let event = Event {
        number: head.number,
        at: change.at,
        subject: change.subject(),
        kind,
        origin: change.origin.clone(),
        previous: head.digest,
        pepper: writer.digester().pepper(),
        unknown: Unknown::default(),
    };
    let frame = codec::encode(&event)?;
    head.digest = writer.digester().of(&frame);
    Ok((event, frame))
}

/// Marks the newest secret as one whose first use the store records.
pub(crate) fn await_use(rights: Option<&mut EffectiveKey>) {
    if let Some(newest) = rights.and_then(|rights| rights.secrets.last_mut()) {
        newest.unused = true;
    }
}

/// Returns what the store writes for one change.
pub(crate) fn write(
    subject: Subject,
    before: Option<&Record>,
    after: Option<&Record>,
    event: (u64, Vec<u8>),
) -> Result<Write, StoreError> {
    let record = after.map(codec::encode).transpose()?;
    if let Some(bytes) = record.as_ref().map(Vec::len).filter(|bytes| *bytes > bounds::MAX_RECORD) {
        return Err(StoreError::invalid("record", &format!("{bytes} bytes"), "records of at most 32 KiB"));
    }
    let known = before.or(after);
    let digests = |record: Option<&Record>| record.into_iter().flat_map(imported_digests).collect::<Vec<_>>();
    let (old, new) = (digests(before), digests(after));
    Ok(Write {
        subject,
        is_new: before.is_none(),
        tenant: known.and_then(|record| record.tenant.clone()),
        owner: known.map_or_else(String::new, |record| record.owner.clone()),
        record: record.map(Into::into),
        imported_in: new.iter().filter(|digest| !old.contains(digest)).copied().collect(),
        imported_out: old.iter().filter(|digest| !new.contains(digest)).copied().collect(),
        event: (event.0, event.1.into()),
        outcome: None,
    })
}
