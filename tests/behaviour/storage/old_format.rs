//! Stores and backups of the time before 0.1.0: named as such, and never called damaged.
//!
//! `fixtures/before-0.1.0` was made by commit f891a59: four keys, a closed store, its write-ahead log, and a backup.

use std::fs;
use std::path::{Path, PathBuf};

use apikey::{BackupError, KeyStore, NewKey, OpenError, Restore, RestoreError};

use apikey_testkit::copy_directory;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/before-0.1.0").join(name)
}

/// The old store in a directory of its own.
fn old_store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy_directory(&fixture("store"), &directory.path().join("old"));
    directory
}

fn names_the_way(text: &str) -> bool {
    let parts = ["before 0.1.0", "does not read", "apikey export --digests", "apikey import-lines"];
    parts.iter().all(|part| text.contains(part)) && !text.contains("damaged")
}

#[test]
fn an_old_store_is_named_and_left_as_it_was() {
    let directory = old_store();
    let old = directory.path().join("old");
    let before = fs::read(old.join("sled/db")).unwrap();
    let error = KeyStore::open(&old).unwrap_err();
    assert!(matches!(&error, OpenError::OldFormat { path } if *path == old), "{error:?}");
    assert!(names_the_way(&error.to_string()), "{error}");
    assert_eq!(fs::read(old.join("sled/db")).unwrap(), before);
}

/// What the commit mark says, each frame of the database says by itself.
#[test]
fn every_frame_of_an_old_store_is_named() {
    let directory = old_store();
    let (old, new) = (directory.path().join("old"), directory.path().join("new"));
    let store = KeyStore::open(&new).unwrap();
    store.create(NewKey::for_owner("alice")).unwrap();
    store.close().unwrap();
    let named = |what: &str| {
        let error = KeyStore::open(&old).unwrap_err();
        assert!(matches!(error, OpenError::OldFormat { .. }), "{what}: {error:?}");
    };
    fs::copy(new.join("mark"), old.join("mark")).unwrap();
    // It had another name then.
    fs::rename(old.join("sled/journal"), old.join("sled/wal")).unwrap();
    named("its write-ahead log");
    fs::remove_file(old.join("sled/wal")).unwrap();
    named("its head");
    let frame = |store: &Path, tree: &str| {
        apikey_testkit::database::edit(store, |database| {
            let entry = database.open_tree(tree).unwrap().last().unwrap();
            entry.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()
        })
    };
    for tree in ["keys", "events", "meta"] {
        let directory = tempfile::tempdir().unwrap();
        let mixed = directory.path().join("mixed");
        copy_directory(&new, &mixed);
        let (key, _) = frame(&mixed, tree);
        let (_, value) = frame(&old, tree);
        apikey_testkit::database::edit(&mixed, |database| {
            database.open_tree(tree).unwrap().insert(key, value).unwrap();
        });
        let error = KeyStore::open(&mixed).unwrap_err();
        assert!(matches!(error, OpenError::OldFormat { .. }), "{tree}: {error:?}");
    }
}

#[test]
fn an_old_backup_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let error = KeyStore::restore(&Restore::new(fixture("keys.backup"), &new)).unwrap_err();
    assert!(matches!(error, RestoreError::Backup(BackupError::OldFormat { .. })), "{error:?}");
    assert!(names_the_way(&error.to_string()), "{error}");
    assert!(!new.exists());
}

#[test]
fn an_old_store_is_neither_salvaged_nor_taken_for_evidence() {
    let directory = old_store();
    let path = |name: &str| directory.path().join(name);
    let store = KeyStore::open(path("other")).unwrap();
    store.backup(path("backup")).unwrap();
    let refused = |error: RestoreError| {
        assert!(matches!(error, RestoreError::Directory(OpenError::OldFormat { .. })), "{error:?}");
        assert!(names_the_way(&error.to_string()), "{error}");
        assert!(!path("new/sled").exists());
    };
    let attempts = || {
        refused(KeyStore::salvage(path("old"), path("new")).map(drop).unwrap_err());
        refused(KeyStore::restore(&Restore::new(path("backup"), path("new")).over(path("old"))).map(drop).unwrap_err());
    };
    attempts();
    // Without its commit mark the database says so itself.
    fs::remove_file(path("old/mark")).unwrap();
    attempts();
}

/// The way out: lines that the old version exported.
#[test]
fn lines_of_an_old_export_are_imported() {
    let lines = fs::read(fixture("keys.jsonl")).unwrap();
    let pepper = apikey::Pepper::new(1, b"a pepper for golden files");
    // They were exported on that day; a clock that is behind it would refuse them.
    let clock = apikey::ManualClock::new("2026-12-01T00:00:00Z".parse().unwrap());
    let store = KeyStore::builder().prefix("acme_live").pepper(pepper).clock(clock).temporary().unwrap();
    let report = store.import(lines.as_slice(), &apikey::ImportOptions::default()).unwrap();
    assert_eq!((report.imported, report.refused.len()), (4, 0), "{:?}", report.refused);
    assert_eq!(apikey_testkit::code(&store, "legacy-0123456789abcdefghij"), "ok");
}
