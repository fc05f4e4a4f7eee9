//! Backups: made while the store changes, and refused when they are damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use apikey::{
    BackupError, EventFilter, KeyFilter, KeyId, KeyStore, KeyUpdate, ManualClock, Overlap, Pepper, Restore,
    RestoreError,
};
use apikey_testkit::{alice, all, code, hours, ms, start};
use sha2::{Digest, Sha256};

/// A backup of a small store, and the token of its good key.
fn small(directory: &Path) -> (std::path::PathBuf, String) {
    let store = KeyStore::open(directory.join("store")).unwrap();
    let created = store.create(alice().name("ci").permissions(["orders:read"])).unwrap();
    let other = store.create(alice()).unwrap();
    store.revoke(other.info.id(), "leaked").unwrap();
    let file = directory.join("small.backup");
    let report = store.backup(&file).unwrap();
    assert_eq!((report.number, report.records, report.events), (3, 2, 3));
    assert_eq!(report.bytes, fs::metadata(&file).unwrap().len());
    store.close().unwrap();
    // It reads back as what it is, without the store.
    assert_eq!(KeyStore::verify_backup(&file).unwrap(), report);
    (file, created.key.expose_secret().to_owned())
}

#[test]
fn what_is_restored_is_what_was_backed_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let open =
        |name: &str| KeyStore::builder().prefix("acme").pepper(Pepper::new(2, [9; 32])).open(path(name)).unwrap();
    let store = open("store");
    let keys =
        store.create_many((0..20).map(|n| alice().name(format!("key {n}")).metadata("n", n.to_string()))).unwrap();
    let legacy = "legacy-0123456789abcdefghij";
    let import =
        || apikey::NewKey::for_owner("bob").imported(apikey::Imported::raw(legacy), apikey::ImportScheme::Whole);
    store.create(import()).unwrap();
    let new = store.rotate(keys[3].info.id(), Overlap::UntilFirstUse).unwrap();
    store.revoke(keys[4].info.id(), "leaked").unwrap();
    store.verify(keys[5].key.expose_secret()).unwrap();
    let report = store.backup(path("file")).unwrap();
    let before = all(&store, &KeyFilter::default());
    store.create(alice()).unwrap();
    store.close().unwrap();

    let restored = KeyStore::restore(&Restore::new(path("file"), path("new"))).unwrap();
    assert_eq!((restored.number, restored.old_number, restored.records), (report.number, None, 21));
    assert!(restored.reapplied.is_empty() && restored.unknown.is_empty() && restored.warnings.is_empty());
    let store = open("new");
    let after = all(&store, &KeyFilter::default());
    assert_eq!(after, before);
    assert_eq!(code(&store, keys[0].key.expose_secret()), "ok");
    assert_eq!(code(&store, keys[4].key.expose_secret()), "revoked_api_key");
    assert_eq!(code(&store, legacy), "ok");
    assert!(store.create(import()).is_err(), "the digest is held");
    assert_eq!(code(&store, keys[3].key.expose_secret()), "ok");
    assert_eq!(code(&store, new.key.expose_secret()), "ok");
    assert_eq!(code(&store, keys[3].key.expose_secret()), "rotated_api_key");
    let id = store.create(alice()).unwrap().info.id();
    assert!(after.iter().all(|key| key.id() < id));
    let events = store.verify_events().unwrap();
    assert!(events.is_whole(), "{events:?}");
    let page = store.events(&EventFilter::default().kind("restored")).unwrap();
    assert_eq!(page.events[0].number(), report.number + 1);
    assert_eq!(page.events[0].key(), None);
}

#[cfg(unix)]
#[test]
fn a_backup_is_private_and_replaces_the_one_before() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let (file, token) = small(directory.path());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let secret = &token[token.len() - 38..token.len() - 6];
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()));
    let store = KeyStore::open(directory.path().join("store")).unwrap();
    store.create(alice()).unwrap();
    assert_eq!(store.backup(&file).unwrap().number, 4);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let left: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
    assert!(matches!(store.backup(directory.path().join("no/such/directory")), Err(BackupError::Io { .. })));
    store.close().unwrap();
    assert!(matches!(store.backup(&file), Err(BackupError::Store(apikey::StoreError::Closed))));
}

