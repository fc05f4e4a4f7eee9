//! Restoring over an old store: no revoked key comes back.

use std::fs;
use std::iter::zip;
use std::path::{Path, PathBuf};

use apikey::{
    CreatedKey, KeyFilter, KeyState, KeyStore, KeyUpdate, ManualClock, OpenError, Overlap, Restore, RestoreError,
    RestoreReport, RestoreWarning, RotationPolicy, Rotator,
};
use apikey_testkit::{alice, all, code, database, hours, info, ms, start};

use proptest::prelude::*;

use crate::rotation::fake_sink::{FakeSink, Reaction};

/// A closed store with keys, a backup of it, and changes of the keys after the backup.
struct Fixture {
    directory: tempfile::TempDir,
    keys: Vec<CreatedKey>,
    /// The successors of keys 3, 4 and 5.
    successors: Vec<CreatedKey>,
    late: CreatedKey,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = ManualClock::new(start());
        let store = KeyStore::builder().clock(clock.clone()).open(directory.path().join("old")).unwrap();
        let keys = store.create_many((0..10).map(|_| alice().permissions(["a:*", "b"]))).unwrap();
        let id = |n: usize| keys[n].info.id();
        store.update(id(7), KeyUpdate::new().disabled(true)).unwrap();
        store.backup(directory.path().join("file")).unwrap();
        store.revoke(id(8), "left").unwrap();
        clock.advance(ms(1));
        assert_eq!(store.purge(start() + ms(1)).unwrap(), 1);
        store.revoke(id(1), "leaked").unwrap();
        store.update(id(2), KeyUpdate::new().disabled(true)).unwrap();
        let successors = [Overlap::None, Overlap::For(hours(1)), Overlap::UntilFirstUse];
        let successors: Vec<_> =
            (3..).zip(successors).map(|(n, overlap)| store.rotate(id(n), overlap).unwrap()).collect();
        store.update(id(6), KeyUpdate::new().permissions(["a:read"])).unwrap();
        store.update(id(7), KeyUpdate::new().disabled(false)).unwrap();
        let late = store.create(alice()).unwrap();
        store.close().unwrap();
        Self { directory, keys, successors, late }
    }

    fn builder() -> apikey::KeyStoreBuilder {
        KeyStore::builder().clock(ManualClock::new(start()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn restore(&self) -> (RestoreReport, KeyStore) {
        let restore = Restore::new(self.path("file"), self.path("new")).over(self.path("old"));
        let restore = restore.clock(ManualClock::new(start()));
        let report = KeyStore::restore(&restore).unwrap();
        (report, Self::builder().open(self.path("new")).unwrap())
    }

    fn code(&self, store: &KeyStore, n: usize) -> &'static str {
        code(store, self.keys[n].key.expose_secret())
    }

    /// Asserts what holds however much of the old store is lost, as long as its log remains.
    fn check_final(&self, store: &KeyStore) {
        assert_eq!(self.code(store, 0), "ok");
        assert_eq!(self.code(store, 1), "revoked_api_key");
        assert_eq!(self.code(store, 3), "invalid_api_key");
        assert_eq!(self.code(store, 8), "revoked_api_key");
        assert_eq!(self.code(store, 9), "ok");
        assert_eq!(code(store, self.late.key.expose_secret()), "invalid_api_key");
        assert!(store.verify_events().unwrap().is_whole());
    }
}

fn files(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path).unwrap() {
        let entry = entry.unwrap().path();
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            let bytes = fs::read(&entry).unwrap();
            found.push((entry, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn what_the_old_store_took_away_stays_away() {
    let fixture = Fixture::new();
    let before = files(&fixture.path("old"));
    let (report, store) = fixture.restore();
    assert!(files(&fixture.path("old")) == before, "the old store is not touched");
    assert_eq!((report.number, report.old_number), (11, Some(21)));
    assert!(!report.is_whole(), "a key is missing, and three have lost a secret");
    fixture.check_final(&store);
    assert_eq!(fixture.code(&store, 2), "disabled_api_key");
    // Their successors are lost; the old secrets work until they end.
    assert_eq!(fixture.code(&store, 4), "ok");
    assert_eq!(fixture.code(&store, 5), "ok");
    assert!(fixture.successors.iter().all(|created| code(&store, created.key.expose_secret()) == "invalid_api_key"));
    let four = store.verify(fixture.keys[4].key.expose_secret()).unwrap();
    let end = start() + ms(1) + hours(1);
    assert_eq!(four.superseded_until(), Some(end));
    // Without its successor it has no secret from then on; key 3 has none now.
    let state = |n: usize, at| info(&store, &fixture.keys[n]).state(at);
    assert_eq!(info(&store, &fixture.keys[4]).secret_until(), Some(end));
    assert_eq!([state(4, end - ms(1)), state(4, end)], [KeyState::Active, KeyState::NoSecret]);
    assert_eq!([0, 3, 5].map(|n| state(n, end)), [KeyState::Active, KeyState::NoSecret, KeyState::Active]);
    let six = store.verify(fixture.keys[6].key.expose_secret()).unwrap();
    assert!(six.allows("a:read") && !six.allows("a:write") && !six.allows("b"));
    // Enabled after the backup: a restore repeats nothing that gives.
    assert_eq!(fixture.code(&store, 7), "disabled_api_key");

    let id = |n: usize| fixture.keys[n].info.id();
    let mut reapplied: Vec<_> = report.reapplied.iter().map(|one| one.key).collect();
    reapplied.sort();
    assert_eq!(reapplied, [1, 2, 3, 4, 6, 8].map(id));
    assert_eq!(report.unknown.iter().map(|one| one.key).collect::<Vec<_>>(), [fixture.late.info.id()]);
    assert!(report.unknown[0].owner == "alice");
    let rotated = |n| RestoreWarning::NewerSecret { key: id(n), version: 2 };
    assert_eq!(report.warnings, [rotated(3), rotated(4), rotated(5)]);
    assert_eq!(all(&store, &KeyFilter::default()).len(), 10);

    // The restored store reuses no id of the old one, and a key without a secret can be rotated.
    assert!(store.create(alice()).unwrap().info.id() > fixture.late.info.id());
    let again = store.rotate(id(3), Overlap::For(hours(1))).unwrap();
    assert_eq!(code(&store, again.key.expose_secret()), "ok");
}

#[test]
fn without_the_old_store_the_backup_is_restored_as_it_is() {
    let fixture = Fixture::new();
    let restore = Restore::new(fixture.path("file"), fixture.path("new")).clock(ManualClock::new(start()));
    let report = KeyStore::restore(&restore).unwrap();
    assert_eq!((report.number, report.old_number), (11, None));
    let store = KeyStore::open(fixture.path("new")).unwrap();
    assert_eq!(fixture.code(&store, 1), "ok", "which is why the docs ask for it");
    assert!(report.is_whole());
}

#[test]
fn a_directory_of_no_store_is_not_taken_for_the_old_one() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("typo")).unwrap();
    fs::write(fixture.path("typo/lock"), "pid 1").unwrap();
    for old in ["typo", "file", "nowhere"] {
        let restore = Restore::new(fixture.path("file"), fixture.path("new")).over(fixture.path(old));
        let error = KeyStore::restore(&restore).unwrap_err();
        assert!(matches!(&error, RestoreError::NoOldStore { path } if *path == fixture.path(old)), "{error:?}");
    }
    assert!(!fixture.path("new").exists() && !fixture.path("nowhere").exists());
    // A store that has lost its database still has its commit mark: the report calls that damage.
    fs::remove_dir_all(fixture.path("old/sled")).unwrap();
    let (report, _) = fixture.restore();
    assert!(report.warnings.iter().any(|warning| matches!(warning, RestoreWarning::NotWhole { .. })), "{report:?}");
}

#[test]
fn an_old_store_that_does_not_open_counts_all_the_same() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 5] = [
        ("no settings of sled", |sled| fs::remove_file(sled.join("conf")).unwrap()),
        ("settings of sled that are none", |sled| fs::write(sled.join("conf"), "nonsense").unwrap()),
        ("no mark", |sled| fs::remove_file(sled.parent().unwrap().join("mark")).unwrap()),
        ("zeros at the beginning", |sled| {
            let mut bytes = fs::read(sled.join("db")).unwrap();
            bytes[..64].fill(0);
            fs::write(sled.join("db"), bytes).unwrap();
        }),
        ("no snapshots", |sled| {
            for entry in fs::read_dir(sled).unwrap() {
                let entry = entry.unwrap();
                if entry.file_name().to_string_lossy().starts_with("snap") {
                    fs::remove_file(entry.path()).unwrap();
                }
            }
        }),
    ];
    for (case, damage) in damages {
        let fixture = Fixture::new();
        damage(&fixture.path("old/sled"));
        let (report, store) = fixture.restore();
        println!("{case}: {:?}", report.warnings);
        fixture.check_final(&store);
    }
}

