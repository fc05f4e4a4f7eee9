//! A store or a backup of the time before 0.1.0: the command names it, and the way out.

use std::path::PathBuf;

use super::Place;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/behaviour/fixtures/before-0.1.0").join(name)
}

#[test]
fn every_command_names_an_old_store_and_the_way_out() {
    let place = Place::new();
    apikey_testkit::copy_directory(&fixture("store"), &place.path("keys.db"));
    place.run(&["--store", "other.db", "init"]).ok();
    place.run(&["--store", "other.db", "backup", "good"]).ok();
    let old = fixture("keys.backup");
    let old = old.to_str().unwrap();
    for arguments in [
        &["doctor"][..],
        &["list"],
        &["events"],
        &["salvage", "--into", "new.db"],
        &["restore", "good", "--into", "new.db", "--over", "keys.db"],
        &["restore", old, "--into", "new.db", "--old-is-gone"],
    ] {
        let done = place.run(arguments).with(6);
        assert!(!done.err.contains("damaged"), "{done:?}");
        done.says("before 0.1.0").says("apikey export --digests --out FILE").says("apikey import-lines --make < FILE");
        assert!(!place.path("new.db/sled").exists(), "{arguments:?}");
    }
    let failure: serde_json::Value = serde_json::from_str(&place.run(&["--json", "doctor"]).with(6).err).unwrap();
    assert_eq!(failure["error"], "unusable");
}
