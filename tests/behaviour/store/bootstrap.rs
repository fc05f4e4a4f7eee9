//! Bootstrap: the first key in a file, and the fixed keys that a deployment supplies.

use std::fs;
use std::path::Path;

use apikey::sink::from_fn;
use apikey::{
    Actor, Clock, EventFilter, KeyFilter, KeyStore, KeyUpdate, ManualClock, NewKey, OpenError, Overlap, Restore,
    RotationPolicy, Rotator,
};
use apikey_testkit::{all, code, hex, start};
use chrono::{TimeDelta, Utc};
use sha2::{Digest, Sha256};

fn admin() -> NewKey {
    NewKey::for_owner("admin").permissions(["*"])
}

fn open(directory: &Path) -> Result<KeyStore, OpenError> {
    KeyStore::builder().first_key(admin(), directory.join("admin.key")).open(directory.join("keys.db"))
}

fn read(directory: &Path) -> String {
    let text = fs::read_to_string(directory.join("admin.key")).unwrap();
    text.strip_suffix('\n').expect("a newline ends it").to_owned()
}

fn config(result: Result<KeyStore, OpenError>) -> String {
    match result {
        Err(OpenError::Config(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_key_is_created_once_and_its_token_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let token = read(directory.path());
    let verified = store.verify(&token).unwrap();
    assert_eq!((verified.owner(), verified.allows("keys:create")), ("admin", true));
    assert_eq!(store.events(&EventFilter::default()).unwrap().events[0].actor(), Some(&Actor::from("first_key")));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "nothing else is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(directory.path().join("admin.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    store.close().unwrap();
    // The store creates no second one: not without the file, and not when no key is left.
    fs::remove_file(directory.path().join("admin.key")).unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!(code(&store, &token), "ok");
    store.revoke(verified.id(), "").unwrap();
    store.purge(Utc::now() + TimeDelta::days(1)).unwrap();
    store.purge_events(Utc::now() + TimeDelta::days(1)).unwrap();
    assert!(all(&store, &KeyFilter::default()).is_empty());
    store.close().unwrap();
    let store = open(directory.path()).unwrap();
    assert!(all(&store, &KeyFilter::default()).is_empty());
    assert!(!directory.path().join("admin.key").exists());
}

#[test]
fn no_file_is_overwritten_and_no_link_followed() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin.key");
    fs::write(&file, "mine").unwrap();
    assert!(config(open(directory.path())).contains("admin.key"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    fs::remove_file(&file).unwrap();
    #[cfg(unix)]
    for link in ["admin.key", "admin.key.pending"] {
        let victim = directory.path().join("victim");
        std::os::unix::fs::symlink(&victim, directory.path().join(link)).unwrap();
        open(directory.path()).unwrap_err();
        assert!(!victim.exists());
        fs::remove_file(directory.path().join(link)).unwrap();
    }
    // The store has created no key meanwhile, so the right file gets the first one.
    let store = open(directory.path()).unwrap();
    assert_eq!(code(&store, &read(directory.path())), "ok");
    assert_eq!(store.health().last_durable, 1);
}

/// A crash before the key is on disk, and one before its file is in place.
#[test]
fn the_next_open_completes_an_interrupted_bootstrap() {
    let directory = tempfile::tempdir().unwrap();
    let pending = directory.path().join("admin.key.pending");
    fs::write(&pending, "a token that never was a key\n").unwrap();
    let store = open(directory.path()).unwrap();
    let token = read(directory.path());
    assert_eq!(code(&store, &token), "ok");
    assert!(!pending.exists());
    store.close().unwrap();

    fs::rename(directory.path().join("admin.key"), &pending).unwrap();
    let store = open(directory.path()).unwrap();
    assert_eq!((read(directory.path()), store.health().last_durable), (token.clone(), 1));
    assert!(!pending.exists());
    store.close().unwrap();

    // Both names exist.
    fs::hard_link(directory.path().join("admin.key"), &pending).unwrap();
    drop(open(directory.path()).unwrap());
    assert_eq!(read(directory.path()), token);
    assert!(!pending.exists());

    // A text that is no token of this store does not become one.
    fs::write(&pending, "something else").unwrap();
    fs::remove_file(directory.path().join("admin.key")).unwrap();
    drop(open(directory.path()).unwrap());
    assert!(pending.exists() && !directory.path().join("admin.key").exists());
}

#[test]
fn a_first_key_out_of_bounds_opens_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("admin.key");
    let result = KeyStore::builder().first_key(NewKey::for_owner(""), &file).temporary();
    assert!(config(result).contains("owner"));
    let nowhere = directory.path().join("missing").join("admin.key");
    let result = KeyStore::builder().first_key(admin(), nowhere).temporary();
    assert!(matches!(result, Err(OpenError::Io { .. })), "{result:?}");
    let store = KeyStore::builder().first_key(admin(), &file).temporary().unwrap();
    assert_eq!(code(&store, &read(directory.path())), "ok");
}

const PREVIEW: &str = "preview-key-7f3a9c1e5b2d4860";
const OTHER: &str = "another-key-0011223344556677";

fn digest(key: &str) -> String {
    hex(Sha256::digest(key))
}

fn line(owner: &str, permissions: &str, key: &str) -> String {
    format!("{owner} {permissions} sha256:{}\n", digest(key))
}

struct Deployment(tempfile::TempDir);

impl Deployment {
    fn with(lines: &str) -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        this.say(lines);
        this
    }

    fn say(&self, lines: &str) {
        fs::write(self.0.path().join("keys.txt"), lines).unwrap();
    }

    fn open(&self) -> Result<KeyStore, OpenError> {
        self.open_as("keys.db")
    }

    fn open_as(&self, name: &str) -> Result<KeyStore, OpenError> {
        KeyStore::builder().fixed_keys_from_file(self.0.path().join("keys.txt")).open(self.0.path().join(name))
    }
}

#[test]
fn fixed_keys_are_created_if_they_are_absent() {
    let lines =
        format!("# for previews\n{}\n{}", line("alice", "orders:read,items:*", PREVIEW), line("bob", "-", OTHER));
    let deployment = Deployment::with(&lines);
    let store = deployment.open().unwrap();
    let verified = store.verify(PREVIEW).unwrap();
    assert_eq!(verified.owner(), "alice");
    assert!(verified.allows("orders:read") && verified.allows("items:write") && !verified.allows("other"));
    assert_eq!(store.verify(OTHER).unwrap().owner(), "bob");
    store.close().unwrap();
    // The same lines change nothing, a new line creates a key, and a removed line leaves its key as it is.
    deployment.say(&line("carol", "-", "a-third-key-0011223344556677"));
    let store = deployment.open().unwrap();
    assert_eq!(store.health().last_durable, 3);
    assert_eq!(code(&store, PREVIEW), "ok");
    let page = store.events(&EventFilter::default().actor("fixed_keys")).unwrap();
    assert_eq!(page.events.len(), 3);
}

#[test]
fn a_fixed_key_is_neither_rotated_nor_too_old() {
    let deployment = Deployment::with(&line("alice", "-", PREVIEW));
    let clock = ManualClock::new(start());
    let builder = KeyStore::builder().clock(clock.clone()).max_lifetime(TimeDelta::days(30));
    let builder = builder.default_rotation(RotationPolicy::every(TimeDelta::days(7)));
    let store = builder.fixed_keys_from_file(deployment.0.path().join("keys.txt")).temporary().unwrap();
    let id = store.verify(PREVIEW).unwrap().id();
    assert!(store.get(id).unwrap().unwrap().rotation().is_none());
    clock.advance(TimeDelta::days(400));
    let rotator = Rotator::new(store.clone(), from_fn(|_| panic!("nothing is to be delivered")));
    assert_eq!(rotator.run_due(Clock::now(&clock)).unwrap().rotated, []);
    assert_eq!(code(&store, PREVIEW), "ok");
    // All other keys obey both.
    let other = store.create(NewKey::for_owner("bob")).unwrap();
    assert!(other.info.rotation().is_some());
    assert!(store.create(NewKey::for_owner("bob").no_rotation()).is_err());
}

#[test]
fn a_fixed_key_keeps_its_mark() {
    let deployment = Deployment::with(&line("alice", "-", PREVIEW));
    let store = deployment.open().unwrap();
    let id = store.verify(PREVIEW).unwrap().id();
    let mark = store.get(id).unwrap().unwrap().metadata()["fixed"].clone();
    let update = |change: KeyUpdate| store.update(id, change).map(|info| info.metadata().clone());
    let clear = serde_json::from_str::<KeyUpdate>(r#"{"metadata":null}"#).unwrap();
    assert_eq!(update(KeyUpdate::new().metadata("team", "blue")).unwrap().len(), 2);
    assert_eq!(update(clear).unwrap(), [("fixed".to_owned(), mark.clone())].into());
    assert_eq!(update(KeyUpdate::new().no_metadata().metadata("a", "b")).unwrap().len(), 2);
    for change in [KeyUpdate::new().without_metadata("fixed"), KeyUpdate::new().metadata("fixed", "x")] {
        assert_eq!(update(change).unwrap_err().field_error().unwrap().pointer, "#/metadata");
    }
    // What a caller has read it may send back.
    assert_eq!(update(KeyUpdate::new().metadata("fixed", &mark).without_metadata("a")).unwrap().len(), 1);
    // A rotation makes it the store's own secret, and the mark stays.
    store.rotate(id, Overlap::None).unwrap();
    assert!(update(KeyUpdate::new().without_metadata("fixed")).is_err());
}

#[test]
fn a_fixed_key_is_never_created_again() {
    let deployment = Deployment::with(&line("alice", "-", PREVIEW));
    let reopen = |store: KeyStore| {
        store.close().unwrap();
        let store = deployment.open().unwrap();
        assert_ne!(code(&store, PREVIEW), "ok");
        store
    };
    let store = deployment.open().unwrap();
    let id = store.verify(PREVIEW).unwrap().id();
    store.update(id, KeyUpdate::new().disabled(true)).unwrap();
    let store = reopen(store);
    store.update(id, KeyUpdate::new().disabled(false)).unwrap();
    // After a rotation its digest is gone, but it is the same key.
    store.rotate(id, Overlap::None).unwrap();
    let store = reopen(store);
    assert_eq!(all(&store, &KeyFilter::default()).len(), 1);
    store.revoke(id, "leaked").unwrap();
    let store = reopen(store);
    // A restored store has the record, but not the list of fixed keys that were created.
    let file = deployment.0.path().join("backup");
    store.backup(&file).unwrap();
    KeyStore::restore(&Restore::new(&file, deployment.0.path().join("restored"))).unwrap();
    let restored = deployment.open_as("restored").unwrap();
    assert_eq!(code(&restored, PREVIEW), "invalid_api_key");
    assert_eq!(all(&restored, &KeyFilter::default()).len(), 1);
    store.purge(Utc::now() + TimeDelta::days(1)).unwrap();
    let store = reopen(store);
    assert!(all(&store, &KeyFilter::default()).is_empty());
}

#[test]
fn a_bad_line_is_named_and_no_line_creates_a_key() {
    let good = line("alice", "-", PREVIEW);
    let secret = "a-raw-key-that-no-error-may-show";
    let bad = [
        "alice".to_owned(),
        format!("alice - {secret}"),
        format!("alice - sha256:{secret}"),
        format!("alice orders: sha256:{}", digest(OTHER)),
        format!("{} - sha256:{}", "x".repeat(129), digest(OTHER)),
        good.trim().to_owned(),
    ];
    for bad in bad {
        let deployment = Deployment::with(&format!("{good}{bad}\n"));
        let text = config(deployment.open());
        assert!(text.contains("keys.txt, line 2"), "{text}");
        assert!(!text.contains(secret), "{text}");
        deployment.say("");
        let store = deployment.open().unwrap();
        assert_eq!(store.health().last_durable, 0);
    }
    let missing = KeyStore::builder().fixed_keys_from_file("/nowhere/keys.txt").temporary();
    assert!(config(missing).contains("/nowhere/keys.txt"));
}

#[test]
fn an_environment_variable_that_is_not_set_has_no_keys() {
    let store = KeyStore::builder().fixed_keys_from_env("APIKEY_TEST_NOT_SET_4F1D").temporary().unwrap();
    assert_eq!(store.health().last_durable, 0);
    // A variable that is set in another form: a list of directories.
    let text = config(KeyStore::builder().fixed_keys_from_env("PATH").temporary());
    assert!(text.contains("$PATH, line 1"), "{text}");
}
