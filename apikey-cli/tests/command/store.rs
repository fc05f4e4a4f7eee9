//! Which store, and what if it cannot be used.

use apikey_core::{KeyStore, NewKey};

use super::Place;

#[test]
fn the_first_key_is_made_where_none_ever_was() {
    let place = Place::new();
    let made = place.run(&["init", "--out", "admin.key"]).ok();
    assert_eq!(made.out, "");
    let admin = std::fs::read_to_string(place.path("admin.key")).unwrap();
    place.fed(&admin, &["check", "--permission", "keys:manage"]).ok().shows("admin");
    place.run(&["init"]).with(4).says("has had keys");

    // Not even where no key is left.
    let id = place.json(&["list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    place.run(&["revoke", &id]).ok();
    assert_eq!(place.run(&["init", "--out", "again.key"]).with(4).out, "");
    assert!(!place.path("again.key").exists());
}

#[test]
fn a_store_that_a_service_has_open_is_in_use() {
    let (place, _) = Place::with_store();
    let service = KeyStore::open(place.path("keys.db")).unwrap();
    service.create(NewKey::for_owner("alice")).unwrap();
    let held = format!("keys.db is in use by process {}", std::process::id());
    for arguments in [&["list"][..], &["create", "bob"], &["init"], &["check"]] {
        let refused = place.run(arguments).with(5).says(&held).says("It offers no admin socket").says("stop it");
        assert_eq!(refused.out, "");
    }
    service.close().unwrap();
    drop(service);
    place.run(&["list"]).ok().shows("alice");
}

#[test]
fn a_store_that_is_not_there_is_not_made() {
    let place = Place::new();
    place.run(&["list"]).with(6).says("there is no key store at keys.db").says("apikey init");
    place.run(&["create", "alice"]).with(6);
    assert!(!place.path("keys.db").exists());
    std::fs::write(place.path("file"), "x").unwrap();
    place.run(&["--store", "file", "list"]).with(6).says("is no key store");
    place.done(place.command(&["list"]).env_remove("APIKEY_STORE"), "").with(2).says("--store DIR or APIKEY_STORE");
}

#[test]
fn prefix_and_peppers_are_those_of_the_store() {
    let place = Place::new();
    std::fs::write(place.path("one"), [7; 32]).unwrap();
    std::fs::write(place.path("two"), [8; 32]).unwrap();
    let options = ["--prefix", "acme_live", "--pepper", "1=one"];
    let admin = place.run(&[&options[..], &["init"]].concat()).ok().out;
    assert!(admin.starts_with("acme_live_"), "{admin}");
    place.fed(&admin, &[&options[..], &["check"]].concat()).ok();
    place.run(&["--pepper", "1=one", "list"]).with(2).says("--prefix");
    place.run(&["--prefix", "acme_live", "list"]).with(2).says("pepper 1 is missing").says("--pepper NUMBER=FILE");
    place.run(&["--prefix", "acme_live", "--pepper", "1=two", "list"]).with(2).says("pepper 1");
    place.run(&["--pepper", "1=three", "list"]).with(7).says("three");
    place.run(&["--pepper", "one", "list"]).with(2).says("1=/etc/acme/pepper");
}

#[test]
fn a_bench_leaves_the_store_and_its_place_as_they_were() {
    let (place, _) = Place::with_store();
    let service = KeyStore::open(place.path("keys.db")).unwrap();
    let bench = ["bench", "--keys", "20", "--time", "20ms"];
    let measured = place.json(&bench);
    assert_eq!(measured["keys"], 20);
    for rate in ["verifications_per_second", "verifications_per_second_on_all_threads", "create_p99_seconds"] {
        assert!(measured[rate].as_f64().unwrap() > 0.0, "{measured}");
    }
    place.run(&bench).ok().shows("on one thread").shows("create, p99");
    assert_eq!(service.health().durable, 1);
    assert_eq!(std::fs::read_dir(place.path("")).unwrap().count(), 1);
    place.run(&["--store", "no/such/place", "bench"]).with(7).says("no/such");
    place.run(&["bench", "--time", "soon"]).with(2).says("soon");
}

#[test]
fn the_exit_codes_stand_in_the_help() {
    let help = Place::new().run(&["--help"]).ok();
    for line in ["  0  done", "  1  the answer is no", "  5  the store is in use", "  7  a file, the disk"] {
        assert!(help.out.contains(line), "{}", help.out);
    }
}
