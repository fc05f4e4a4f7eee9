//! Random sequences of changes against a model of a few lines. After every step, each token that was ever issued
//! verifies as the model says, and each key is listed as the model says.

use std::collections::BTreeMap;

use apikey::{
    CapViolation, Conflict, CreatedKey, ImportScheme, Imported, KeyFilter, KeyId, KeyInfo, KeyState, KeyStore,
    KeyUpdate, ManualClock, NewKey, Overlap, Pepper, StoreError, VerifiedKey,
};
use apikey_testkit::{all, code, ms, start};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::proptest_config::cases;
use crate::store::model_key::{End, Key};

#[derive(Debug, Clone)]
enum Step {
    Create {
        owner: usize,
        grants: usize,
        not_before: Option<i64>,
        expires_at: Option<i64>,
        imported: bool,
    },
    CreateMany(usize),
    Name(Index, Option<u8>),
    Grants(Index, usize),
    End(Index, Option<i64>),
    Disable(Index, bool),
    Metadata(Index, u8, bool),
    Rotate(Index, Overlap),
    RotateWithin(Index, Overlap, Index),
    /// Verifies a token, which may be a first use.
    Use(Index),
    Revoke(Index),
    RevokeOwner(usize),
    Purge(i64),
    Advance(i64),
    Reopen,
}

const OWNERS: [&str; 3] = ["alice", "bob", "alice b"];
const GRANTS: [&[&str]; 4] = [&[], &["orders:read"], &["orders:*"], &["users:read", "*"]];
const PERMISSIONS: [&str; 3] = ["orders:read", "users:read", "orders:items:read"];

fn covers(actor: usize, target: usize) -> bool {
    // Each set covers those before it.
    actor >= target
}

/// Whether a set of grants lifts every other bound of an acting key.
fn is_unbounded(actor: usize) -> bool {
    GRANTS[actor].contains(&"*")
}

