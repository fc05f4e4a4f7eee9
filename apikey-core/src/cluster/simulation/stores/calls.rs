//! The calls of a simulation: what services and operators do with keys, and what each answer promises.

use std::time::Duration;

use chrono::TimeDelta;

use crate::access::named::{Kind, NamedId};
use crate::base::runtime::Simulated;
use crate::cluster::node::change::ClusterOrder;
use crate::cluster::simulation::stores::history::actor;
use crate::cluster::simulation::stores::model::Model;
use crate::cluster::simulation::stores::plan::Course;
use crate::cluster::simulation::stores::promises::{Begun, Here, KnownKey, KnownRole, KnownToken, Promises};
use crate::cluster::simulation::stores::scheduler::{Process, Seat};
use crate::cluster::simulation::stores::verify::verify_everywhere;
use crate::commit::cluster::propagation::{Hold, Terms};
use crate::key::change::{Action, Change};
use crate::key::event::actor::Origin;
use crate::{ClusterError, CreatedKey, KeyId, KeyStore, KeyUpdate, NewKey, Overlap, Role, RotateOptions, StoreError};

const OWNERS: usize = 4;
const ROLES: usize = 2;
/// How long both secrets are valid after a rotation that names a time.
const OVERLAP: TimeDelta = TimeDelta::seconds(20);
/// The most keys of a run.
const KEYS: usize = 14;
/// The keys of a run that has calls of few kinds.
const FEW_KEYS: usize = 6;

/// Makes calls until `is_over`. `number` says which caller of its machine this is.
pub(super) fn call_until(model: &Model, seat: &Seat, store: &KeyStore, number: u64, is_over: impl Fn() -> bool) {
    let caller = Caller { model, store, machine: seat.process.machine, life: seat.process.life };
    loop {
        let span = model.scheduler.random(|random| random.span(model.faults().between_calls));
        seat.wait(Some(seat.now() + Duration::from_secs_f64(span)), &is_over);
        if is_over() {
            return;
        }
        if model.plan.course == Course::Storm {
            caller.storm(number);
        } else {
            caller.call();
        }
    }
}

struct Caller<'w> {
    model: &'w Model,
    store: &'w KeyStore,
    machine: usize,
    life: u64,
}

/// The keys that a call changes.
#[derive(Clone, Copy)]
enum Changes {
    New,
    Key(usize),
    Named(NamedId),
    All,
}

