//! Stores and backups of released formats, which every later version reads.

use std::fs;
use std::path::{Path, PathBuf};

use apikey::{ImportScheme, Imported, KeyFilter, KeyState, KeyStore, NewKey, Overlap, Pepper};
use apikey_testkit::{all, code, copy_directory};

const LEGACY: &str = "legacy-0123456789abcdefghij";

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apikey-core/golden").join(name)
}

fn open(path: &Path) -> KeyStore {
    let builder = KeyStore::builder().prefix("acme_live").pepper(Pepper::new(1, b"a pepper for golden files"));
    builder.open(path).unwrap()
}

/// Asserts what each of them contains.
pub(crate) fn check(path: &Path) {
    let store = open(path);
    let keys = all(&store, &KeyFilter::default());
    assert_eq!(keys.iter().map(|key| key.owner()).collect::<Vec<_>>(), ["alice", "bob", "carol", "dave"]);
    assert_eq!(keys[0].permissions(), ["orders:read", "customers:*"]);
    assert_eq!(keys[0].metadata()["team"], "blue");
    assert_eq!(keys[1].revoked().map(|revoked| revoked.reason()), Some("leaked"));
    assert_eq!(keys[2].version(), 2);
    assert_eq!(keys[3].state(chrono::Utc::now()), KeyState::Active);
    for (name, expected) in [("good", "ok"), ("revoked", "revoked_api_key"), ("rotated", "ok")] {
        let token = fs::read_to_string(golden(&format!("token-{name}.txt"))).unwrap();
        assert_eq!(code(&store, token.trim()), expected, "{name}");
    }
    assert_eq!(code(&store, LEGACY), "ok");
    let events = store.verify_events().unwrap();
    assert!(events.is_whole(), "{events:?}");
    store.close().unwrap();
}

/// Version 0.1.0 made it.
#[test]
fn a_store_of_format_1_opens() {
    let directory = tempfile::tempdir().unwrap();
    copy_directory(&golden("store"), directory.path());
    check(directory.path());
}

/// Writes the golden files. Run it only for a new format, under new names.
#[test]
#[ignore = "it makes the golden files"]
fn make() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let good = NewKey::for_owner("alice").name("ci").permissions(["orders:read", "customers:*"]);
    let good = store.create(good.metadata("team", "blue")).unwrap();
    let revoked = store.create(NewKey::for_owner("bob")).unwrap();
    store.revoke(revoked.info.id(), "leaked").unwrap();
    let rotated = store.create(NewKey::for_owner("carol")).unwrap();
    let rotated = store.rotate(rotated.info.id(), Overlap::None).unwrap();
    let legacy = NewKey::for_owner("dave").imported(Imported::raw(LEGACY), ImportScheme::Whole);
    store.create(legacy).unwrap();
    store.update(good.info.id(), apikey::KeyUpdate::new().name("deploy")).unwrap();
    store.backup(golden("keys.backup")).unwrap();
    store.close().unwrap();
    for (name, key) in [("good", good), ("revoked", revoked), ("rotated", rotated)] {
        fs::write(golden(&format!("token-{name}.txt")), key.key.expose_secret()).unwrap();
    }
    copy_directory(directory.path(), &golden("store"));
    // The write-ahead log without the room at its end, which a store makes again.
    let log = golden("store").join("sled/wal");
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| (last + 1).next_multiple_of(512));
    bytes.truncate(end);
    fs::write(log, bytes).unwrap();
}