fn overlap() -> impl Strategy<Value = Overlap> {
    prop_oneof![
        1 => Just(Overlap::None),
        1 => (1..60_i64).prop_map(|span| Overlap::For(ms(span))),
        2 => Just(Overlap::UntilFirstUse)
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let key = any::<Index>;
    let time = || prop::option::of(-20..60_i64);
    prop_oneof![
        3 => (0..3_usize, 0..4_usize, time(), time(), prop::bool::weighted(0.2)).prop_map(
            |(owner, grants, not_before, expires_at, imported)| Step::Create { owner, grants, not_before, expires_at, imported }
        ),
        1 => (0..4_usize).prop_map(Step::CreateMany),
        1 => (key(), prop::option::of(0..3_u8)).prop_map(|(key, name)| Step::Name(key, name)),
        2 => (key(), 0..4_usize).prop_map(|(key, grants)| Step::Grants(key, grants)),
        2 => (key(), time()).prop_map(|(key, end)| Step::End(key, end)),
        2 => (key(), prop::bool::weighted(0.4)).prop_map(|(key, disabled)| Step::Disable(key, disabled)),
        1 => (key(), 0..3_u8, any::<bool>()).prop_map(|(key, entry, there)| Step::Metadata(key, entry, there)),
        6 => (key(), overlap()).prop_map(|(key, overlap)| Step::Rotate(key, overlap)),
        1 => (key(), overlap(), key()).prop_map(|(key, overlap, actor)| Step::RotateWithin(key, overlap, actor)),
        5 => key().prop_map(Step::Use),
        1 => key().prop_map(Step::Revoke),
        1 => (0..3_usize).prop_map(Step::RevokeOwner),
        1 => (-30..30_i64).prop_map(Step::Purge),
        4 => (1..30_i64).prop_map(Step::Advance),
        2 => Just(Step::Reopen),
    ]
}

struct Model {
    directory: Option<tempfile::TempDir>,
    clock: ManualClock,
    now: DateTime<Utc>,
    store: Option<KeyStore>,
    keys: BTreeMap<KeyId, Key>,
    /// Every id and every token that ever existed.
    ids: Vec<KeyId>,
    tokens: Vec<(KeyId, String)>,
    /// Keys verified earlier, with their tokens, for as long as the store is open.
    verified: Vec<(VerifiedKey, KeyId, String)>,
    foreign: usize,
}

impl Model {
    fn new(on_disk: bool) -> Self {
        let clock = ManualClock::new(start());
        let directory = on_disk.then(|| tempfile::tempdir().unwrap());
        let mut model = Self {
            directory,
            clock,
            now: start(),
            store: None,
            keys: BTreeMap::new(),
            ids: Vec::new(),
            tokens: Vec::new(),
            verified: Vec::new(),
            foreign: 0,
        };
        model.open();
        model
    }

    fn open(&mut self) {
        let builder = KeyStore::builder().clock(self.clock.clone()).pepper(Pepper::new(1, "the pepper of the model"));
        self.store = Some(match &self.directory {
            Some(directory) => builder.open(directory.path()).unwrap(),
            None => builder.temporary().unwrap(),
        });
    }

    fn store(&self) -> &KeyStore {
        self.store.as_ref().unwrap()
    }

    fn id(&self, index: &Index) -> Option<KeyId> {
        if self.ids.is_empty() { None } else { Some(*index.get(&self.ids)) }
    }

    fn time(&self, offset: Option<i64>) -> Option<DateTime<Utc>> {
        offset.map(|offset| self.now + ms(offset))
    }

    fn insert(&mut self, created: &CreatedKey, mut key: Key) {
        let id = created.info.id();
        assert!(self.ids.iter().all(|older| *older < id), "ids rise");
        key.issue(created);
        self.ids.push(id);
        self.tokens.push((id, created.key.expose_secret().to_owned()));
        self.keys.insert(id, key);
    }

    fn fresh(&self, owner: usize, grants: usize) -> Key {
        Key {
            owner,
            name: None,
            grants,
            metadata: BTreeMap::new(),
            created_at: self.now,
            not_before: None,
            expires_at: None,
            disabled: false,
            revoked: None,
            last_used_at: None,
            version: 0,
            secrets: Vec::new(),
        }
    }

    fn verdict(&self, id: KeyId, token: &str) -> &'static str {
        let key = self.keys.get(&id).filter(|key| key.secrets.iter().any(|secret| secret.token == token));
        key.map_or("invalid_api_key", |key| key.state(self.now))
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Create { owner, grants, not_before, expires_at, imported } => {
                let mut new = NewKey::for_owner(OWNERS[*owner]).permissions(GRANTS[*grants]);
                let mut key = self.fresh(*owner, *grants);
                (key.not_before, key.expires_at) = (self.time(*not_before), self.time(*expires_at));
                if let Some(start) = key.not_before {
                    new = new.not_before(start);
                }
                if let Some(end) = key.expires_at {
                    new = new.expires_at(end);
                }
                if *imported {
                    self.foreign += 1;
                    let foreign = format!("legacy-0123456789abcdefghij-{}", self.foreign);
                    new = new.imported(Imported::raw(foreign), ImportScheme::Whole);
                }
                let created = self.store().create(new);
                let has_come = !*imported && key.expires_at.is_some_and(|end| end <= self.now);
                if has_come || key.not_before.zip(key.expires_at).is_some_and(|(start, end)| end <= start) {
                    assert!(matches!(created, Err(StoreError::Invalid { .. })), "{created:?}");
                } else {
                    self.insert(&created.unwrap(), key);
                }
            }
            Step::CreateMany(count) => {
                let created = self.store().create_many((0..*count).map(|n| NewKey::for_owner(OWNERS[n % 3]))).unwrap();
                assert_eq!(created.len(), *count);
                for (n, created) in created.iter().enumerate() {
                    self.insert(created, self.fresh(n % 3, 0));
                }
            }
            Step::Name(key, None) => self.update(key, KeyUpdate::new().without_name(), |key| key.name = None),
            Step::Name(key, Some(n)) => {
                self.update(key, KeyUpdate::new().name(format!("name {n}")), |key| {
                    key.name = Some(format!("name {n}"))
                });
            }
            Step::Grants(key, grants) => {
                self.update(key, KeyUpdate::new().permissions(GRANTS[*grants]), |key| key.grants = *grants);
            }
            Step::Disable(key, off) => self.update(key, KeyUpdate::new().disabled(*off), |key| key.disabled = *off),
            Step::End(key, end) => {
                let end = self.time(*end);
                self.update(key, KeyUpdate::new().expires_at(end), |key| key.expires_at = end);
            }
            Step::Metadata(key, entry, true) => {
                let update = KeyUpdate::new().metadata(entry.to_string(), "value");
                self.update(key, update, |key| drop(key.metadata.insert(entry.to_string(), "value".into())));
            }
            Step::Metadata(key, entry, false) => {
                let update = KeyUpdate::new().without_metadata(entry.to_string());
                self.update(key, update, |key| drop(key.metadata.remove(&entry.to_string())));
            }
            Step::Rotate(key, overlap) => self.rotate(key, *overlap, None),
            Step::RotateWithin(key, overlap, actor) => {
                if !self.verified.is_empty() {
                    let actor = actor.get(&self.verified).clone();
                    self.rotate(key, *overlap, Some(actor));
                }
            }
            Step::Use(token) => {
                if !self.tokens.is_empty() {
                    let (id, token) = token.get(&self.tokens).clone();
                    self.verify(id, &token);
                }
            }
            Step::Revoke(key) => {
                let Some(id) = self.id(key) else { return };
                let revoked = self.store().revoke(id, format!("at {}", self.now));
                match self.keys.get_mut(&id) {
                    None => assert!(matches!(revoked, Err(StoreError::NotFound(_))), "{revoked:?}"),
                    Some(key) => {
                        revoked.unwrap();
                        key.revoked.get_or_insert((self.now, format!("at {}", self.now)));
                    }
                }
            }
            Step::RevokeOwner(owner) => {
                let revoked = self.store().revoke_owner(OWNERS[*owner], "left").unwrap();
                let keys = self.keys.values_mut().filter(|key| key.owner == *owner && key.revoked.is_none());
                assert_eq!(keys.map(|key| key.revoked = Some((self.now, "left".into()))).count(), revoked);
            }
            Step::Purge(offset) => {
                let (before, now) = (self.now + ms(*offset), self.now);
                let purged = self.store().purge(before).unwrap();
                let count = self.keys.len();
                self.keys.retain(|_, key| {
                    let revoked = key.revoked.as_ref().is_some_and(|(at, _)| *at < before);
                    !(revoked || key.expired(now) && key.expires_at.is_some_and(|end| end < before))
                });
                assert_eq!(count - self.keys.len(), purged);
            }
            Step::Advance(by) => {
                self.now += ms(*by * 50);
                self.clock.set(self.now);
                let now = self.now;
                self.keys.values_mut().for_each(|key| key.tick(now));
            }
            Step::Reopen => {
                if self.directory.is_some() {
                    let store = self.store.take().unwrap();
                    if self.now.timestamp_millis() % 100 < 50 {
                        store.close().unwrap();
                    }
                    drop(store);
                    self.verified.clear();
                    self.open();
                }
            }
        }
    }

    fn update(&mut self, key: &Index, update: KeyUpdate, change: impl FnOnce(&mut Key)) {
        let Some(id) = self.id(key) else { return };
        let updated = self.store().update(id, update);
        let now = self.now;
        let Some(key) = self.keys.get_mut(&id) else {
            return assert!(matches!(updated, Err(StoreError::NotFound(_))), "{updated:?}");
        };
        if key.revoked.is_some() {
            return assert!(matches!(updated, Err(StoreError::Conflict(Conflict::Revoked))), "{updated:?}");
        }
        let mut after = key.clone();
        change(&mut after);
        let has_come = after.expires_at != key.expires_at && after.expires_at.is_some_and(|end| end <= now);
        if has_come || after.not_before.zip(after.expires_at).is_some_and(|(start, end)| end <= start) {
            return assert!(matches!(updated, Err(StoreError::Invalid { field: "expires_at", .. })), "{updated:?}");
        }
        *key = after;
        same(&updated.unwrap(), id, key);
    }

    fn rotate(&mut self, key: &Index, overlap: Overlap, actor: Option<(VerifiedKey, KeyId, String)>) {
        let Some(id) = self.id(key) else { return };
        let rotated = match &actor {
            Some((actor, ..)) => self.store().rotate_within(id, overlap, actor),
            None => self.store().rotate(id, overlap),
        };
        let now = self.now;
        let target = self.keys.get(&id);
        // More than the actor may grant, or to itself.
        let mut beyond = false;
        let mut outlives = None;
        if let Some((_, actor, token)) = actor {
            let good = self.verdict(actor, &token) == "ok";
            let covered = || {
                target.is_none_or(|target| {
                    let actor = &self.keys[&actor];
                    let is_owner = actor.owner == target.owner || is_unbounded(actor.grants);
                    is_owner && covers(actor.grants, target.grants)
                })
            };
            if !good || !(actor == id || covered()) {
                // An actor that was purged is no actor any more, whatever it saw.
                let is_owner = |target: &Key, actor: &Key| actor.owner == target.owner || is_unbounded(actor.grants);
                let sees =
                    target.is_none_or(|target| self.keys.get(&actor).is_none_or(|actor| is_owner(target, actor)));
                let excess = matches!(
                    (&rotated, good),
                    (Err(StoreError::Exceeds(CapViolation::Target(_))), true)
                        | (Err(StoreError::Exceeds(CapViolation::Actor(_))), false)
                );
                // A key that does not exist, to the actor, exceeds nothing.
                let missing = (target.is_none() || (good && !sees)) && matches!(rotated, Err(StoreError::NotFound(_)));
                return assert!(excess || missing, "{rotated:?}");
            }
            let actor_key = &self.keys[&actor];
            if actor == id {
                let its = actor_key.secrets.iter().find(|secret| secret.token == token).unwrap();
                outlives = if let End::At(end) = its.end { Some(end) } else { None };
            } else if let (Some(target), Some(end)) = (target, actor_key.expires_at) {
                beyond = !is_unbounded(actor_key.grants) && target.expires_at.is_none_or(|later| later > end);
            }
        }
        let Some(key) = self.keys.get_mut(&id) else {
            return assert!(matches!(rotated, Err(StoreError::NotFound(_))), "{rotated:?}");
        };
        let mut after = key.clone();
        let expected = after.rotate(overlap, now);
        if expected.is_ok() && beyond {
            return assert!(matches!(rotated, Err(StoreError::Exceeds(CapViolation::End { .. }))), "{rotated:?}");
        }
        let expected = match outlives {
            Some(end) if expected.is_ok() => Err(Conflict::Overlapping { until: Some(end) }),
            _ => expected,
        };
        if expected.is_ok() {
            *key = after;
        }
        match (expected, rotated) {
            (Ok(()), Ok(created)) => {
                key.issue(&created);
                same(&created.info, id, key);
                self.tokens.push((id, created.key.expose_secret().to_owned()));
            }
            (Err(expected), Err(StoreError::Conflict(found))) => assert_eq!(found, expected),
            (expected, found) => panic!("{expected:?} is expected: {found:?}"),
        }
    }

    fn verify(&mut self, id: KeyId, token: &str) {
        let expected = self.verdict(id, token);
        let found = self.store().verify(token);
        let code = found.as_ref().map_or_else(apikey::AuthError::code, |_| "ok");
        if code == "rotated_api_key" {
            // The model knows what has ended, and not which of it the store tells from a stranger.
            let state = self.store().get(id).unwrap().unwrap().state(self.now);
            assert_eq!((expected, state), ("invalid_api_key", KeyState::Active), "{id}");
            return;
        }
        assert_eq!(code, expected, "{id}");
        let Ok(verified) = found else { return };
        let now = self.now;
        let key = self.keys.get_mut(&id).unwrap();
        let secret = key.secrets.iter().find(|secret| secret.token == token).unwrap();
        assert_eq!((verified.id(), verified.owner()), (id, OWNERS[key.owner]));
        assert_eq!(verified.secret_version(), secret.version);
        let (superseded, until) = match secret.end {
            End::Never => (false, None),
            // The secret ends with the key, if that ends earlier.
            End::At(end) => (true, Some(key.expires_at.map_or(end, |expires| end.min(expires)))),
            End::FirstUse => (true, None),
        };
        assert_eq!((verified.superseded(), verified.superseded_until()), (superseded, until));
        for (at, permission) in PERMISSIONS.iter().enumerate() {
            let given = [false, at == 0, at != 1, true][key.grants];
            assert_eq!(verified.allows(permission), given, "{permission}");
        }
        key.use_secret(token, now);
        self.verified.push((verified, id, token.to_owned()));
        if self.verified.len() > 30 {
            self.verified.remove(0);
        }
    }

    /// Compares every answer that changes nothing.
    fn look(&mut self) {
        for (id, token) in self.tokens.clone() {
            // The first use of a new secret is a change, so it is a step of its own.
            let first_use = self.keys.get(&id).is_some_and(|key| {
                key.secrets.len() > 1 && key.secrets.last().is_some_and(|newest| newest.token == token && !newest.used)
            });
            if !first_use || self.verdict(id, &token) != "ok" {
                self.verify(id, &token);
            }
        }
        for (verified, id, token) in &self.verified {
            let found = self.store().recheck(verified).map_or_else(|error| error.code(), |()| "ok");
            assert_eq!(found, self.verdict(*id, token), "recheck of {id}");
        }
        for id in &self.ids {
            match (self.store().get(*id).unwrap(), self.keys.get(id)) {
                (Some(info), Some(key)) => same(&info, *id, key),
                (None, None) => {}
                (found, _) => panic!("{id}: {found:?}"),
            }
        }
        let listed = |filter: KeyFilter| all(self.store(), &filter).iter().map(KeyInfo::id).collect::<Vec<_>>();
        let expected = |admits: &dyn Fn(&Key) -> bool| {
            self.keys.iter().filter(|(_, key)| admits(key)).map(|(id, _)| *id).collect::<Vec<_>>()
        };
        assert_eq!(listed(KeyFilter::default().limit(3)), expected(&|_| true));
        for (at, owner) in OWNERS.into_iter().enumerate() {
            assert_eq!(listed(KeyFilter::owner(owner).limit(2)), expected(&|key| key.owner == at), "{owner}");
        }
        let none = "of no key: each has a newest secret";
        let codes =
            ["revoked_api_key", "disabled_api_key", "expired_api_key", "idle_api_key", none, "inactive_api_key", "ok"];
        for (state, code) in KeyState::ALL.into_iter().zip(codes) {
            assert_eq!(
                listed(KeyFilter::default().state(state)),
                expected(&|key| key.state(self.now) == code),
                "{state:?}"
            );
        }
    }
}