impl Caller<'_> {
    /// Makes some call.
    fn call(&self) {
        let keys = self.model.shared().promises.keys.len();
        let (what, key, owner) =
            self.model.scheduler.random(|random| (random.unit(), random.below(keys), random.below(OWNERS)));
        let may_create = keys < KEYS;
        if self.model.plan.course.edits_roles() {
            let (edits, role, widens) =
                self.model.scheduler.random(|random| (random.chance(0.5), random.below(ROLES), random.chance(0.5)));
            if edits {
                return self.put_role(role, widens);
            }
        }
        let rotates = self.model.plan.course == Course::Rotators;
        match what {
            _ if keys == 0 => self.create(owner),
            _ if rotates && keys == FEW_KEYS => self.stage_and_promote(key),
            _ if rotates => self.create(owner),
            share if share < 0.10 && may_create => self.create(owner),
            share if share < 0.16 && may_create => self.create_idempotent(owner),
            share if share < 0.20 && may_create => self.create_many(owner),
            share if share < 0.36 => self.revoke(key),
            share if share < 0.40 => self.revoke_owner(owner),
            share if share < 0.44 => self.purge(),
            share if share < 0.50 => self.update(key, Update::Disable),
            share if share < 0.56 => self.update(key, Update::Enable),
            share if share < 0.62 => self.update(key, Update::Narrow),
            share if share < 0.68 => self.update(key, Update::Widen),
            share if share < 0.72 => self.update(key, Update::Name),
            share if share < 0.79 => self.rotate(key, &RotateOptions::new(Overlap::UntilFirstUse)),
            share if share < 0.82 => self.rotate(key, &RotateOptions::new(Overlap::For(OVERLAP))),
            share if share < 0.87 => self.rotate(key, &RotateOptions::new(Overlap::None)),
            share if share < 0.92 => self.rotate_idempotent(key),
            share if share < 0.96 => self.replace(key),
            _ => self.stage_and_promote(key),
        }
    }

    /// The first machine revokes keys, and must succeed; the others change something all the time.
    fn storm(&self, number: u64) {
        let keys = self.model.shared().promises.keys.len();
        if self.machine > 0 {
            return match keys {
                0..FEW_KEYS => self.create(0),
                _ => self.update(0, Update::Name),
            };
        }
        if number > 0 {
            return;
        }
        let unrevoked = |key: &KnownKey| key.revoked.is_none();
        let next = self.model.shared().promises.keys.iter().skip(1).position(unrevoked);
        if let Some(at) = next {
            self.revoke(at + 1);
        }
    }

    fn begin(&self, changes: Changes) -> (Begun, KeyStore) {
        let mut shared = self.model.shared();
        let head = shared.history.head();
        // An engine that went back has lost presences, too: nothing holds everywhere before the nodes that had them serve
        // no longer.
        let is_safe = shared.unsafe_until <= self.model.scheduler.now();
        let begun = shared.promises.begin(head, is_safe);
        let touched = match changes {
            Changes::New => Some(0),
            Changes::Named(id) => Some(id),
            Changes::Key(key) => Some(shared.promises.keys[key].id.as_u128()),
            Changes::All => None,
        };
        shared.changing.insert(begun.call, (self.machine, touched));
        (begun, self.store.as_actor(actor(begun.call)))
    }

    /// Whether there is somebody whom a call answers: its process is not killed.
    fn is_answered(&self) -> bool {
        !self.model.scheduler.is_killed(Process { machine: self.machine, life: self.life })
    }

    /// Takes in the answer of a call. `changed` says whether a successful one changed something.
    fn end<T>(&self, begun: &Begun, name: &'static str, takes: bool, result: &Result<T, StoreError>, changed: bool) {
        let is_answered = self.is_answered();
        let mut shared = self.model.shared();
        shared.changing.remove(&begun.call);
        shared.promises.purging -= u64::from(name == "purges");
        shared.promises.purges += u64::from(name == "purges");
        let machine = &mut shared.machines[self.machine];
        machine.compared = None;
        if !is_answered || shared.promises.times_back != begun.times_back {
            return;
        }
        shared.counts.count(name);
        if crate::cluster::simulation::replayed().is_some() {
            let error = result.as_ref().err().map(ToString::to_string);
            let entry = shared.promises.calls.get(&begun.call).and_then(|call| call.entry);
            let now = self.model.scheduler.now().as_secs_f64();
            println!("{now:10.4} machine {}: call {} ({name}) at {entry:?}: {error:?}", self.machine, begun.call);
        }
        let answer = match result {
            Ok(_) => "answers: ok",
            Err(StoreError::Cluster(ClusterError::Refused { .. })) => "answers: refused",
            Err(StoreError::Cluster(ClusterError::Unknown { .. })) => "answers: unknown",
            Err(StoreError::Cluster(ClusterError::Busy { .. })) => "answers: busy",
            Err(StoreError::Cluster(ClusterError::OnlyHere { .. })) => "answers: only here",
            Err(StoreError::Cluster(ClusterError::Stopped { .. })) => "answers: stopped",
            Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => "answers: conflict or not found",
            Err(_) => "answers: other errors",
        };
        shared.counts.count(answer);
        let fault = match result {
            Ok(_) => shared.promises.succeeded(begun, name, takes, changed),
            Err(StoreError::Cluster(
                ClusterError::Unknown { .. } | ClusterError::OnlyHere { .. } | ClusterError::Stopped { .. },
            ))
            | Err(StoreError::Closed | StoreError::Io { .. } | StoreError::NotDurable { .. }) => None,
            Err(error) => shared.promises.was_refused(begun, name, error),
        };
        drop(shared);
        if let Some(fault) = fault {
            self.model.violated(|| fault);
        }
        if takes && result.is_ok() {
            verify_everywhere(self.model);
        }
    }

    fn create(&self, owner: usize) {
        let (begun, store) = self.begin(Changes::New);
        let result = store.create(self.new_key(owner));
        self.end(&begun, "creates", false, &result, true);
        self.keep_created(&begun, owner, result.as_ref().ok().into_iter(), false);
    }

    fn create_many(&self, owner: usize) {
        let (begun, store) = self.begin(Changes::New);
        let result = store.create_many((0..3).map(|_| self.new_key(owner)));
        self.end(&begun, "creates of many", false, &result, true);
        self.keep_created(&begun, owner, result.iter().flatten(), false);
    }

    fn create_idempotent(&self, owner: usize) {
        let name = format!("request-{}", self.model.scheduler.random(|random| random.below(6)));
        let (begun, store) = self.begin(Changes::All);
        let result = store.create(new_key(0).name(&name).idempotency_key(&name));
        self.end(&begun, "idempotent creates", false, &result, true);
        if let Ok(created) = &result {
            let mut shared = self.model.shared();
            let before = shared.promises.requests.insert(name, created.info.id());
            let is_new = before.is_none();
            let may_differ = shared.promises.times_back != begun.times_back
                || before.is_some_and(|id| shared.promises.find(id).is_none_or(|key| key.may_be_purged));
            drop(shared);
            if before.is_some_and(|id| id != created.info.id()) && !may_differ {
                self.model.violated(|| "the same request created two keys".to_owned());
            }
            if is_new || may_differ {
                return self.keep_created(&begun, owner, Some(created).into_iter(), true);
            }
            self.keep_secret(&begun, created, true);
        }
    }

    fn keep_created<'c>(
        &self,
        begun: &Begun,
        owner: usize,
        created: impl Iterator<Item = &'c CreatedKey>,
        idempotent: bool,
    ) {
        let mut shared = self.model.shared();
        if shared.promises.times_back != begun.times_back {
            return;
        }
        for created in created {
            let owner = if idempotent { 0 } else { owner };
            // Also by a purge that ended before the call had its answer.
            let may_be_purged = shared.promises.purging > 0 || shared.promises.purges > begun.purges;
            shared.promises.keys.push(KnownKey { may_be_purged, ..KnownKey::new(created, owner, idempotent) });
        }
    }

    /// Keeps the new secret of a key. Its first use ends those before it, or their time does, by the clock of each machine.
    fn keep_secret(&self, begun: &Begun, created: &CreatedKey, ends_by_use: bool) {
        let mut shared = self.model.shared();
        if shared.promises.times_back == begun.times_back
            && let Some(key) = shared.promises.find_mut(created.info.id())
        {
            key.tokens.push(KnownToken::new(created, ends_by_use));
        }
    }

    fn id(&self, key: usize) -> KeyId {
        self.model.shared().promises.keys[key].id
    }

    fn key<T>(&self, begun: &Begun, key: usize, work: impl FnOnce(&mut KnownKey) -> T) -> Option<T> {
        let mut shared = self.model.shared();
        (shared.promises.times_back == begun.times_back).then(|| work(&mut shared.promises.keys[key]))
    }

    fn revoke(&self, key: usize) {
        let (begun, store) = self.begin(Changes::Key(key));
        self.model.shared().promises.takes_at_once(begun.call, key);
        let result = store.revoke(self.id(key), "leaked");
        if result.is_ok() && self.is_answered() {
            self.key(&begun, key, |key| key.revoked = Some(begun.call));
        }
        self.note_only_here(&begun, key, &result);
        self.end(&begun, "revocations", true, &result, matches!(result, Ok(true)));
        self.check_found(&begun, key, &result);
        if result.is_ok() {
            self.check_revoked(&begun, &[key]);
        }
        if self.model.plan.course == Course::Storm
            && matches!(result, Err(StoreError::Cluster(ClusterError::Busy { .. } | ClusterError::OnlyHere { .. })))
        {
            self.model.violated(|| format!("call {} starves: a revocation does not get into the log", begun.call));
        }
    }

    fn revoke_owner(&self, owner: usize) {
        let (begun, store) = self.begin(Changes::All);
        let known: Vec<usize> = {
            let shared = self.model.shared();
            let its = shared.promises.keys.iter().enumerate().filter(|(_, key)| key.owner == owner);
            its.map(|(at, _)| at).collect()
        };
        // It goes on until it finds no key that is left.
        self.model.shared().promises.calls.entry(begun.call).or_default().has_parts = true;
        let result = store.revoke_owner(&format!("owner{owner}"), "left");
        if result.is_ok() && self.is_answered() {
            for key in &known {
                self.key(&begun, *key, |key| key.revoked = Some(begun.call));
            }
        }
        self.end(&begun, "revocations of an owner", true, &result, matches!(result, Ok(1..)));
        if result.is_ok() {
            self.check_revoked(&begun, &known);
        }
    }

    fn purge(&self) {
        let (begun, store) = self.begin(Changes::All);
        {
            let mut shared = self.model.shared();
            shared.promises.purging += 1;
            shared.promises.keys.iter_mut().for_each(|key| key.may_be_purged = true);
        }
        self.model.shared().promises.calls.entry(begun.call).or_default().has_parts = true;
        let result = store.purge(store.now() + chrono::TimeDelta::days(1));
        self.end(&begun, "purges", true, &result, matches!(result, Ok(1..)));
    }

    fn update(&self, key: usize, update: Update) {
        let gives = matches!(update, Update::Enable | Update::Widen);
        let (begun, store) = self.begin(Changes::Key(key));
        let was_giving = self.key(&begun, key, |key| {
            if gives {
                (key.giving, key.gave) = (key.giving + 1, key.gave + 1);
                if update == Update::Enable { key.disabled = None } else { key.narrowed = None }
            }
            (key.giving, key.gave)
        });
        let fields = match update {
            Update::Disable => KeyUpdate::new().disabled(true),
            Update::Enable => KeyUpdate::new().disabled(false),
            Update::Narrow => KeyUpdate::new().remove_permissions(["orders:write"]),
            Update::Widen => KeyUpdate::new().add_permissions(["orders:write"]),
            Update::Name => KeyUpdate::new().name(format!("name-{}", begun.call)),
        };
        let result = store.update(self.id(key), fields);
        let is_clear = matches!(result, Ok(_) | Err(StoreError::Conflict(_) | StoreError::NotFound(_)))
            || matches!(result, Err(StoreError::Cluster(ClusterError::Refused { .. } | ClusterError::Busy { .. })));
        let is_answered = self.is_answered();
        self.key(&begun, key, |key| {
            if gives {
                key.giving -= 1;
                key.is_unclear |= !is_clear;
            }
            let is_alone = was_giving == Some((0, key.gave)) && !key.is_unclear;
            if result.is_ok() && is_alone && is_answered {
                match update {
                    Update::Disable => key.disabled = Some(begun.call),
                    Update::Narrow => key.narrowed = Some(begun.call),
                    _ => {}
                }
            }
        });
        let takes = matches!(update, Update::Disable | Update::Narrow);
        self.end(&begun, update.name(), takes, &result, false);
        self.check_found(&begun, key, &result);
    }

    /// The name of a role. After the engine has gone back others are in use.
    fn role(&self, role: usize) -> String {
        format!("role{role}-{}", self.model.shared().promises.times_back)
    }

    /// A new key, with a role if there is one.
    fn new_key(&self, owner: usize) -> NewKey {
        let role = self.role(owner % ROLES);
        let exists = self.model.shared().promises.roles.get(&role).is_some_and(|role| role.exists);
        new_key(owner).roles(exists.then_some(role))
    }

    fn put_role(&self, role: usize, widens: bool) {
        let name = self.role(role);
        let (begun, store) = self.begin(Changes::Named(Kind::Role.id(&name)));
        // Where there is no role, one that grants little takes nothing, and its answer waits for nobody.
        let takes = !widens && self.model.shared().promises.roles.get(&name).is_some_and(|role| role.exists);
        let known = |work: &dyn Fn(&mut KnownRole) -> (u64, u64)| {
            let mut shared = self.model.shared();
            let is_promised = shared.promises.times_back == begun.times_back;
            is_promised.then(|| work(shared.promises.roles.entry(name.clone()).or_default()))
        };
        let was_giving = known(&|role| {
            if widens {
                (role.giving, role.gave, role.narrowed) = (role.giving + 1, role.gave + 1, None);
            }
            (role.giving, role.gave)
        });
        let grants = if widens { &["stock:read", "stock:write"][..] } else { &["stock:read"] };
        let result = store.put_role(Role::new(&name).permissions(grants));
        let is_clear = result.is_ok()
            || matches!(result, Err(StoreError::Cluster(ClusterError::Refused { .. } | ClusterError::Busy { .. })));
        let is_answered = self.is_answered();
        known(&|role| {
            role.exists |= result.is_ok();
            if widens {
                role.giving = role.giving.saturating_sub(1);
                role.is_unclear |= !is_clear;
            } else if takes && result.is_ok() && is_answered && was_giving == Some((0, role.gave)) && !role.is_unclear {
                role.narrowed = Some(begun.call);
            }
            (role.giving, role.gave)
        });
        let what = if widens { "widenings of a role" } else { "narrowings of a role" };
        self.end(&begun, what, takes, &result, matches!(result, Ok(true)));
    }

    fn rotate(&self, key: usize, options: &RotateOptions) {
        let (begun, store) = self.begin(Changes::Key(key));
        let result = store.rotate_with(self.id(key), options);
        self.rotated(&begun, key, &result, options.overlap, "rotations");
    }

    fn rotate_idempotent(&self, key: usize) {
        let name = format!("rotation-{}", self.model.scheduler.random(|random| random.below(2)));
        self.model.shared().promises.keys[key].is_idempotent = true;
        self.rotate(key, &RotateOptions::new(Overlap::UntilFirstUse).idempotency_key(name));
    }

    fn replace(&self, key: usize) {
        let (begun, store) = self.begin(Changes::Key(key));
        let result = store.replace_leaked(self.id(key), "leaked");
        if matches!(result, Err(StoreError::Cluster(ClusterError::OnlyHere { .. }))) && self.is_answered() {
            let newest = self.store.get(self.id(key)).ok().flatten().map_or(0, |info| info.version());
            let mut shared = self.model.shared();
            let key = &mut shared.promises.keys[key];
            key.replaced_here.insert(self.machine);
            key.end_here(self.machine, Here::Life(self.life), newest + 1);
        }
        if matches!(result, Err(StoreError::Io { .. })) {
            // The node ends its secrets once it can read the replica again, and promises nothing.
            self.model.shared().promises.keys[key].replaced_here.insert(self.machine);
        }
        self.rotated(&begun, key, &result, Overlap::None, "replacements");
    }

    fn rotated(
        &self,
        begun: &Begun,
        key: usize,
        result: &Result<CreatedKey, StoreError>,
        overlap: Overlap,
        name: &'static str,
    ) {
        if let Ok(created) = result {
            self.keep_secret(begun, created, !matches!(overlap, Overlap::For(_)));
            if overlap == Overlap::None && self.is_answered() {
                self.key(begun, key, |key| key.end_before(created.info.version(), begun.call));
            }
        }
        self.end(begun, name, true, result, true);
        self.check_found(begun, key, result);
    }

    /// What a rotator does: it stages a secret, delivers it, and makes it the current one, while it has the hold.
    fn stage_and_promote(&self, key: usize) {
        let id = self.id(key).as_u128();
        let inner = self.store.inner();
        if !inner.engine.may_rotate() {
            return;
        }
        let terms = Terms { hold: Some(Hold::Rotator), ..Terms::default() };
        let (begun, _) = self.begin(Changes::Key(key));
        self.holds(&begun);
        let change =
            |action: Action| Change { origin: Origin::actor(actor(begun.call)), ..inner.engine.change_of(id, action) };
        let mut token = None;
        let staged = inner.engine.change_on(terms, |writer, disk| {
            let is_good = disk
                .record(id)?
                .is_some_and(|(record, _)| record.revoked.is_none() && !record.disabled && record.secrets.len() == 1);
            if !is_good {
                return Ok(Vec::new());
            }
            let (new, secret) = inner.new_secret(KeyId::from_u128(id), writer)?;
            token = Some(new);
            Ok(vec![change(Action::Stage { secret, overlap_ms: None, doubtful: false })])
        });
        let version = staged.as_ref().ok().and_then(|outcomes| Some(outcomes.first()?.after.as_ref()?.version));
        self.end(&begun, "stagings", false, &staged, version.is_some());
        let (Some(token), Some(version)) = (token, version) else { return };
        self.key(&begun, key, |key| key.tokens.push(KnownToken::of(token.expose_secret(), version, true)));
        let (begun, _) = self.begin(Changes::Key(key));
        self.holds(&begun);
        let change =
            |action: Action| Change { origin: Origin::actor(actor(begun.call)), ..inner.engine.change_of(id, action) };
        let promoted = inner.engine.change_on(terms, |_, _| Ok(vec![change(Action::Promote { version })]));
        self.end(&begun, "promotions", true, &promoted, false);
    }

    /// A call is made by the rotator with the hold that this node has.
    fn holds(&self, begun: &Begun) {
        let held = ClusterOrder::node_of(&self.store.inner().engine)
            .state()
            .holds
            .get(&Hold::Rotator)
            .map(|fence| fence.value.clone());
        self.model.shared().promises.calls.entry(begun.call).or_default().held = held;
    }

    /// Notes what holds on this machine alone.
    fn note_only_here<T>(&self, begun: &Begun, key: usize, result: &Result<T, StoreError>) {
        let Err(StoreError::Cluster(ClusterError::OnlyHere { is_kept, .. })) = result else { return };
        if !self.is_answered() {
            return;
        }
        let has_disk = self.model.shared().machines[self.machine].disk.is_some();
        let here = if *is_kept && has_disk { Here::Directory } else { Here::Life(self.life) };
        self.key(begun, key, |key| key.end_here(self.machine, here, u32::MAX));
    }

    /// A key of which a caller knew is there.
    fn check_found<T>(&self, begun: &Begun, key: usize, result: &Result<T, StoreError>) {
        let is_gone = self.key(begun, key, |key| key.may_be_purged).unwrap_or(true);
        if matches!(result, Err(StoreError::NotFound(_))) && !is_gone {
            self.model.violated(|| format!("call {}: key {key} is not found, and was created before", begun.call));
        }
    }

    /// The log has the keys as revoked, or no longer.
    fn check_revoked(&self, begun: &Begun, keys: &[usize]) {
        let shared = self.model.shared();
        if shared.promises.times_back != begun.times_back {
            return;
        }
        let id = |key: &usize| shared.promises.keys[*key].id.as_u128();
        let lacks = |key: &&usize| shared.history.record(id(key)).is_some_and(|record| record.revoked.is_none());
        let lacking = keys.iter().find(lacks).copied();
        drop(shared);
        if let Some(key) = lacking {
            self.model.violated(|| format!("call {} has revoked key {key}, and the log has not", begun.call));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Update {
    Disable,
    Enable,
    Narrow,
    Widen,
    Name,
}

impl Update {
    fn name(self) -> &'static str {
        match self {
            Self::Disable => "disablings",
            Self::Enable => "enablings",
            Self::Narrow => "narrowings",
            Self::Widen => "widenings",
            Self::Name => "renamings",
        }
    }
}

fn new_key(owner: usize) -> NewKey {
    NewKey::for_owner(format!("owner{owner}")).permissions(["orders:read", "orders:write"])
}

impl Promises {
    fn takes_at_once(&mut self, call: u64, key: usize) {
        self.calls.entry(call).or_default().takes_at_once = Some(key);
    }
}