#[test]
fn every_flipped_byte_and_every_truncation_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = small(directory.path());
    let bytes = fs::read(&file).unwrap();
    let bad = directory.path().join("bad.backup");
    let new = directory.path().join("new");
    let refused = |what: &str| {
        match KeyStore::restore(&Restore::new(&bad, &new)) {
            Err(RestoreError::Backup(BackupError::Damaged { .. } | BackupError::NewerFormat { .. })) => {}
            other => panic!("{what}: {other:?}"),
        }
        assert!(!new.exists(), "{what}: nothing is made of it");
    };
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[at] ^= flip;
            fs::write(&bad, flipped).unwrap();
            refused(&format!("byte {at}"));
        }
        fs::write(&bad, &bytes[..at]).unwrap();
        refused(&format!("cut at {at}"));
    }
    fs::write(&bad, [&bytes[..], b"x"].concat()).unwrap();
    refused("one byte more");
    let mut newer = bytes.clone();
    newer[14] = 2;
    fs::write(&bad, newer).unwrap();
    let error = KeyStore::restore(&Restore::new(&bad, &new)).unwrap_err();
    assert!(matches!(error, RestoreError::Backup(BackupError::NewerFormat { .. })), "{error:?}");
    assert!(error.to_string().contains("newer version: it has format 2"), "{error}");
}

#[test]
fn a_store_is_not_restored_over_another() {
    let directory = tempfile::tempdir().unwrap();
    let (file, token) = small(directory.path());
    let error = KeyStore::restore(&Restore::new(&file, directory.path().join("store"))).unwrap_err();
    assert!(matches!(error, RestoreError::NotEmpty { .. }), "{error:?}");
    // An empty directory is accepted, and so is what an interrupted restore has left.
    let new = directory.path().join("new");
    fs::create_dir_all(new.join("creating-old")).unwrap();
    KeyStore::restore(&Restore::new(&file, &new)).unwrap();
    assert_eq!(code(&KeyStore::open(&new).unwrap(), &token), "ok");
}

/// Each key after the events up to a number: whether it is revoked, and its name.
fn model(store: &KeyStore, number: u64) -> BTreeMap<KeyId, (bool, u32)> {
    let mut keys = BTreeMap::new();
    let mut filter = EventFilter::default().limit(1000);
    loop {
        let page = store.events(&filter).unwrap();
        for event in page.events.iter().filter(|event| event.number() <= number) {
            let Some(id) = event.key() else { continue };
            match event.kind() {
                apikey::EventKind::Created => drop(keys.insert(id, (false, 1))),
                apikey::EventKind::Revoked { .. } => keys.get_mut(&id).unwrap().0 = true,
                apikey::EventKind::Rotated { version, .. } => keys.get_mut(&id).unwrap().1 = *version,
                apikey::EventKind::Purged => drop(keys.remove(&id)),
                _ => {}
            }
        }
        let Some(next) = page.next else { return keys };
        filter = filter.after(next);
    }
}

