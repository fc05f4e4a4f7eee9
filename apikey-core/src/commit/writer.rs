//! The one writer: decides a change on the records as they stand, writes it, and waits until it is durable.

use std::collections::BTreeSet;
use std::io;
use std::sync::MutexGuard;

use crate::access::grants;
use crate::access::limit::Limit;
use crate::access::network;
use crate::base::codec;
use crate::base::interner::GRANTS;
use crate::index::{Restriction, Target};
use crate::key::bounds;
use crate::key::change::{Action, Applied, Change, Overlap, apply};
use crate::key::effective_key::EffectiveKey;
use crate::key::error::StoreError;
use crate::key::event::stored::{Event, Head};
use crate::key::idempotency::{FOREVER, Made, Once};
use crate::key::record::{Record, SecretEnd, record_hash};
use crate::token::digest::Digester;
use crate::token::id_generator::IdSource;

use crate::commit::change_feed;
use crate::commit::group_commit::Pending;
use crate::copies::backup::Taps;
use crate::storage::batch::{Batch, Write};
use crate::storage::disk::{Disk, imported_digests};
use crate::store::Inner;
use crate::store::observe::Happened;

pub(crate) struct Writer {
    head: Head,
    pub(crate) ids: IdSource,
    /// All that the store can read by; the last is for new secrets.
    pub(crate) digesters: Vec<Digester>,
    /// Ends of superseded secrets that are still stored.
    ends: BTreeSet<(i64, u128)>,
    pub(crate) taps: Taps,
}

/// What a change made of a record; `after` is `None` where it was deleted.
pub(crate) struct Outcome {
    pub(crate) after: Option<Record>,
    /// Whether anything changed.
    pub(crate) changed: bool,
}

/// A change that is decided and not written.
pub(crate) struct Staged {
    pub(crate) pending: Pending,
    write: Write,
    /// Whether a rotator has to know.
    concerns: bool,
}

/// What changes would make of the store.
pub(crate) struct Stage {
    outcomes: Vec<Outcome>,
    pub(crate) happened: Vec<Happened>,
    /// Those that change anything.
    pub(crate) staged: Vec<Staged>,
    pub(crate) head: Head,
    /// The time of the latest event.
    at: i64,
}

impl Writer {
    pub(crate) fn new(head: Head, ids: IdSource, digesters: Vec<Digester>, overlapping: Vec<u128>) -> Self {
        // Due at once: the first round looks at each of them and notes its true end.
        let ends = overlapping.into_iter().map(|id| (i64::MIN, id)).collect();
        Self { head, ids, digesters, ends, taps: Taps::default() }
    }

    /// Where history stands.
    pub(crate) fn head(&self) -> Head {
        self.head
    }

    /// The digester for new secrets.
    pub(crate) fn digester(&self) -> Digester {
        self.digesters.last().cloned().unwrap_or_else(Digester::plain)
    }

    /// Some of the keys with a superseded secret whose end may have come; each is named once.
    pub(crate) fn ended(&mut self, now: i64, most: usize) -> BTreeSet<u128> {
        let due: Vec<_> = self.ends.range(..(now.saturating_add(1), 0)).take(most).copied().collect();
        due.into_iter().filter(|end| self.ends.remove(end)).map(|(_, id)| id).collect()
    }

    pub(crate) fn note_ends(&mut self, record: &Record) {
        for secret in &record.secrets {
            if let SecretEnd::At(end) = secret.end {
                self.ends.insert((end, record.id));
            }
        }
    }
}

