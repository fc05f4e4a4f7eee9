//! Filters, dry runs, refusals, backups that are checked, imports that run again.

use std::fs;

use serde_json::{Value, json};

use super::Place;

/// A key that another system issued.
const LEGACY: &str = "legacy-7f3a9c1e5b2d4860";

#[test]
fn keys_are_listed_by_use_metadata_and_rotation() {
    let (place, _) = Place::with_store();
    place.key(&["alice", "--name", "blue", "--metadata", "team=blue", "--metadata", "floor=2"]);
    place.key(&["alice", "--name", "rotating", "--metadata", "team=blue", "--rotate-every", "30d"]);
    let names = |arguments: &[&str]| {
        let listed = place.json(&[&["list"], arguments].concat());
        let name = |key: &Value| key["name"].as_str().unwrap().to_owned();
        listed["keys"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&["--metadata", "team=blue"]), ["blue", "rotating"]);
    assert_eq!(names(&["--metadata", "team=blue", "--metadata", "floor=2"]), ["blue"]);
    assert_eq!(names(&["--never-used"]), ["first", "blue", "rotating"]);
    assert_eq!(names(&["--idle-since", "1d"]), [""; 0]);
    assert_eq!(names(&["--idle-since", "2100-01-01"]), ["first", "blue", "rotating"]);
    assert_eq!(names(&["--rotation-due-within", "29d"]), [""; 0]);
    assert_eq!(names(&["--rotation-due-within", "31d"]), ["rotating"]);
    place.run(&["list", "--metadata", "team"]).with(2).says("team=blue");
    place.run(&["list", "--idle-since", "soon"]).with(2).says("30d");
}

#[test]
fn a_service_knows_which_keys_are_used() {
    let place = Place::new();
    let store = apikey_core::KeyStore::open(place.path("keys.db")).unwrap();
    let created = store.create(apikey_core::NewKey::for_owner("alice")).unwrap();
    store.create(apikey_core::NewKey::for_owner("bob")).unwrap();
    store.verify(created.key.expose_secret()).unwrap();
    store.close().unwrap();
    assert_eq!(place.json(&["list", "--never-used"])["keys"][0]["owner"], "bob");
    place.run(&["list", "--owner", "alice"]).ok().shows("LAST USED").hides("never   never");
}

#[test]
fn the_begin_and_single_permissions_are_changed() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--permission", "orders:read,stock:*"]);
    let grants = || place.json(&["show", &id])["permissions"].clone();
    assert_eq!(grants(), json!(["orders:read", "stock:*"]));
    place.run(&["update", &id, "--add-permission", "a:b,c:d", "--remove-permission", "stock:*"]).ok();
    assert_eq!(grants(), json!(["orders:read", "a:b", "c:d"]));
    let absent = place.run(&["update", &id, "--remove-permission", "orders:write"]).with(2);
    absent.says("--remove-permission \"orders:write\"").says("permissions of the key");
    place.run(&["update", &id, "--add-permission", "Orders"]).with(2).says("lower case");
    place.run(&["update", &id, "--add-permission", "x", "--permission", "y"]).with(2).says("cannot be used with");
    place.run(&["update", &id, "--not-before", "2100-01-01"]).ok();
    place.check(&secret).with(1).shows("inactive_api_key");
    place
        .run(&["update", &id, "--not-before", "2100-01-01", "--expires-at", "2099-01-01"])
        .with(2)
        .says("--not-before");
    place.run(&["update", &id, "--valid-now"]).ok();
    place.check(&secret).ok();
    place.run(&["events", "--last", "1"]).ok().shows("not_before=2100-01-01T00:00:00Z->none");
}

#[test]
fn a_dry_run_shows_what_would_go_and_deletes_nothing() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice", "--name", "old"]);
    place.run(&["revoke", &id]).ok();
    let before = ["--before", "0s"];
    let dry = place.run(&[&["purge", "--dry-run"], &before[..]].concat()).ok();
    dry.shows(&id).shows("old").shows("would purge 1 key; their events stay");
    let document = place.json(&[&["purge", "--dry-run"], &before[..]].concat());
    assert_eq!((&document["would_purge"], &document["keys"][0]["id"]), (&1.into(), &id.as_str().into()));
    place.run(&["purge", "--dry-run", "--before", "1d"]).ok().shows("would purge 0 keys");
    let dry = place.run(&[&["purge-events", "--dry-run"], &before[..]].concat()).ok();
    dry.shows("would purge 2 events: from event 1 of 20").shows("to event 2 of 20");
    let document = place.json(&[&["purge-events", "--dry-run"], &before[..]].concat());
    assert_eq!((&document["would_purge"], &document["last"]["number"]), (&2.into(), &2.into()));
    place.run(&["purge-events", "--dry-run", "--before", "1d"]).ok().shows("would purge 0 events\n");
    // Nothing is gone, and the purge does as it was shown.
    assert_eq!(place.json(&["events"])["events"].as_array().unwrap().len(), 3);
    assert_eq!(place.json(&[&["purge-events", "--yes"], &before[..]].concat())["purged"], 2);
    assert_eq!(place.json(&[&["purge", "--yes"], &before[..]].concat())["purged"], 1);
}