#[test]
fn a_lost_record_is_named() {
    let fixture = Fixture::new();
    let database = database::open(&fixture.path("old")).unwrap();
    let id = fixture.keys[9].info.id();
    let tree = database.open_tree("keys").unwrap();
    tree.insert(id.as_uuid().as_u128().to_be_bytes(), b"garbage").unwrap();
    database.flush().unwrap();
    drop((tree, database));
    let (report, store) = fixture.restore();
    fixture.check_final(&store);
    assert!(report.warnings.contains(&RestoreWarning::Unread { key: id }), "{:?}", report.warnings);
    assert!(report.warnings.iter().any(|warning| matches!(warning, RestoreWarning::NotWhole { .. })));
    assert!(report.warnings.iter().all(|warning| !warning.to_string().is_empty()));
}

#[test]
fn an_old_store_that_is_open_is_left_alone() {
    let fixture = Fixture::new();
    let open = KeyStore::open(fixture.path("old")).unwrap();
    let restore = Restore::new(fixture.path("file"), fixture.path("new")).over(fixture.path("old"));
    let error = KeyStore::restore(&restore).unwrap_err();
    assert!(matches!(error, RestoreError::Directory(OpenError::InUse { .. })), "{error:?}");
    open.close().unwrap();
    KeyStore::restore(&restore).unwrap();
}