impl Inner {
    /// Makes changes that `decide` names: all or none, in one transaction; at most one of a key. Returns when they are
    /// durable and visible.
    pub(crate) fn change(
        &self,
        mut decide: impl FnMut(&mut Writer, &Disk) -> Result<Vec<Change>, StoreError>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let disk = self.disk()?;
        let disk = disk.as_ref().ok_or(StoreError::Closed)?;
        let arriving = self.commit.arrive();
        let mut writer = self.writer();
        self.write_first_uses(&mut writer, disk);
        let (outcomes, happened, took) = loop {
            let mut changes = decide(&mut writer, disk).map_err(|error| self.doubt(error))?;
            for change in &mut changes {
                // The time may have been read before it was this call's turn.
                change.at = change.at.max(self.time.floor());
            }
            let stage = self.stage(&mut writer, disk, &changes);
            let stage = stage.map_err(|error| self.doubt(self.cut_all(&changes, error)))?;
            // Before anything is taken away: nothing earlier of these keys may widen them again, or show a successor
            // that is about to be replaced.
            self.commit.announce(stage.staged.iter().map(|one| one.pending.clone()));
            if self.take_unused(&changes, &stage.staged) {
                let outcomes = stage.outcomes;
                self.time.raise(stage.at);
                break (outcomes, stage.happened, self.write(&mut writer, disk, stage.staged, stage.head)?);
            }
            self.commit.retract();
            // A successor that was to be replaced was used in this very moment: that comes first.
            std::thread::yield_now();
            self.write_first_uses(&mut writer, disk);
            self.commit.check().map_err(|source| refused(false, source))?;
        };
        // Also when nothing was left to do: what holds already may not be on disk yet, or never come there.
        let ticket = self.commit.written();
        drop(writer);
        let unchanged = outcomes.iter().any(|outcome| !outcome.changed);
        let durable = self.commit.arrived(arriving, ticket, &self.index, |head| self.log(disk, head));
        let durable = if unchanged { durable.and_then(|()| self.commit.check()) } else { durable };
        durable.map_err(|source| refused(took || unchanged, source))?;
        self.tell(&happened);
        Ok(outcomes)
    }