#[test]
#[cfg(target_os = "linux")]
fn refusals_of_a_service_are_shown_with_key_and_address() {
    use apikey_core::{Attempt, KeyStore, NewKey};

    let place = Place::new();
    let store = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    place.run(&["refusals"]).ok().says("no refusals since");
    let key = store.create(NewKey::for_owner("alice").networks(["10.0.0.0/8"])).unwrap();
    let id = key.info.id().to_string();
    let peer: std::net::IpAddr = "192.0.2.7".parse().unwrap();
    for _ in 0..3 {
        store.check(&Attempt::new(key.key.expose_secret()).peer(peer)).unwrap_err();
    }
    store.verify("ak_no").unwrap_err();
    let shown = place.run(&["refusals"]).ok().says("4 in all");
    shown.shows("address_not_allowed").shows("192.0.2.7").shows(&id).shows("alice").shows("invalid_api_key");
    let document = place.json(&["refusals", "--key", &id]);
    assert_eq!((&document["total"], &document["refusals"][0]["count"]), (&3.into(), &3.into()));
    assert_eq!(document["refusals"][0]["last_peer"], "192.0.2.7");
    assert!(document["refusals"][0]["last_at"].is_string());
    assert_eq!(place.json(&["refusals", "--code", "revoked_api_key"])["total"], 0);
    place.run(&["refusals", "--code", "nope"]).with(2).says("'nope'").says("revoked_api_key");
    place.run(&["refusals", "--limit", "1"]).ok().shows("address_not_allowed").says("1 lines with lower counts");
    store.close().unwrap();
    place.run(&["refusals"]).ok().says("no service has the store open");
    assert_eq!(place.json(&["refusals"])["service"], false);
}

#[test]
fn a_backup_is_checked_without_a_store() {
    let (place, _) = Place::with_store();
    let made = place.run(&["backup", "keys.backup"]).ok().out;
    let elsewhere = Place::new();
    fs::copy(place.path("keys.backup"), elsewhere.path("keys.backup")).unwrap();
    let checked = elsewhere.run(&["backup", "--verify", "keys.backup"]).ok();
    assert_eq!(checked.out.strip_prefix("good\n").map(str::len), Some(made.len()));
    assert_eq!(elsewhere.json(&["backup", "keys.backup", "--verify"])["records"], 1);
    assert!(!elsewhere.path("keys.db").exists());
    let mut bytes = fs::read(elsewhere.path("keys.backup")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(elsewhere.path("keys.backup"), &bytes).unwrap();
    elsewhere.run(&["backup", "--verify", "keys.backup"]).with(6).says("is damaged");
    fs::write(elsewhere.path("keys.backup"), &bytes[..middle]).unwrap();
    elsewhere.run(&["backup", "--verify", "keys.backup"]).with(6);
    elsewhere.run(&["backup", "--verify", "none.backup"]).with(7).says("none.backup");
}

#[test]
fn an_import_can_be_run_again() {
    let (place, _) = Place::with_store();
    let lines = format!("{LEGACY}-1\n{LEGACY}-2\n");
    place.fed(&lines, &["import", "--owner", "alice"]).ok().shows("imported: 2 keys; refused: 0 lines");
    place.fed(&lines, &["import", "--owner", "alice"]).with(1).says("is held already");
    let more = format!("{lines}{LEGACY}-3\nshort\n");
    let again = ["import", "--owner", "alice", "--skip-existing"];
    let dry = place.fed(&more, &[&again[..], &["--dry-run"]].concat()).with(1);
    dry.shows("would be imported: 1 key; there already: 2; refused: 1 line");
    let done = place.fed(&more, &again).with(1).shows("imported: 1 key; there already: 2; refused: 1 line");
    assert_eq!(done.err.lines().count(), 1, "{}", done.err);
    let document = place.fed(&more, &[&["--json"], &again[..]].concat()).with(1).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["imported"], &document["existing"]), (&0.into(), &3.into()));
    // Twice in one input is a fault of the input.
    place.fed(format!("{LEGACY}-9\n{LEGACY}-9\n"), &again).with(1).says("is given twice");

    place.run(&["export", "--digests", "--out", "keys.jsonl"]).ok();
    let exported = fs::read_to_string(place.path("keys.jsonl")).unwrap();
    let copy = Place::new();
    copy.fed(&exported, &["import-lines", "--make"]).ok();
    copy.fed(&exported, &["import-lines"]).with(1).says("already");
    copy.fed(&exported, &["import-lines", "--skip-existing"]).ok().shows("there already: 5; refused: 0 lines");
}