#[test]
fn a_backup_under_writes_is_the_store_at_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let store = KeyStore::open(directory.path().join("store")).unwrap();
    store.create_many((0..3000).map(|_| alice().metadata("padding", "x".repeat(200)))).unwrap();
    let done = AtomicBool::new(false);
    let longest = AtomicU64::new(0);
    let reports = std::thread::scope(|scope| {
        for writer in 0..4 {
            let (store, done, longest) = (&store, &done, &longest);
            scope.spawn(move || {
                let mine: Vec<_> = store.create_many((0..50).map(|_| alice())).unwrap();
                for (round, key) in mine.iter().cycle().enumerate() {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let id = key.info.id();
                    let began = std::time::Instant::now();
                    match (round + writer) % 5 {
                        0 => drop(store.rotate(id, Overlap::None)),
                        1 => drop(store.revoke(id, "done")),
                        2 => drop(store.create(alice()).unwrap()),
                        3 => drop(store.purge(chrono::Utc::now() - chrono::TimeDelta::milliseconds(50))),
                        _ => drop(store.update(id, KeyUpdate::new().name(format!("round {round}")))),
                    }
                    longest.fetch_max(began.elapsed().as_micros() as u64, Ordering::Relaxed);
                }
            });
        }
        let backup = |n| store.backup(directory.path().join(format!("{n}.backup"))).unwrap();
        let reports: Vec<_> = (0..4).map(backup).collect();
        done.store(true, Ordering::Relaxed);
        reports
    });
    println!("the longest change took {} us", longest.into_inner());
    let mut last = 0;
    for report in reports {
        assert!(report.number >= last);
        last = report.number;
        let new = directory.path().join(format!("new {}", report.number));
        KeyStore::restore(&Restore::new(&report.path, &new)).unwrap();
        let restored = KeyStore::open(&new).unwrap();
        let keys = all(&restored, &KeyFilter::default().limit(1000));
        let found: BTreeMap<_, _> =
            keys.iter().map(|key| (key.id(), (key.revoked().is_some(), key.version()))).collect();
        assert_eq!(found, model(&store, report.number));
        assert!(restored.verify_events().unwrap().is_whole());
        restored.close().unwrap();
    }
    assert!(last > 3200, "there were changes meanwhile");
}

/// An item of something else than a key, as a later version may write.
#[test]
fn an_item_of_a_later_kind_is_newer() {
    let directory = tempfile::tempdir().unwrap();
    let (file, _) = small(directory.path());
    let mut bytes = fs::read(&file).unwrap();
    // Behind the header and the settings: the letter of the first record, its length, and the kind of its subject.
    let settings = u32::from_le_bytes(bytes[16..20].try_into().unwrap()) as usize;
    let item = 20 + settings;
    assert_eq!((bytes[item], &bytes[item + 5..item + 7]), (b'R', &[1, 16][..]));
    bytes[item + 5] = 120;
    let end = bytes.len() - 32;
    let digest = Sha256::digest(&bytes[..end]);
    bytes[end..].copy_from_slice(&digest);
    fs::write(&file, bytes).unwrap();
    let error = KeyStore::restore(&Restore::new(&file, directory.path().join("new"))).unwrap_err();
    assert!(matches!(error, RestoreError::Backup(BackupError::NewerFormat { .. })), "{error:?}");
    assert!(error.to_string().contains("(kind 120)"), "{error}");
}

/// Version 0.1.0 wrote the file; a backup stays readable in every later version.
#[test]
fn a_backup_of_format_1_restores() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../apikey-core/golden/keys.backup");
    let directory = tempfile::tempdir().unwrap();
    let new = directory.path().join("new");
    let report = KeyStore::restore(&Restore::new(file, &new)).unwrap();
    assert_eq!((report.records, report.events), (4, 7));
    crate::storage::golden::check(&new);
}

/// The store's own backups in a directory, oldest first.
fn own(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut own: Vec<_> = names.filter(|name| name.ends_with(".backup")).collect();
    own.sort();
    own
}

