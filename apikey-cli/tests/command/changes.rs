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
fn labels_are_set_changed_removed_and_shown() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice", "--label", "plan=pro", "--label", "region=eu"]);
    place.run(&["show", &id]).ok().shows("label plan").shows("pro").shows("label region");
    place.run(&["list", "--owner", "alice", "--columns", "labels"]).ok().shows("plan=pro region=eu");
    let changed = place.json(&["update", &id, "--label", "plan=free", "--without-label", "region"]);
    assert_eq!(changed["labels"], serde_json::json!({ "plan": "free" }));
    place.run(&["events", "--key", &id]).ok().shows("labels");
    place.run(&["update", &id, "--label", "Plan=pro"]).with(2).says("invalid --label name \"Plan\"");
    place.run(&["create", "bob", "--label", "plan="]).with(2).says("invalid --label value");
    let five = ["a=1", "b=1", "c=1", "d=1", "e=1"].map(|label| ["--label", label]).concat();
    place.run(&[&["create", "bob"][..], &five].concat()).with(2).says("invalid --label \"5 labels\"");
    place.run(&["create", "bob", "--label", "a=1", "--label", "a=2"]).with(2).says("--label a is given twice");
    let both = ["update", &id, "--label", "a=1", "--without-label", "a"];
    place.run(&both).with(2).says("--label and --without-label both name a");
}

#[test]
fn a_key_has_a_prefix_of_its_own() {
    let place = Place::new();
    let all = ["--prefixes", "acme_live,acme_test"];
    let run = |arguments: &[&str]| place.run(&[&all[..], arguments].concat());
    run(&["init", "--out", "admin.key"]).ok();
    let test = run(&["create", "alice", "--prefix", "acme_test"]).ok().out.trim().to_owned();
    let live = run(&["create", "bob"]).ok().out.trim().to_owned();
    assert!(test.starts_with("acme_test_") && live.starts_with("acme_live_"), "{test} {live}");
    let of_test = run(&["list", "--prefix", "acme_test"]).ok();
    of_test.shows("alice").hides("bob");
    let beginning = test.get(..18).unwrap();
    run(&["show", beginning]).ok().shows("acme_test, also after a rotation");
    let rotated = run(&["rotate", beginning, "--overlap", "24h"]).ok().out.trim().to_owned();
    assert!(rotated.starts_with("acme_test_"), "{rotated}");
    run(&["create", "alice", "--prefix", "acme"]).with(2).says("invalid --prefix \"acme\"");
    place.run(&["--prefixes", "acme_live", "list"]).with(2).says("acme_test").says("--prefixes");
    place.run(&["--prefixes", "acme_live,acme_live", "list"]).with(2).says("it is given twice");
}

#[test]
fn an_end_in_the_past_is_refused() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice"]);
    for arguments in
        [&["update", &id, "--expires-at", "2001-01-31"][..], &["create", "bob", "--expires-at", "2001-01-31"]]
    {
        let refused = place.run(arguments).with(2).says("--expires-at").says("2001-01-31");
        refused.says("times in the future").says("revoke or disable");
    }
    place.check(&secret).ok();
    assert_eq!(place.json(&["list", "--owner", "bob"])["keys"], serde_json::json!([]));
}

#[test]
fn a_request_that_changes_nothing_says_so() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice", "--name", "ci"]);
    for (arguments, says) in [
        (&["update", &id, "--expires-at", "2001-01-31"][..], "invalid --expires-at"),
        (&["update", &id, "--expires-in", "0s"], "invalid --expires-in"),
        (&["update", &id, "--not-before", "2035-01-31", "--expires-at", "2034-01-31"], "invalid --not-before"),
        (&["create", "bob", "--not-before", "2035-01-31", "--expires-at", "2034-01-31"], "--not-before"),
        (&["create", "bob", "--expires-in", "0s"], "invalid --expires-in "),
    ] {
        place.run(arguments).with(2).says(says).hides("expires_").hides("not_before");
    }
    place.run(&["update", &id]).with(2).says("name at least one change, such as --name");
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
    place.run(&["show", &id]).ok().shows("100 in 1 minute").shows("10.0.0.0/8 ::1");
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
    place
        .run(&["rotate", &id, "--overlap", "1h"])
        .with(4)
        .says("enable it first, or rotate it with --overlap none, which ends");
    place.run(&["enable", &id]).ok().shows("enabled ");
    place.check(&secret).ok();
    place.run(&["disable", &id]).ok();
    let new = place.run(&["rotate", &id, "--overlap", "none"]).ok().out;
    place.check(new.trim()).with(1).shows("disabled_api_key");
    place.check(&secret).with(1).shows("invalid_api_key");
    place.run(&["enable", &id]).ok();
    place.check(new.trim()).ok();
    place.check(&secret).with(1).shows("invalid_api_key");
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
    assert_eq!(place.json(&["events", "--last", "2"])["next"], 2);
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
    for command in ["purge", "purge-events"] {
        place.run(&[command, "--before", "2100-01-01", "--yes"]).with(2).says("invalid --before 2100-01-01T00:00:00Z");
    }
    place.run(&["purge", "--before", "0s"]).with(2).says("1 key would be purged: give --yes, or --count 1");
    place
        .run(&["purge", "--before", "0s", "--count", "2"])
        .with(2)
        .says("--count 2 does not match: 1 key would be purged; no key was purged");
    place.run(&["purge", "--before", "0s", "--count", "1"]).ok().shows("purged 1 key\n");
    place.run(&["show", &id]).with(3);
    place.check(&admin).ok();
    place.run(&["purge-events", "--before", "1d"]).ok().shows("purged 0 events");
    place.run(&["purge-events", "--before", "0s"]).with(2).says("3 events would be purged");
    assert_eq!(place.json(&["purge-events", "--before", "0s", "--yes"])["purged"], 3);
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
        place.run(&[command, "--from", "list", "--count", "4"]).with(2).says("--count 4 does not match: 3 keys");
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

#[test]
fn an_entry_of_metadata_has_one_value() {
    let (place, _) = Place::with_store();
    let (id, _) = place.key(&["alice"]);
    for command in [&["create", "bob"][..], &["update", &id]] {
        let twice = [command, &["--metadata", "team=a", "--metadata", "team=b"]].concat();
        place.run(&twice).with(2).says("--metadata team is given twice");
    }
    place
        .run(&["update", &id, "--metadata", "team=a", "--without-metadata", "team"])
        .with(2)
        .says("--metadata and --without-metadata both name team");
    place.run(&["--pepper", "1=absent", "list"]).with(7).says("pepper 1 cannot be read from absent: ");
}

#[test]
fn a_long_name_in_an_error_is_cut_and_lines_are_numbers() {
    let (place, _) = Place::with_store();
    let long = "n".repeat(500);
    let entry = format!("{long}=a");
    let cut = format!("{}…", "n".repeat(80));
    let long_ones: [&[&str]; 3] = [
        &["create", "bob", "--metadata", &entry, "--metadata", &entry],
        &["create", &long],
        &["disable", "--owner", &long, "--yes"],
    ];
    for arguments in long_ones {
        let done = place.run(arguments);
        assert!(done.code != 0 && done.err.contains(&cut) && !done.err.contains(&"n".repeat(81)), "{done:?}");
    }
    let mut command = place.command(&["--json", "disable", "--from", "-", "--yes"]);
    let done = place.done(&mut command, "nonsense\n").with(1);
    let document: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(document["refused"][0]["line"], 1, "{document}");
}