#[test]
fn each_fault_is_shown_though_another_has_many_lines() {
    let (place, _) = Place::with_store();
    let many = (0..30).map(|at| format!("{LEGACY}-{at}\n")).collect::<String>();
    place.fed(&many, &["import", "--owner", "a"]).ok();
    let lines = format!("{many}{}{LEGACY}-new\ta\tb\tc\n", "short\n".repeat(25));
    let done = place.fed(&lines, &["import", "--owner", "a"]).with(1);
    assert_eq!(done.err.matches("is held already").count(), 21, "{}", done.err);
    let done = done.says("line 56: it has more than three parts").says("10 more like line 1: a key with this digest");
    done.says("5 more like line 31: the secret is shorter").says("and 15 more: --report FILE writes all of them");
}

#[test]
fn peppers_come_from_the_environment() {
    let place = Place::new();
    for name in ["one", "two,2=x"] {
        fs::write(place.path(name), [7; 32]).unwrap();
    }
    let with = |value: &str, arguments: &[&str]| {
        let mut command = place.command(arguments);
        place.done(command.env("APIKEY_PEPPER", value), "")
    };
    with("1=one", &["init"]).ok();
    with("1=one", &["list"]).ok();
    place.run(&["list"]).with(2).says("pepper");
    // A comma ends a pepper only if another one follows it.
    fs::write(place.path("a,b"), [8; 32]).unwrap();
    with("1=one,2=a,b", &["create", "bob"]).ok();
    with("1=one", &["list"]).with(2).says("pepper");
    with("1=one,2=a,b", &["list"]).ok();
    with("one", &["list"]).with(2).says("1=/etc/acme/pepper");
}

#[test]
fn messages_are_for_people() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice"]);
    let wrong: &[&[&str]] = &[
        &["update", &id, "--rotate-every", "1ms"],
        &["update", &id, "--rotate-every", "1h", "--rotate-overlap", "2h"],
        &["update", &id, "--rotate-every", "1h", "--rotate-overlap", "none"],
        &["update", &id, "--limit", "1/400d"],
        &["rotate", &id, "--overlap", "0s"],
        &["create", "a", "--expires-at", "2001-01-31"],
        &["create", "a", "--expires-in", "9000y"],
    ];
    for arguments in wrong {
        let done = place.run(arguments).with(2);
        for rust in ["::", "PT", "P1", "TimeDelta", "Some(", "None", "{ ", "()"] {
            assert!(!done.err.contains(rust), "{arguments:?}: {}", done.err);
        }
    }
    place.run(&["update", &id, "--limit", "1/400d"]).with(2).says("invalid --limit \"400 days\"");
    let _service = apikey_core::KeyStore::open(place.path("keys.db")).unwrap();
    place.run(&["list"]).with(5).says("It offers no admin socket").hides("::");
}

#[test]
fn ten_thousand_keys_are_listed() {
    let place = Place::new();
    let store = apikey_core::KeyStore::open(place.path("keys.db")).unwrap();
    store.create_many((0..10_000).map(|_| apikey_core::NewKey::for_owner("alice"))).unwrap();
    store.close().unwrap();
    let list = place.run(&["list"]).ok().out;
    assert_eq!(list.lines().count(), 10_001);
    assert_eq!(place.json(&["list"])["keys"].as_array().unwrap().len(), 10_000);
    let last = list.lines().last().unwrap().split_whitespace().next().unwrap();
    place.run(&["show", last]).ok();
}

#[test]
fn wrong_arguments_are_json_for_programs() {
    let (place, admin) = Place::with_store();
    for arguments in [&["--json", "lst"][..], &["list", "--json", "--state", "x"], &["--json", "show", &admin, &admin]]
    {
        let done = place.run(arguments).with(2).hides(&admin);
        let error: Value = serde_json::from_str(&done.err).unwrap();
        assert_eq!((&error["error"], &error["exit"]), (&"usage".into(), &2.into()));
        assert!(!error["text"].as_str().unwrap().contains('\u{1b}'));
    }
}

#[test]
fn options_that_do_not_fit_the_store_name_those_that_do() {
    let (place, _) = Place::with_store();
    place.run(&["--prefixes", "acme", "list"]).with(2).says("give --prefixes ak, or name both").hides("::");
    fs::write(place.path("pepper"), [7; 32]).unwrap();
    place.run(&["--pepper", "1=pepper", "create", "bob"]).ok();
    place.run(&["list"]).with(2).says("give it with --pepper 1=FILE").hides("::");
}

#[test]
fn man_pages_have_the_examples() {
    let place = Place::new();
    place.run(&["man", "--dir", "."]).ok();
    let names = fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let helps: Vec<String> = names.filter(|name| name.contains("help")).collect();
    assert!(helps.is_empty(), "{helps:?}");
    let page = fs::read_to_string(place.path("apikey-purge-events.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES\n") && page.contains("apikey purge\\-events \\-\\-before"), "{page}");
    let pages = fs::read_dir(place.path("")).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap());
    let named: Vec<String> = pages.filter(|name| name.ends_with(".1")).collect();
    assert!(named.len() > 25 && named.contains(&"apikey.1".to_owned()), "{named:?}");
}
