//! Makes a new store of what is whole in a damaged one.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::access::identity;
use crate::access::named::{Kind, NamedId};
use crate::base::codec;
use crate::base::time::TimeSource;
use crate::copies::restore_report::{RestoreError, SalvageReport};
use crate::key::error::StoreError;
use crate::key::event::actor::{Actor, Origin};
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Checkpoint, Event, Head};
use crate::key::named::NamedRecord;
use crate::key::named::evidence::after_events;
use crate::key::record::Record;
use crate::key::subject::Subject;
use crate::key::tenant::record::TenantRecord;
use crate::token::digest::{Digest, Digester};
use crate::token::key_id::KeyId;

use crate::copies::assembler::Assembler;
use crate::copies::damaged;
use crate::copies::damaged::{DamagedStore, ScanItem};
use crate::copies::restore::target;
use crate::key::evidence::{Evidence, restrict_by_state};
use crate::storage::create::build;
use crate::storage::meta::Meta;
use crate::store::key_store::KeyStore;

impl KeyStore {
    /// Makes a new store of everything that is whole in a damaged one, and reports what is missing. Use it if there is
    /// no backup, or the newest is too old; otherwise [`restore`](Self::restore) is better.
    ///
    /// It does not change the damaged directory, and reads it through a copy, for which there must be room beside the
    /// new store. A key is revoked if any event or any older state shows it as revoked. A key whose record lies outside
    /// of its place may be in an earlier state, so it is disabled: check it, and enable it. Roles, tenants and owners have no more than
    /// their events show. If the bounds of a tenant may be lost, its keys have no permission until you
    /// [put](Self::put_tenant) it; if the permissions of a role may be lost, it grants nothing until you
    /// [put](Self::put_role) it; if the quota of an owner is lost, its keys have no uses until you [put](Self::put_owner) it: the
    /// [faults](SalvageReport::faults) name them. If events are missing,
    /// [`verify_events`](Self::verify_events) reports it on the new store, too.
    ///
    /// # Errors
    /// [`RestoreError::NoOldStore`] if nothing of a store is in the damaged directory; [`RestoreError::NotEmpty`];
    /// [`RestoreError::Directory`] for a damaged store that is open, or a directory that cannot be one of a store;
    /// [`RestoreError::Store`] and [`RestoreError::Io`] if the disk fails.
    pub fn salvage(damaged: impl AsRef<Path>, into: impl AsRef<Path>) -> Result<SalvageReport, RestoreError> {
        Self::salvage_by(damaged.as_ref(), into.as_ref(), Origin::default())
    }

    /// Does what [`salvage`](Self::salvage) does, and names an actor in the events that it appends.
    ///
    /// # Errors
    /// Those of [`salvage`](Self::salvage), and [`RestoreError::Store`] for an actor out of bounds.
    pub fn salvage_as(
        damaged: impl AsRef<Path>,
        into: impl AsRef<Path>,
        actor: impl Into<Actor>,
    ) -> Result<SalvageReport, RestoreError> {
        let actor = actor.into();
        actor.check().map_err(StoreError::from)?;
        Self::salvage_by(damaged.as_ref(), into.as_ref(), Origin::actor(actor))
    }

    fn salvage_by(damaged: &Path, into: &Path, origin: Origin) -> Result<SalvageReport, RestoreError> {
        damaged::check_present(damaged)?;
        let _lock = target(into)?;
        let mut old = DamagedStore::open(damaged, into)?;
        let mut report = None;
        build(into, |disk| {
            let assembler = Assembler::new(disk, Digester::plain(), origin, TimeSource::System.raw_ms());
            let mut salvage = Salvage {
                assembler,
                evidence: BTreeMap::new(),
                named: BTreeMap::new(),
                ended: Vec::new(),
                held: BTreeSet::new(),
                lost: BTreeSet::new(),
            };
            let found = salvage.all(&mut old)?;
            let mark = salvage.assembler.head.into();
            report = Some(found);
            Ok::<_, RestoreError>(mark)
        })?;
        report.ok_or(RestoreError::Store(StoreError::Closed))
    }
}