    pub(crate) fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(|poisoned| {
            // Nobody knows how far it came, in memory and on disk.
            self.commit.fail(&io::Error::other("a change panicked"));
            poisoned.into_inner()
        })
    }

    /// Writes down which successors were used; the sync comes with the change that follows. What the disk refuses
    /// waits for the next time, and holds up nothing: a revocation must not fail for it.
    pub(crate) fn write_first_uses(&self, writer: &mut Writer, disk: &Disk) {
        for first in self.take_first_uses() {
            // One of a key in a transaction: a key rotated twice within a second may have two.
            let changes = [self.change_of(first.id, Action::FirstUse { version: first.version })];
            let stage = match self.stage(writer, disk, &changes) {
                Ok(stage) => stage,
                Err(error) => {
                    tracing::warn!(%error, "the first use of a rotated key cannot be written");
                    if matches!(error, StoreError::Io { .. }) {
                        self.put_back_first_use(first);
                    }
                    continue;
                }
            };
            self.commit.announce(stage.staged.iter().map(|one| one.pending.clone()));
            self.time.raise(stage.at);
            if let Err(error) = self.write(writer, disk, stage.staged, stage.head) {
                tracing::warn!(%error, "the first use of a rotated key is in force, and not on disk");
                self.put_back_first_use(first);
            } else {
                self.tell(&stage.happened);
            }
        }
    }

    /// Applies changes to the records as they stand, visible or not; writes nothing. Here, and nowhere else, each is held
    /// against its scope.
    pub(crate) fn stage(&self, writer: &mut Writer, disk: &Disk, changes: &[Change]) -> Result<Stage, StoreError> {
        let mut outcomes = Vec::with_capacity(changes.len());
        let mut staged = Vec::with_capacity(changes.len());
        let mut happened = Vec::with_capacity(changes.len());
        let mut head = writer.head;
        let mut reach = None;
        let mut at = i64::MIN;
        let rights = |record: &Record| EffectiveKey::of(record, self.lifetime);
        for change in changes {
            let current = match change.action {
                Action::Create(_) | Action::AcceptClock { .. } => None,
                _ => disk.record(change.id)?,
            };
            let (current, frame) = current.unzip();
            let reach = self.reach_of(change, disk, &mut reach)?;
            reach.map_or(Ok(()), |reach| reach.before(change, current.as_ref()))?;
            match apply(current.as_ref(), change)? {
                Applied::Unchanged => outcomes.push(Outcome { after: current, changed: false }),
                Applied::Changed { after, event } => {
                    reach.map_or(Ok(()), |reach| reach.after(change, current.as_ref(), after.as_deref()))?;
                    let mut before_rights = current.as_ref().map(rights).transpose().map_err(io::Error::from)?;
                    let after = after.map(|after| self.keep_last_use(before_rights.as_ref(), *after));
                    head.count()?;
                    at = at.max(change.at);
                    head.last_id = head.last_id.max(change.id);
                    let event = Event {
                        number: head.number,
                        at: change.at,
                        actor: change.actor.clone(),
                        key: change.id,
                        kind: event,
                        previous: head.digest,
                        pepper: writer.digester().pepper(),
                    };
                    let frame_of_event = codec::encode(&event)?;
                    head.digest = writer.digester().of(&frame_of_event);
                    let mut write = write(current.as_ref(), after.as_ref(), (head.number, frame_of_event))?;
                    if let (Some(Once { name, request, at }), Some(after)) = (change.once, &after) {
                        let made = Made { at, request, key: change.id, version: after.version };
                        write.made = Some((name, codec::encode(&made)?.into()));
                    }
                    if let Some(old) = &frame {
                        head.sum = head.sum.wrapping_sub(record_hash(old));
                        head.records = head.records.saturating_sub(1);
                    }
                    if let Some(new) = &write.record {
                        head.sum = head.sum.wrapping_add(record_hash(new));
                        head.records += 1;
                    }
                    if let Some(after) = &after {
                        writer.note_ends(after);
                    }
                    let mut after_rights = after.as_ref().map(rights).transpose().map_err(io::Error::from)?;
                    // The first use of what can be asked for again is noted, of whatever version it is.
                    if change.once.is_some_and(|once| once.at != FOREVER) {
                        await_use(after_rights.as_mut());
                    }
                    if matches!(change.action, Action::Repeat { .. }) {
                        await_use(before_rights.as_mut());
                    }
                    happened.push(Happened::new(&event, before_rights.as_ref(), after_rights.as_ref()));
                    let pending = Pending { id: change.id, before: before_rights, after: after_rights };
                    let concerns = [current.as_ref(), after.as_ref()].into_iter().flatten().any(change_feed::concerns);
                    staged.push(Staged { pending, write, concerns });
                    outcomes.push(Outcome { after, changed: true });
                }
            }
        }
        Ok(Stage { outcomes, happened, staged, head, at })
    }

    /// A secret that goes takes its time of use with it; the record keeps it.
    pub(crate) fn keep_last_use(&self, before: Option<&EffectiveKey>, mut after: Record) -> Record {
        if let Some(before) = before {
            let gone = before.secrets.iter().any(|old| !after.secrets.iter().any(|new| new.digest == old.digest));
            if gone {
                after.used_before = after.used_before.max(self.index.last_used(before));
            }
        }
        after
    }

    /// Ends the unused successors that a rotation replaces; `false` if one of them was used after all.
    pub(crate) fn take_unused(&self, changes: &[Change], staged: &[Staged]) -> bool {
        let replaces = |change: &Change| match &change.action {
            Action::Rotate { overlap, .. } => *overlap != Overlap::None,
            Action::Stage { .. } | Action::Promote { .. } | Action::Repeat { .. } => true,
            _ => false,
        };
        if !changes.iter().any(replaces) {
            return true;
        }
        staged.iter().all(|one| {
            let (Some(before), Some(after)) = (&one.pending.before, &one.pending.after) else { return true };
            let mut replaced = before
                .secrets
                .iter()
                .filter(|secret| secret.unused && !after.secrets.iter().any(|kept| kept.digest == secret.digest));
            replaced.all(|secret| self.index.remove_unused(before, secret))
        })
    }

    /// Takes away what the announced changes take away, writes them, and puts them in line to become durable and
    /// visible. Whether they took anything away.
    pub(crate) fn write(
        &self,
        writer: &mut Writer,
        disk: &Disk,
        staged: Vec<Staged>,
        head: Head,
    ) -> Result<bool, StoreError> {
        if staged.is_empty() {
            return Ok(false);
        }
        let mut took = false;
        let mut gone = Vec::new();
        for Pending { before, after, .. } in staged.iter().map(|one| &one.pending) {
            let Some(before) = before else { continue };
            self.index.restrict(before, after.as_ref()).map_err(|full| self.failed(true, full.into()))?;
            took |= after.as_ref().is_none_or(|after| before.loses(after));
            let kept = after.as_ref().map(EffectiveKey::digests).unwrap_or_default();
            gone.extend(before.digests().into_iter().filter(|digest| !kept.contains(digest)));
        }
        self.commit.check().map_err(|source| refused(took, source))?;
        let frame = codec::encode(&head).map_err(|error| self.failed(took, io::Error::other(error)))?;
        let touched: Vec<u128> = staged.iter().filter(|one| one.concerns).map(|one| one.pending.id).collect();
        let batch = Batch { writes: staged.into_iter().map(|one| one.write).collect(), head: frame, ended: gone };
        writer.taps.note(&batch.writes);
        writer.head = head;
        disk.accept(batch).map_err(|source| self.failed(took, source))?;
        self.commit.written_now(head);
        self.touched.note(&touched);
        Ok(took)
    }

    /// After a failure the records may hold what nobody was told: an answer that rests on them is none.
    pub(crate) fn doubt(&self, error: StoreError) -> StoreError {
        match (self.commit.check(), &error) {
            (Err(source), StoreError::Conflict(_) | StoreError::NotFound(_)) => StoreError::Io { source },
            _ => error,
        }
    }

    /// What the changes take away ends although their records cannot be read; the error to tell.
    pub(crate) fn cut_all(&self, changes: &[Change], error: StoreError) -> StoreError {
        // What an acting key covers only its records say, and they could not be read.
        let changes = changes.iter().filter(|change| change.scope.actor.is_none());
        let cuts = changes.filter_map(|change| {
            let target = Target::Key { id: change.id, owner: change.scope.owner.as_deref() };
            Some((target, cut_of(&change.action)?))
        });
        self.cut(cuts.collect(), error)
    }

    /// Takes away what can be taken away without the records, if they could not be read; the error to tell.
    pub(crate) fn cut(&self, cuts: Vec<(Target<'_>, Restriction)>, error: StoreError) -> StoreError {
        let StoreError::Io { source } = error else { return error };
        let cut_one = |(target, cut): &(Target<'_>, Restriction)| {
            self.index.restrict_without_record(target, cut).unwrap_or_else(|full| {
                tracing::error!(%full, "rights of a key are not taken away");
                0
            })
        };
        // What holds in memory and what the records say is not the same any more.
        let taken = self.commit.fail_if_taken(&source, || cuts.iter().map(cut_one).sum());
        if taken > 0 { refused(true, source) } else { StoreError::Io { source } }
    }

    /// After a failed write nobody knows what is on disk: nothing more is acknowledged until the store is reopened.
    pub(crate) fn failed(&self, took: bool, source: io::Error) -> StoreError {
        self.commit.fail(&source);
        refused(took, source)
    }
}

