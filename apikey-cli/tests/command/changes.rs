//! Changes of keys, and events.

use super::Place;

#[test]
fn fields_are_set_and_removed() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--name", "ci", "--metadata", "team=blue", "--permission", "orders:read"]);
    let changed = place.json(&[
        "update",
        &id,
        "--name",
        "deploy",
        "--permission",
        "orders:*",
        "--permission",
        "a:b",
        "--expires-in",
        "1d",
        "--metadata",
        "floor=2",
        "--without-metadata",
        "team",
    ]);
    assert_eq!(changed["name"], "deploy");
    assert_eq!(changed["permissions"], serde_json::json!(["orders:*", "a:b"]));
    assert_eq!(changed["metadata"], serde_json::json!({ "floor": "2" }));
    assert!(changed["expires_at"].is_string());
    place.fed(&secret, &["check", "--permission", "a:b"]).ok();
    let changed = place.json(&["update", &id, "--no-name", "--no-permissions", "--never-expires"]);
    assert_eq!((&changed["name"], &changed["expires_at"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(changed["permissions"], serde_json::json!([]));
    // Fields that are not named stay.
    assert_eq!(changed["metadata"], serde_json::json!({ "floor": "2" }));
    place.check(&secret).ok();
    place.run(&["update", &id, "--name", "x", "--no-name"]).with(2).says("cannot be used with");
}

#[test]
fn an_end_in_the_past_is_refused() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    for arguments in
        [&["update", &id, "--expires-at", "2001-01-31"][..], &["create", "bob", "--expires-at", "2001-01-31"]]
    {
        let refused = place.run(arguments).with(2).says("expires_at").says("2001-01-31");
        refused.says("times that have not come").says("revoke or disable");
    }
    place.check(&secret).ok();
    assert_eq!(place.json(&["list", "--owner", "bob"])["keys"], serde_json::json!([]));
}

#[test]
fn a_request_that_changes_nothing_says_so() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice", "--name", "ci"]);
    place.run(&["update", &id]).with(2).says("updates of one field or more");
    place
        .run(&["update", &id, "--name", "ci"])
        .ok()
        .shows("nothing changed: ")
        .shows("(alice, ci) is already in this state");
    assert_eq!(place.json(&["update", &id, "--name", "ci"])["changed"], false);
    assert_eq!(place.json(&["update", &id, "--name", "cd"])["changed"], true);
    place.run(&["enable", &id]).ok().shows("nothing changed: ");
    place.run(&["disable", &id]).ok().shows("disabled ");
    place.run(&["disable", &id]).ok().shows("nothing changed: ");
    let events = || place.json(&["events"])["events"].as_array().unwrap().len();
    let before = events();
    place.run(&["revoke", &id, "--reason", "alice left"]).ok().shows("revoked ");
    place
        .run(&["revoke", &id, "--reason", "leaked"])
        .ok()
        .shows("nothing changed: ")
        .shows("was revoked at")
        .shows("stays: alice left");
    let again = place.json(&["revoke", &id, "--reason", "leaked"]);
    assert_eq!((&again["changed"], &again["revoked"]["reason"]), (&false.into(), &"alice left".into()));
    assert_eq!(events(), before + 1);
}

#[test]
fn limits_and_networks_are_set_and_removed() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--limit", "100/1m", "--network", "10.0.0.0/8", "--network", "::1"]);
    place.run(&["show", &id]).ok().shows("100 in 60 s").shows("10.0.0.0/8 ::1");
    // An operator checks what the key is, not from where it is used.
    place.check(&secret).ok().shows("10.0.0.0/8");
    place.run(&["update", &id, "--limit", "5/1h", "--network", "192.0.2.0/24"]).ok();
    let shown = place.json(&["show", &id]);
    assert_eq!((&shown["limit"]["count"], &shown["networks"]), (&5.into(), &serde_json::json!(["192.0.2.0/24"])));
    place.run(&["update", &id, "--no-limit", "--any-network"]).ok();
    let shown = place.json(&["show", &id]);
    assert_eq!((&shown["limit"], &shown["networks"]), (&serde_json::Value::Null, &serde_json::json!([])));
    place.run(&["create", "bob", "--limit", "often"]).with(2).says("100/1m");
    place.run(&["create", "bob", "--limit", "0/1m"]).with(2).says("limit");
    place.run(&["create", "bob", "--network", "here"]).with(2).says("network");
    place.run(&["update", &id, "--limit", "1/1m", "--no-limit"]).with(2).says("cannot be used with");
}

#[test]
fn a_disabled_key_is_refused_until_it_is_enabled() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    place.run(&["disable", &id]).ok().shows("disabled ");
    place.check(&secret).with(1).shows("disabled_api_key");
    place.run(&["rotate", &id, "--overlap", "none"]).with(4).says("enable it first");
    place.run(&["enable", &id]).ok().shows("enabled ");
    place.check(&secret).ok();
    place.run(&["disable", "01931a4e-7c3b-7def-8123-456789abcdef"]).with(3).says("there is no key 01931a4e");
}

