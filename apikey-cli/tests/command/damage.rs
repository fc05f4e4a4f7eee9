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
