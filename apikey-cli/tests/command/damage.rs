//! The errors of a damaged store.

use std::fs;
use std::time::Duration;

use apikey_core::KeyStore;

use super::Place;

/// Every command knows the newest backup, even one that makes none, and even after other commands.
#[test]
fn a_damaged_store_names_its_newest_good_backup_and_the_commands_that_help() {
    let place = Place::new();
    let backups = place.path("backups");
    let service = KeyStore::builder().backup_every(Duration::from_secs(3600), 3, &backups);
    place.run(&["init", "--owner", "alice"]).ok();
    let store = service.open(place.path("keys.db")).unwrap();
    while store.health().last_backup.is_none() {
        assert_eq!(store.health().backup_error, None);
        std::thread::sleep(Duration::from_millis(5));
    }
    store.close().unwrap();
    place.run(&["list"]).ok();
    place.run(&["doctor"]).ok();
    let mark = place.path("keys.db/mark");
    let mut bytes = fs::read(&mark).unwrap();
    bytes[3] ^= 4;
    fs::write(&mark, bytes).unwrap();
    let made = fs::read_dir(&backups).unwrap().next().unwrap().unwrap().path();
    let done = place.run(&["list"]).with(6);
    done.says("the key store keys.db is damaged: its commit mark does not decode")
        .says(&format!("`apikey restore {} --into NEW --over keys.db`", made.display()))
        .says("`apikey salvage --store keys.db --into NEW`");
    // The answer also reports that the old store is incomplete.
    place.run(&["restore", made.to_str().unwrap(), "--into", "new.db", "--over", "keys.db"]).with(1);
    place.run(&["salvage", "--into", "saved.db"]);
    for store in ["new.db", "saved.db"] {
        place.run(&["--store", store, "list"]).ok().shows("alice");
    }
}

#[test]
fn a_store_without_its_database_is_damaged_and_not_missing() {
    let (place, _) = Place::with_store();
    std::fs::remove_dir_all(place.path("keys.db/sled")).unwrap();
    for command in ["list", "doctor", "init"] {
        let done = place.run(&[command]).with(6).says("its database is gone").says("apikey salvage");
        assert!(!done.err.contains("create one with"), "{}", done.err);
    }
    // What a creation that was cut off leaves.
    let empty = Place::new();
    empty.fed("x\n", &["import-lines", "--make"]).with(1);
    std::fs::remove_dir_all(empty.path("keys.db/sled")).unwrap();
    empty.run(&["list"]).with(6).says("create one with `apikey init`");
    empty.run(&["init"]).ok();
}

/// The database panics on many kinds of damage; what it says then must be of use on this machine.
#[test]
fn a_panic_of_the_database_names_no_directory_of_the_build() {
    let (place, _) = Place::with_store();
    let lines: String = (0..1500).map(|at| format!("legacy-7f3a9c1e5b2d-{at}\n")).collect();
    place.fed(&lines, &["import", "--owner", "alice"]).ok();
    let database = place.path("keys.db/sled/db");
    let whole = fs::read(&database).unwrap();
    // The first bytes are those of its first segment.
    let done = (1..20).find_map(|byte| {
        let mut bytes = whole.clone();
        bytes[byte..byte + 6].fill(0xff);
        fs::write(&database, bytes).unwrap();
        Some(place.run(&["list"])).filter(|done| done.err.contains("panics"))
    });
    let done = done.unwrap().with(6).says("apikey salvage");
    let text = done.err.lines().next().unwrap();
    assert!(text.contains("(sled-") && text.ends_with("keep the damaged directory"), "{text}");
    assert!(!text.contains("registry") && !text.contains("panicked at"), "{text}");
}