/// Waits until the directory has a backup of this change.
fn wait_for(directory: &Path, number: u64) {
    let end = format!("-{number:020}.backup");
    for _ in 0..3000 {
        if own(directory).iter().any(|name| name.ends_with(&end)) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("no backup of change {number}: {:?}", own(directory));
}

#[test]
fn a_store_backs_itself_up_and_keeps_the_newest() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backups) = (directory.path().join("store"), directory.path().join("backups"));
    let clock = ManualClock::new(start());
    let hour = std::time::Duration::from_secs(3600);
    let builder = || KeyStore::builder().clock(clock.clone()).backup_every(hour, 3, &backups);
    let store = builder().open(&path).unwrap();
    wait_for(&backups, 0);
    fs::write(backups.join("of mine.backup"), "not theirs").unwrap();
    let mut keys = Vec::new();
    for number in 1..=5 {
        keys.push(store.create(alice()).unwrap());
        clock.advance(hours(1));
        wait_for(&backups, number);
    }
    let last = store.health().last_backup.unwrap();
    assert_eq!((last.number, last.at), (5, start() + hours(5)));
    store.close().unwrap();
    let names = own(&backups);
    assert_eq!(names.len(), 4, "{names:?}");
    assert!(names[3] == "of mine.backup");
    assert_eq!(names[2], "apikey-20310504T170000Z-00000000000000000005.backup");

    // The next backup is due an hour after the last, in the next process too.
    let store = builder().open(&path).unwrap();
    assert_eq!(store.health().last_backup.map(|last| (last.number, last.at)), Some((5, start() + hours(5))));
    store.create(alice()).unwrap();
    store.close().unwrap();
    assert_eq!(own(&backups), names);

    // The error of a damaged store names the newest sound backup.
    let newest = backups.join(&names[2]);
    let mut bytes = fs::read(&newest).unwrap();
    bytes[40] ^= 1;
    fs::write(&newest, bytes).unwrap();
    fs::remove_file(path.join("mark")).unwrap();
    let error = builder().open(&path).unwrap_err();
    let apikey::OpenError::Damaged { backup: Some(backup), .. } = &error else { panic!("{error:?}") };
    assert_eq!(*backup, backups.join(&names[1]));
    assert!(error.to_string().contains(&*backup.to_string_lossy()), "{error}");
    let new = directory.path().join("new");
    KeyStore::restore(&Restore::new(backup, &new).over(&path)).unwrap();
    assert_eq!(code(&KeyStore::open(&new).unwrap(), keys[3].key.expose_secret()), "ok");
}

#[test]
fn an_old_backup_goes_only_when_a_new_one_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backups) = (directory.path().join("store"), directory.path().join("backups"));
    let clock = ManualClock::new(start());
    let hour = std::time::Duration::from_secs(3600);
    let store = KeyStore::builder().clock(clock.clone()).backup_every(hour, 1, &backups).open(&path).unwrap();
    wait_for(&backups, 0);
    // With the clock set back the new backup looks older; it is the one that stays.
    clock.set(start() - hours(24));
    store.create(alice()).unwrap();
    while !own(&backups).iter().any(|name| name.ends_with("1.backup")) {
        clock.advance(ms(60_000));
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    store.close().unwrap();
    let left = own(&backups);
    assert!(left.len() == 1 && left[0].ends_with("1.backup"), "{left:?}");
}

#[test]
fn health_shows_a_failed_backup_until_one_succeeds() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backups) = (directory.path().join("store"), directory.path().join("backups"));
    let clock = ManualClock::new(start());
    let hour = std::time::Duration::from_secs(3600);
    let store = KeyStore::builder().clock(clock.clone()).backup_every(hour, 2, &backups).open(&path).unwrap();
    assert_eq!(store.health().backup_error, None);
    wait_for(&backups, 0);
    fs::remove_dir_all(&backups).unwrap();
    let until = |failed: bool| {
        for _ in 0..3000 {
            if store.health().backup_error.is_some() == failed {
                return;
            }
            clock.advance(hours(1));
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("{:?}", store.health());
    };
    until(true);
    assert_eq!(store.health().last_backup.unwrap().at, start());
    fs::create_dir(&backups).unwrap();
    until(false);
    assert!(store.health().last_backup.unwrap().at > start());
}

#[test]
fn an_impossible_schedule_is_refused() {
    for (seconds, keep) in [(0, 1), (60, 0)] {
        let every = std::time::Duration::from_secs(seconds);
        let opened = KeyStore::builder().backup_every(every, keep, "backups").temporary();
        assert!(matches!(opened, Err(apikey::OpenError::Config(_))));
    }
}

#[test]
fn a_temporary_store_makes_its_backups_too() {
    let directory = tempfile::tempdir().unwrap();
    let backups = directory.path().join("backups");
    let hour = std::time::Duration::from_secs(3600);
    let store =
        KeyStore::builder().clock(ManualClock::new(start())).backup_every(hour, 1, &backups).temporary().unwrap();
    wait_for(&backups, 0);
    store.close().unwrap();
}