#[derive(Debug, Clone)]
enum Step {
    Create,
    Revoke(usize),
    Disable(usize, bool),
    Rotate(usize, Overlap),
    Use(usize),
    Narrow(usize, bool),
    Expire(usize, i64),
    Purge,
    Wait(i64),
    /// A key gets a rotation policy.
    Rotates(usize, Overlap),
    /// A process rotates what is due and ends: whether its sink reports its token, and how it reacts.
    Run(bool, Reaction),
    Leak(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0..4usize;
    let overlap = prop_oneof![
        Just(Overlap::None),
        (1..40i64).prop_map(|minutes| Overlap::For(chrono::TimeDelta::minutes(minutes))),
        Just(Overlap::UntilFirstUse)
    ];
    let step = prop_oneof![
        1 => Just(Step::Create),
        1 => key.clone().prop_map(Step::Revoke),
        2 => (key.clone(), any::<bool>()).prop_map(|(key, disabled)| Step::Disable(key, disabled)),
        4 => (key.clone(), overlap).prop_map(|(key, overlap)| Step::Rotate(key, overlap)),
        4 => (0..12usize).prop_map(Step::Use),
        1 => (key.clone(), any::<bool>()).prop_map(|(key, narrow)| Step::Narrow(key, narrow)),
        1 => (key, 1..60i64).prop_map(|(key, minutes)| Step::Expire(key, minutes)),
        1 => Just(Step::Purge),
        3 => (1..30i64).prop_map(Step::Wait),
        1 => (0..4usize, prop_oneof![
            (1..9i64).prop_map(|minutes| Overlap::For(chrono::TimeDelta::minutes(minutes))),
            Just(Overlap::UntilFirstUse)
        ]).prop_map(|(key, overlap)| Step::Rotates(key, overlap)),
        4 => (any::<bool>(), prop_oneof![2 => Just(Reaction::Accepts), 1 => Just(Reaction::AcceptsThenPanics), 1 => Just(Reaction::Panics)])
            .prop_map(|(reports, reaction)| Step::Run(reports, reaction)),
        1 => (0..4usize).prop_map(Step::Leak),
    ];
    proptest::collection::vec(step, 0..14)
}

/// Applies a step; the store may refuse it.
fn play(
    store: &KeyStore,
    clock: &ManualClock,
    steps: &[Step],
    keys: &mut Vec<apikey::KeyId>,
    tokens: &mut Vec<String>,
) {
    let minutes = chrono::TimeDelta::minutes;
    for step in steps {
        let id = |n: &usize| keys[n % keys.len()];
        match step {
            Step::Create => {
                let created = store.create(alice().permissions(["a:*", "b"])).unwrap();
                keys.push(created.info.id());
                tokens.push(created.key.expose_secret().to_owned());
            }
            Step::Revoke(n) => drop(store.revoke(id(n), "revoked")),
            Step::Disable(n, disabled) => drop(store.update(id(n), KeyUpdate::new().disabled(*disabled))),
            Step::Rotate(n, overlap) => {
                if let Ok(created) = store.rotate(id(n), *overlap) {
                    tokens.push(created.key.expose_secret().to_owned());
                }
            }
            Step::Use(n) => drop(store.verify(&tokens[tokens.len() - 1 - n % tokens.len()])),
            Step::Narrow(n, narrow) => {
                let grants: &[&str] = if *narrow { &["a:read"] } else { &["a:*", "b"] };
                drop(store.update(id(n), KeyUpdate::new().permissions(grants)));
            }
            Step::Expire(n, after) => {
                let end = apikey::Clock::now(clock) + minutes(*after);
                drop(store.update(id(n), KeyUpdate::new().expires_at(end)));
            }
            Step::Purge => drop(store.purge(apikey::Clock::now(clock)).unwrap()),
            Step::Wait(n) => clock.advance(minutes(*n)),
            Step::Rotates(n, overlap) => {
                let policy = RotationPolicy::every(minutes(10)).overlap(*overlap);
                drop(store.update(id(n), KeyUpdate::new().rotation(policy)));
            }
            Step::Run(reports, reaction) => {
                let sink = if *reports { FakeSink::that_reports() } else { FakeSink::default() };
                sink.react_with(*reaction);
                Rotator::new(store.clone(), sink.clone()).run_due(apikey::Clock::now(clock)).unwrap();
                tokens.extend(sink.tokens());
            }
            Step::Leak(n) => {
                if let Ok(created) = store.replace_leaked(id(n), "leaked") {
                    tokens.push(created.key.expose_secret().to_owned());
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(crate::proptest_config::cases(4))]
    /// Whatever happened before and after the backup, no token gets more from the restored store than from the old one.
    #[test]
    fn a_restored_store_gives_no_more_than_the_old_one(before in steps(), after in steps(), unreadable: bool) {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let clock = ManualClock::new(start());
        let open = |name: &str| KeyStore::builder().clock(clock.clone()).open(path(name)).unwrap();
        let store = open("old");
        let (mut keys, mut tokens) = (Vec::new(), Vec::new());
        play(&store, &clock, &[Step::Create, Step::Create, Step::Create], &mut keys, &mut tokens);
        play(&store, &clock, &before, &mut keys, &mut tokens);
        store.backup(path("file")).unwrap();
        play(&store, &clock, &after, &mut keys, &mut tokens);
        store.close().unwrap();
        let conf = fs::read(path("old/sled/conf")).unwrap();
        if unreadable {
            fs::write(path("old/sled/conf"), "nonsense").unwrap();
        }
        let restore = Restore::new(path("file"), path("new")).over(path("old")).clock(clock.clone());
        let report = KeyStore::restore(&restore).unwrap();
        fs::write(path("old/sled/conf"), conf).unwrap();
        let (old, new) = (open("old"), open("new"));
        prop_assert!(new.verify_events().unwrap().is_whole());
        for wait in [0, 20, 40] {
            clock.advance(chrono::TimeDelta::minutes(wait));
            for (n, token) in tokens.iter().enumerate() {
                let Ok(given) = new.verify(token) else { continue };
                // The files alone show only what is final.
                let before = old.verify(token);
                let known = !unreadable || !matches!(code(&old, token), "disabled_api_key" | "expired_api_key");
                prop_assert!(before.is_ok() || !known, "token {n}: {before:?}, {report:?}");
                let Ok(before) = before else { continue };
                for permission in ["a:read", "a:write", "b"] {
                    prop_assert!(before.allows(permission) || !given.allows(permission) || unreadable, "token {n}");
                }
            }
        }
    }
}

/// Owners of the same name in two tenants are not the same.
#[test]
fn a_report_names_the_tenant_of_each_owner() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("old")).unwrap();
    let create = |tenant: Option<&str>| match tenant {
        Some(tenant) => store.tenant(tenant).unwrap().create(alice()).unwrap().info.id(),
        None => store.create(alice()).unwrap().info.id(),
    };
    let tenants = [None, Some("acme"), Some("apex")];
    let before = tenants.map(create);
    store.backup(path("backup")).unwrap();
    let after = tenants.map(create);
    before.iter().for_each(|id| assert!(store.revoke(*id, "left").unwrap()));
    store.close().unwrap();
    let report = KeyStore::restore(&Restore::new(path("backup"), path("new")).over(path("old"))).unwrap();
    let reapplied: Vec<_> = report.reapplied.iter().map(|one| (one.key, one.tenant.as_deref())).collect();
    let unknown: Vec<_> = report.unknown.iter().map(|one| (one.key, one.tenant.as_deref())).collect();
    assert_eq!((reapplied, unknown), (zip(before, tenants).collect(), zip(after, tenants).collect()));
}