#[test]
fn events_are_shown_and_checked() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    place.run(&["revoke", &id, "--reason", "leaked"]).ok();
    let shown = place.run(&["events", "--key", &id]).ok().hides(&secret);
    assert_eq!(shown.out.lines().count(), 3);
    shown.shows("created").shows("revoked").shows("reason=leaked");
    let events = place.json(&["events", "--kind", "revoked"]);
    assert_eq!((&events["events"][0]["number"], &events["next"]), (&3.into(), &serde_json::Value::Null));
    assert_eq!(place.json(&["events", "--limit", "2"])["next"], 2);
    assert_eq!(place.json(&["events", "--after", "2"])["events"].as_array().unwrap().len(), 1);
    place.run(&["events", "--until", "1h"]).ok().says("no events");
    place.run(&["events", "--kind", "lost"]).with(2).says("secrets_erased");
    place.run(&["events", "--since", "yesterday"]).with(2).says("30d");

    place.run(&["doctor"]).ok().shows("good").shows("1 active").shows("1 revoked");
    let doctor = place.json(&["doctor"]);
    assert_eq!((&doctor["good"], &doctor["keys"]["revoked"]), (&true.into(), &1.into()));
    assert_eq!((&doctor["events"]["last"], &doctor["health"]["last_durable"]), (&3.into(), &3.into()));
}

#[test]
fn old_records_and_events_are_purged() {
    let (place, admin) = Place::with_store();
    let (id, _) = place.key(&["alice"]);
    place.run(&["revoke", &id]).ok();
    place.run(&["purge", "--before", "1d"]).ok().shows("purged 0 keys");
    place.run(&["purge", "--before", "2100-01-01"]).ok().shows("purged 1 keys");
    place.run(&["show", &id]).with(3);
    place.check(&admin).ok();
    place.run(&["purge-events", "--before", "1d"]).ok().shows("purged 0 events");
    assert_eq!(place.json(&["purge-events", "--before", "2100-01-01"])["purged"], 3);
    place.run(&["doctor"]).ok().shows("good");
    place.run(&["purge"]).with(2).says("--before");
}

#[test]
fn the_keys_of_a_list_are_changed_and_failures_are_reported() {
    let (place, _) = Place::with_store();
    let keys: Vec<String> = (0..4).map(|_| place.key(&["alice"]).0).collect();
    let none = "01931a4e-7c3b-7def-8123-456789abcdef";
    place.run(&["revoke", &keys[3], "--reason", "left"]).ok();
    let list = format!("# spare keys\n\n{}\n{}\nak_secret\n{none}\n{}\n", keys[0], keys[1], keys[0]);
    std::fs::write(place.path("list"), &list).unwrap();
    let state = |id: &str| place.json(&["show", id])["state"].as_str().unwrap().to_owned();

    // Without a confirmation, no list of keys is restricted.
    for command in ["disable", "revoke"] {
        place.run(&[command, "--from", "list"]).with(2).says("3 keys would be").says("--count 3");
        place.fed(&list, &[command, "--from", "-"]).with(2).says("--yes");
        place.run(&[command, "--from", "list", "--count", "4"]).with(2).says("the list has 3 keys");
    }
    assert!(keys[..3].iter().all(|id| state(id) == "active"));

    let done = place.run(&["disable", "--from", "list", "--count", "3", "--report", "report"]).with(1);
    let done = done.says(&format!("key {none}: there is no key")).says("line 5: invalid key id").hides("ak_secret");
    done.shows("disabled: 2 keys; disabled before: 0; refused: 2");
    let report = std::fs::read_to_string(place.path("report")).unwrap();
    assert!(report.contains(&format!("key\t{none}\tthere is no key")) && report.contains("line\t5\t"), "{report}");
    assert_eq!([0, 1, 2].map(|n: usize| state(&keys[n])), ["disabled", "disabled", "active"]);

    // A request that changes nothing leaves no event.
    let events = || place.json(&["events"])["events"].as_array().unwrap().len();
    let before = events();
    let all = keys.join("\n");
    let done =
        place.fed(&all, &["enable", "--from", "-"]).with(1).shows("enabled: 2 keys; enabled before: 1; refused: 1");
    done.says(&format!("key {}: ", keys[3])).says("revoked");
    assert_eq!(events(), before + 2);
    place.fed("", &["enable", "--from", "-"]).ok().shows("enabled: 0 keys");

    let done = place.fed(&all, &["--json", "revoke", "--from", "-", "--yes", "--reason", "audit"]).ok();
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document, serde_json::json!({ "revoked": 3, "unchanged": 1, "refused": [] }));
    assert_eq!(place.json(&["show", &keys[0]])["revoked"]["reason"], "audit");
    assert_eq!(place.json(&["show", &keys[3]])["revoked"]["reason"], "left");

    place.run(&["enable"]).with(2).says("--from");
    place.run(&["enable", none, "--from", "list"]).with(2);
    place.run(&["revoke", "--owner", "alice", "--from", "list"]).with(2);
    place.run(&["disable", none, "--yes"]).with(2).says("--from");
    place.run(&["disable", none, "--report", "other"]).with(2).says("--from");
    place.run(&["disable", "--from", "nowhere", "--yes"]).with(7).says("nowhere");
}