fn same(info: &KeyInfo, id: KeyId, key: &Key) {
    assert_eq!((info.id(), info.owner(), info.name()), (id, OWNERS[key.owner], key.name.as_deref()));
    assert_eq!(info.permissions(), GRANTS[key.grants]);
    assert_eq!(*info.metadata(), key.metadata);
    assert_eq!(
        (info.created_at(), info.not_before(), info.expires_at()),
        (key.created_at, key.not_before, key.expires_at)
    );
    assert_eq!(info.disabled(), key.disabled);
    let revoked = info.revoked().map(|revoked| (revoked.at(), revoked.reason().to_owned()));
    assert_eq!(revoked, key.revoked);
    assert_eq!((info.version(), info.overlap()), (key.version, key.overlap()));
    assert_eq!(info.last_used_at(), key.last_used_at);
}

fn run(steps: &[Step], on_disk: bool) {
    let mut model = Model::new(on_disk);
    for step in steps {
        model.step(step);
        model.look();
    }
    // At the end, the first uses too.
    for (id, token) in model.tokens.clone() {
        model.verify(id, &token);
    }
    model.look();
    let store = model.store.take().unwrap();
    store.close().unwrap();
    assert!(model.tokens.iter().all(|(_, token)| code(&store, token) == "unavailable"));
}

proptest! {
    #![proptest_config(cases(4))]

    #[test]
    fn a_store_behaves_as_its_model(steps in prop::collection::vec(step(), 1..60)) {
        run(&steps, false);
    }
}

proptest! {
    #![proptest_config(cases(16))]

    #[test]
    fn a_store_that_is_reopened_behaves_as_its_model(steps in prop::collection::vec(step(), 1..50)) {
        run(&steps, true);
    }
}