struct Salvage<'d> {
    assembler: Assembler<'d>,
    /// The evidence of events, by key.
    evidence: BTreeMap<u128, Evidence>,
    /// The events of roles, tenants and owners, by number.
    named: BTreeMap<u64, Event>,
    /// Tenants that have ended, by records outside of their place.
    ended: Vec<TenantRecord>,
    /// Keys whose records are in their place.
    held: BTreeSet<u128>,
    /// Keys whose records are not whole.
    lost: BTreeSet<u128>,
}

impl Salvage<'_> {
    fn all(&mut self, old: &mut DamagedStore) -> Result<SalvageReport, RestoreError> {
        old.events(|number, event, frame| event.map_or(Ok(()), |event| self.event(number, &event, frame)))?;
        let mut names = BTreeSet::new();
        old.records(|id, record, frame| {
            match record {
                Some(record) => {
                    self.held.insert(id);
                    names.extend(names_of(&record));
                    self.assembler.record(&record, frame)?;
                }
                None => drop(self.lost.insert(id)),
            }
            Ok::<_, RestoreError>(())
        })?;
        old.check_understood()?;
        self.assembler.flush()?;
        let mut doubtful: BTreeMap<u128, Record> = BTreeMap::new();
        if !old.faults.is_empty() {
            self.search(old, &mut doubtful)?;
        }
        names.extend(doubtful.values().flat_map(names_of));
        let shown = self.named_evidence();
        names.extend(shown.values().map(|record| (record.kind(), record.name().into_owned())));
        self.named(old, &shown, names)?;
        for record in doubtful.values_mut() {
            record.disabled = true;
            self.assembler.record(record, &codec::encode(record).map_err(StoreError::from)?)?;
        }
        old.uses(|secret, second| self.assembler.used(secret, second))?;
        let meta = match &old.meta {
            Some(meta) => meta.clone(),
            None => {
                old.faults.push("its settings are lost: give the same prefix and peppers as before".into());
                codec::encode(&Meta::default()).map_err(StoreError::from)?
            }
        };
        self.assembler.disk.set_meta(meta)?;
        let history = self.write_history(old)?;
        // The mark may be behind: keys that were deleted since are not lost.
        let (head, mark) = (old.head, old.mark);
        let counts = [head.map(|head| (head.number, head.records)), mark.map(|mark| (mark.number, mark.records))];
        let known = counts.into_iter().flatten().max_by_key(|(number, _)| *number).map(|(_, records)| records);
        let count = self.assembler.head.records;
        self.assembler.append_event(EventKind::Salvaged { records: count, events: history.events })?;
        self.restrict_by_events(&doubtful)?;
        self.narrow_named(old, shown, &history)?;
        let saved = |id: &u128| self.held.contains(id) || doubtful.contains_key(id);
        let ids = |ids: &mut dyn Iterator<Item = &u128>| ids.map(|id| KeyId::from_u128(*id)).collect::<Vec<_>>();
        Ok(SalvageReport {
            records: count,
            events: history.events,
            last_known: old.number().unwrap_or(history.last),
            last_found: history.last,
            missing: ids(&mut self.lost.iter().filter(|id| !saved(id))),
            known_records: known,
            doubtful: ids(&mut doubtful.keys()),
            gaps: history.gaps,
            faults: std::mem::take(&mut old.faults),
        })
    }

    /// Adds the roles, tenants and owners. One whose record is lost is as the events show it. If these do not tell, a role grants
    /// nothing, and a tenant leaves its keys nothing, until somebody puts it again.
    fn named(
        &mut self,
        old: &mut DamagedStore,
        shown: &BTreeMap<NamedId, NamedRecord>,
        names: BTreeSet<(Kind, String)>,
    ) -> Result<(), RestoreError> {
        let held: BTreeSet<NamedId> = old.named.iter().map(|(record, _)| record.id()).collect();
        for (record, frame) in &old.named {
            self.assembler.named(record, frame)?;
        }
        for (kind, name) in names {
            let id = kind.id(&name);
            let may_be_lost = !old.has_all_records || old.lost.contains(&id);
            if held.contains(&id) || !may_be_lost || self.is_deleted(id) {
                continue;
            }
            // Most owners have no record, so that of one counts as lost only if something shows that it was there.
            if kind == Kind::Owner && !shown.contains_key(&id) && !old.lost.contains(&id) {
                continue;
            }
            let record = shown.get(&id).cloned().unwrap_or_else(|| {
                old.faults.push(nothing_left(kind, &name));
                NamedRecord::with_nothing(kind, &name, self.assembler.now)
            });
            let frame = record.encode().map_err(StoreError::from)?;
            self.assembler.named(&record, &frame)?;
        }
        Ok(())
    }

    /// Whether the last event of a role, or of an owner, deletes it.
    fn is_deleted(&self, id: NamedId) -> bool {
        let newest = self.named.values().rfind(|event| event.subject == Subject::Named(id));
        newest.is_some_and(|event| {
            matches!(event.kind, EventKind::RoleDeleted { .. } | EventKind::OwnerPut { quota_to: None, .. })
        })
    }

    /// The roles, tenants and owners as their events show them.
    fn named_evidence(&self) -> BTreeMap<NamedId, NamedRecord> {
        let mut shown = after_events(self.named.values());
        for tenant in &self.ended {
            let tenant = NamedRecord::Tenant(tenant.clone());
            let left = shown.get(&tenant.id()).map_or_else(|| tenant.clone(), |left| left.met(&tenant));
            shown.insert(tenant.id(), left);
        }
        shown
    }

    /// Takes from roles, tenants and owners what their events show that they lost: a record may be of an earlier state. One that is as
    /// the events show it grants or leaves nothing if later events are lost.
    fn narrow_named(
        &mut self,
        old: &mut DamagedStore,
        shown: BTreeMap<NamedId, NamedRecord>,
        history: &History,
    ) -> Result<(), RestoreError> {
        if old.has_all_records {
            return Ok(());
        }
        let held: BTreeSet<NamedId> = old.named.iter().map(|(record, _)| record.id()).collect();
        let lost_to = history.gaps.last().map_or(0, |(_, last)| *last);
        let newest: BTreeMap<Subject, u64> = self.named.values().map(|event| (event.subject, event.number)).collect();
        for (id, mut left) in shown {
            let Some((record, frame)) = self.assembler.disk.named(id)? else { continue };
            let is_followed = newest.get(&Subject::Named(id)).is_none_or(|newest| *newest < lost_to);
            if !held.contains(&id) && is_followed && !left.is_ended() {
                if let Some(owner) = left.as_owner() {
                    let owner = owner.owner();
                    old.faults.push(format!("the quota of owner {owner} may have changed since: put it again"));
                } else {
                    old.faults.push(nothing_left(left.kind(), &left.name()));
                    left.clear();
                }
            }
            self.assembler.restrict_named(Some((&record, &frame)), &left)?;
        }
        Ok(())
    }

    fn event(&mut self, number: u64, event: &Event, frame: &[u8]) -> Result<(), RestoreError> {
        if let Subject::Named(_) = event.subject {
            self.named.insert(number, event.clone());
        }
        if let Some(key) = event.subject.key() {
            self.evidence.entry(key).or_default().note(event);
            match event.kind {
                EventKind::Purged => drop(self.lost.remove(&key)),
                _ if self.held.contains(&key) => {}
                _ => drop(self.lost.insert(key)),
            }
        }
        Ok(self.assembler.event(number, frame)?)
    }

    /// Adds what is whole anywhere in the files.
    fn search(&mut self, old: &mut DamagedStore, doubtful: &mut BTreeMap<u128, Record>) -> Result<(), RestoreError> {
        let mut purged = BTreeSet::new();
        let intact = old.has_all_records;
        old.search(|found| {
            match found {
                ScanItem::Event(event, frame) => {
                    if event.kind == EventKind::Purged {
                        purged.extend(event.subject.key());
                    }
                    if self.assembler.disk.has_event(event.number)? {
                        return Ok(());
                    }
                    self.event(event.number, &event, &frame)?;
                    self.assembler.flush()?;
                }
                ScanItem::Ended(tenant) => self.ended.push(*tenant),
                // Keeps the newest of the key's states, restricted by every other.
                ScanItem::Record(record) => match doubtful.entry(record.id) {
                    _ if self.held.contains(&record.id) => {
                        if record.revoked.is_some() {
                            self.evidence.entry(record.id).or_default().revoke(&record);
                        }
                    }
                    _ if intact => {}
                    Entry::Vacant(place) => drop(place.insert(*record)),
                    Entry::Occupied(mut place) => {
                        let (mut newer, older) = match place.get().version < record.version {
                            true => (*record, place.get().clone()),
                            false => (place.get().clone(), *record),
                        };
                        restrict_by_state(&mut newer, &older, false);
                        place.insert(newer);
                    }
                },
            }
            Ok::<_, RestoreError>(())
        })?;
        for id in purged {
            self.lost.remove(&id);
        }
        // Deleted keys are not added.
        doubtful.retain(|id, _| self.evidence.get(id).is_none_or(|evidence| !evidence.is_deleted()));
        Ok(())
    }

    fn write_history(&mut self, old: &DamagedStore) -> Result<History, RestoreError> {
        self.assembler.flush()?;
        let mut history = History::default();
        let mut checkpoint = old.checkpoint;
        let mut digest = [0; 32];
        let plain = Digester::plain();
        for item in self.assembler.disk.events(0) {
            let (number, frame) = item?;
            let event: Event = codec::decode(&frame).map_err(StoreError::from)?;
            let begin = *checkpoint.get_or_insert_with(|| match number {
                1 => Checkpoint::default(),
                _ => Checkpoint { number: number.saturating_sub(1), digest: event.previous },
            });
            let before = history.last.max(begin.number);
            if number.saturating_sub(before) > 1 {
                history.gaps.push((before + 1, number - 1));
            }
            history.events += 1;
            history.last = number;
            // Without the pepper the digest is unknown, unless the event is the last, whose digest the head has.
            digest = if event.pepper == 0 { plain.of(&frame) } else { Digest::default() };
        }
        if let Some(head) = old.head.filter(|head| head.number == history.last) {
            digest = head.digest;
        }
        if let Some(last) = old.number().filter(|last| *last > history.last) {
            history.gaps.push((history.last + 1, last));
        }
        // No number is ever given twice.
        let number = history.last.max(old.number().unwrap_or(0));
        let known = self.evidence.keys().next_back().copied().max(old.head.map(|head| head.last_id)).unwrap_or(0);
        let last_id = self.assembler.head.last_id.max(known);
        let head = Head { number, digest, last_id, ..self.assembler.head };
        self.assembler.set_history(head, &checkpoint.unwrap_or_default())?;
        Ok(history)
    }

    /// Restricts records that are older than their events.
    fn restrict_by_events(&mut self, doubtful: &BTreeMap<u128, Record>) -> Result<(), RestoreError> {
        let all: Vec<u128> = self.held.iter().chain(doubtful.keys()).copied().collect();
        for id in all {
            let (Some(evidence), Some((held, frame))) = (self.evidence.get(&id), self.assembler.disk.record(id)?)
            else {
                continue;
            };
            let mut after = held.clone();
            evidence.restrict(&mut after);
            self.assembler.restrict(&held, &frame, &after)?;
        }
        Ok(())
    }
}

/// The roles, the tenant and the owner of a key.
fn names_of(record: &Record) -> Vec<(Kind, String)> {
    let roles = record.roles.iter().map(|role| (Kind::Role, role.clone()));
    let owner = (Kind::Owner, identity::owner_text(record.owner()).into_owned());
    roles.chain(record.tenant.iter().map(|tenant| (Kind::Tenant, tenant.clone()))).chain([owner]).collect()
}

fn nothing_left(kind: Kind, name: &str) -> String {
    match kind {
        Kind::Role => format!("the permissions of role {name:?} may be lost: it grants nothing until you put it"),
        Kind::Tenant => {
            format!("the bounds of tenant {name:?} may be lost: its keys have no permission until you put it")
        }
        Kind::Owner => {
            let owner = identity::owner(name);
            format!("the quota of owner {owner} is lost: its keys have no uses until you put it")
        }
    }
}

#[derive(Default)]
struct History {
    events: u64,
    last: u64,
    gaps: Vec<(u64, u64)>,
}