/// What a change takes away from a key whatever its record says; `None` if nothing.
fn cut_of(action: &Action) -> Option<Restriction> {
    let cut = match action {
        Action::Revoke { .. } => Restriction { revoke: true, ..Restriction::default() },
        Action::Rotate { overlap: Overlap::None, .. } | Action::Replace { .. } => {
            Restriction { end_secrets: true, ..Restriction::default() }
        }
        Action::Update(fields) => Restriction {
            disable: fields.disabled == Some(true),
            expires_at: fields.expires_at.flatten(),
            grants: fields.permissions.as_ref().and_then(|left| GRANTS.number(&grants::join(left)).ok()),
            networks: fields
                .networks
                .as_deref()
                .filter(|left| !left.is_empty())
                .and_then(|left| network::number(left).ok()),
            limit: fields.limit.as_ref().and_then(|limit| limit.as_ref().map(Limit::stored)),
            ..Restriction::default()
        },
        _ => return None,
    };
    Some(cut).filter(|cut| *cut != Restriction::default())
}

/// The newest secret is one whose first use is to be recorded.
fn await_use(rights: Option<&mut EffectiveKey>) {
    if let Some(newest) = rights.and_then(|rights| rights.secrets.last_mut()) {
        newest.unused = true;
    }
}

/// What is written for one change.
pub(crate) fn write(
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
        id: known.map_or(0, |record| record.id),
        is_new: before.is_none(),
        owner: known.map_or_else(String::new, |record| record.owner.clone()),
        record: record.map(Into::into),
        imported_in: new.iter().filter(|digest| !old.contains(digest)).copied().collect(),
        imported_out: old.iter().filter(|digest| !new.contains(digest)).copied().collect(),
        event: (event.0, event.1.into()),
        made: None,
    })
}

/// A refused change that took rights away is in force all the same.
pub(crate) fn refused(took: bool, source: io::Error) -> StoreError {
    if took { StoreError::NotDurable { source } } else { StoreError::Io { source } }
}
