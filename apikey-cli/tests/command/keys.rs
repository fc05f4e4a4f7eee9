//! The life of a key.

use apikey_core::KeyStore;
use serde_json::Value;

use super::Place;

/// On a store that a service with a catalogue has left, and on one that a service has open.
#[test]
fn a_permission_that_the_service_never_asks_for_is_refused() {
    let place = Place::new();
    let shop = || KeyStore::builder().catalog(["orders:read", "orders:write"]);
    shop().open(place.path("keys.db")).unwrap().close().unwrap();
    let refuses = |place: &Place| {
        let hint = "invalid permission \"orders:raed\": it matches no permission of this store's catalogue; did you mean \
                    \"orders:read\"?";
        place.run(&["create", "alice", "--permission", "orders:raed"]).with(2).says(hint);
        place.fed("legacy-7f3a9c1e5b2d4860\tbob\n", &["import", "--permission", "orders:raed"]).says("orders:read");
        let (id, _) = place.key(&["alice", "--permission", "orders:*"]);
        place.run(&["update", &id, "--permission", "order:*"]).with(2).says("did you mean \"orders:*\"?");
        place.run(&["export", "--out", "keys.jsonl"]).ok();
        let lines = std::fs::read_to_string(place.path("keys.jsonl")).unwrap().replace("orders:*", "order:*");
        let other = place.fed(lines.replace(&id, "01931a4e-7c3b-7def-8123-456789abcdef"), &["import-lines"]);
        other.says("did you mean \"orders:*\"?");
    };
    refuses(&place);
    #[cfg(target_os = "linux")]
    {
        std::fs::remove_file(place.path("keys.jsonl")).unwrap();
        let service = shop().admin_socket(true).open(place.path("keys.db")).unwrap();
        refuses(&place);
        service.close().unwrap();
    }
    // A store that never had a catalogue accepts every grant.
    let (plain, _) = Place::with_store();
    plain.run(&["create", "alice", "--permission", "orders:raed"]).ok();
}

#[test]
fn a_key_is_created_listed_shown_checked_rotated_and_revoked() {
    let (place, _) = Place::with_store();
    let made = place.run(&[
        "create",
        "alice",
        "--name",
        "ci",
        "--permission",
        "orders:read",
        "--permission",
        "customers:*",
        "--expires-in",
        "90d",
        "--metadata",
        "team=blue",
    ]);
    let made = made.ok().says("created ").says("(alice, ci)");
    let first = made.out.trim();
    assert!(first.starts_with("ak_") && first.len() == 63 && made.out.lines().count() == 1, "{}", made.out);
    assert!(!made.err.contains(first));

    let list = place.run(&["list", "--owner", "alice"]).ok().shows("OWNER").shows("in 90 days").hides(first);
    assert_eq!(list.out.lines().count(), 2);
    let id = list.out.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    let shown = place.run(&["show", &id]).ok().hides(first);
    shown.shows("orders:read customers:*").shows("metadata team").shows("blue").shows("active").shows("never");

    place.check(first).ok().shows("good").shows("alice").hides(first);
    let second = place.run(&["rotate", &id, "--overlap", "24h"]).ok().says("rotated").out.trim().to_owned();
    assert_ne!(first, second);
    place.check(first).ok().shows("an old secret").shows("in 24 hours");
    place.check(&second).ok().shows("number 2").shows("valid until");
    let third = place.run(&["rotate", &id, "--overlap", "none"]).ok().out.trim().to_owned();
    for ended in [first, &second] {
        place.check(ended).with(1).shows("invalid_api_key").hides(ended);
    }
    place.run(&["revoke", &id, "--reason", "left"]).ok().shows("revoked");
    place.check(&third).with(1).shows("revoked_api_key").hides(&third);
    place.run(&["show", &id]).ok().shows("left");
    place.run(&["rotate", &id, "--overlap", "none"]).with(4).says("the key is revoked");
}

#[test]
fn a_check_requires_permissions() {
    let (place, _) = Place::with_store();
    let (_, secret) = place.key(&["alice", "--permission", "orders:*"]);
    place.fed(&secret, &["check", "--permission", "orders:read"]).ok();
    let no = place.fed(&secret, &["check", "--permission", "orders:read", "--permission", "keys:create"]);
    let no = no.with(1).shows("insufficient_permission").shows("keys:create");
    assert!(!no.out.lines().next().unwrap().contains("orders:read"), "{no:?}");
    place.fed(&secret, &["check", "--permission", "Orders"]).with(2).says("permissions are lower case");
}

#[test]
fn a_check_does_not_count_as_use() {
    let (place, _) = Place::with_store();
    let (id, old) = place.key(&["alice"]);
    let new = place.json(&["rotate", &id, "--overlap", "first-use"])["secret"].as_str().unwrap().to_owned();
    place.check(&new).ok().shows("number 2");
    place.check(&old).ok().shows("ends when the new one is used");
    let shown = place.json(&["show", &id]);
    assert_eq!((&shown["overlap"], &shown["last_used_at"]), (&"first_use".into(), &serde_json::Value::Null));
}

#[test]
fn all_keys_of_an_owner_are_revoked_at_once() {
    let (place, admin) = Place::with_store();
    let (_, one) = place.key(&["alice"]);
    let (_, two) = place.key(&["alice"]);
    place.run(&["revoke", "--owner", "alice"]).with(2).says("2 keys would be revoked: give --yes, or --count 2");
    place
        .run(&["revoke", "--owner", "alice", "--count", "3"])
        .with(2)
        .says("--count 3 does not match: 2 keys would be revoked; no key was revoked");
    place.run(&["disable", "--owner", "alice"]).with(2).says("2 keys would be disabled");
    place.run(&["disable", "--owner", "alice", "--yes"]).ok().shows("disabled: 2 keys");
    place.run(&["enable", "--owner", "alice"]).ok().shows("enabled: 2 keys");
    for command in [&["revoke"][..], &["disable"], &["enable"]] {
        let none = place.run(&[command, &["--owner", "Alice", "--yes"]].concat()).with(3);
        none.says("no key has the owner \"Alice\": near it are \"alice\"");
    }
    place.run(&["revoke", "--owner", "zzz", "--yes"]).with(3).says("`apikey list` shows the owners");
    place.run(&["revoke", "--owner", "alice", "--count", "2"]).ok().shows("revoked 2 keys of alice");
    place.run(&["revoke", "--owner", "alice"]).ok().shows("revoked 0 keys");
    for gone in [&one, &two] {
        place.check(gone).with(1);
    }
    place.check(&admin).ok();
}

#[test]
fn a_list_is_filtered_and_limited() {
    let (place, _) = Place::with_store();
    let (first, _) = place.key(&["alice", "--name", "one", "--expires-in", "1h"]);
    place.key(&["alice", "--name", "second", "--permission", "orders:*"]);
    let names = |arguments: &[&str]| {
        let listed = place.json(&[&["list"], arguments].concat());
        let name = |key: &serde_json::Value| key["name"].as_str().unwrap().to_owned();
        listed["keys"].as_array().unwrap().iter().map(name).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["first", "one", "second"]);
    assert_eq!(names(&["--owner", "alice"]), ["one", "second"]);
    assert_eq!(names(&["--text", "SECON"]), ["second"]);
    assert_eq!(names(&["--permission", "orders:read"]), ["first", "second"]);
    // With a wildcard, exactly that grant.
    assert_eq!(names(&["--permission", "orders:*"]), ["second"]);
    assert_eq!(names(&["--permission", "*", "--limit", "1"]), ["first"]);
    place.run(&["list", "--permission", "orders*"]).with(2).says("--permission \"orders*\"");
    assert_eq!(names(&["--expiring-within", "1d"]), ["one"]);
    assert_eq!(names(&["--state", "revoked"]), [""; 0]);
    assert_eq!(names(&["--after", &first]), ["second"]);
    let page = place.json(&["list", "--owner", "alice", "--limit", "1"]);
    assert_eq!((page["keys"].as_array().unwrap().len(), &page["next"]), (1, &first.as_str().into()));
    place.run(&["list", "--limit", "1"]).ok().says("there may be more: --after ");
    place.run(&["list", "--owner", "nobody"]).ok().says("no key has the owner \"nobody\"");
}

#[test]
fn json_has_the_fields_of_the_library_and_the_state() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--permission", "orders:read"]);
    let shown = place.json(&["show", &id]);
    let mut fields: Vec<&String> = shown.as_object().unwrap().keys().collect();
    // Their order depends on the features of serde_json that the build enables.
    fields.sort();
    let expected = [
        "created_at",
        "disabled",
        "ended_secret",
        "expires_at",
        "has_secret",
        "hint",
        "id",
        "idle_after_ms",
        "idle_at",
        "keeps_prefix",
        "labels",
        "last_event",
        "last_used_at",
        "limit",
        "metadata",
        "name",
        "networks",
        "not_before",
        "overlap",
        "owner",
        "permissions",
        "prefix",
        "quota",
        "revoked",
        "roles",
        "rotation",
        "secret_expires_at",
        "secret_until",
        "state",
        "tenant",
        "uses_total",
        "version",
    ];
    assert_eq!(fields, expected);
    assert_eq!(shown["state"], "active");
    let good: serde_json::Value = serde_json::from_str(&place.fed(&secret, &["check", "--json"]).ok().out).unwrap();
    assert_eq!((&good["good"], &good["key"]["id"]), (&true.into(), &id.as_str().into()));
    let bad: serde_json::Value = serde_json::from_str(&place.fed("ak_no", &["check", "--json"]).with(1).out).unwrap();
    assert_eq!((&bad["good"], &bad["code"]), (&false.into(), &"invalid_api_key".into()));
    let refused = place.run(&["--json", "show", "01931a4e-7c3b-7def-8123-456789abcdef"]).with(3);
    let error: serde_json::Value = serde_json::from_str(&refused.err).unwrap();
    assert_eq!((&error["error"], &error["exit"]), (&"not_found".into(), &3.into()));
}

#[test]
fn errors_name_field_value_and_allowed_values() {
    let (place, _) = Place::with_store();
    place.run(&["create", "alice", "--permission", "Orders"]).with(2).says("\"Orders\"").says("try \"orders\"");
    place.run(&["create", &"a".repeat(129)]).with(2).says("owner").says("1 to 128 bytes");
    place.run(&["create", "alice", "--expires-in", "soon"]).with(2).says("soon").says("--expires-in").says("90d");
    place.run(&["create", "alice", "--metadata", "x"]).with(2).says("team=blue");
    place.run(&["rotate", "no", "--overlap", "none"]).with(2).says("a UUID such as");
    place.run(&["rotate", "no", "--overlap", "later"]).with(2).says("later").says("first-use");
    let (id, _) = place.key(&["alice"]);
    place.run(&["rotate", &id, "--overlap", "0s"]).with(2).says("overlap");
}

#[test]
fn a_check_names_the_owner_of_an_invalid_key() {
    let (place, _) = Place::with_store();
    let (id, secret) = place.key(&["alice", "--name", "ci", "--permission", "a:read", "--network", "10.0.0.0/8"]);
    let whose = format!("it is {id} (alice, ci): ");
    let check = |arguments: &[&str]| place.fed(&secret, &[&["check"], arguments].concat());
    check(&[]).ok();
    check(&["--peer", "10.9.8.7"]).ok().shows("good");
    let away = check(&["--peer", "192.0.2.1"]).with(1).shows("address_not_allowed");
    away.shows(&format!("{whose}active, networks 10.0.0.0/8")).hides(&secret);
    check(&["--peer", "::ffff:10.0.0.1"]).ok();
    check(&["--peer", "here"]).with(2).says("--peer").hides(&secret);
    check(&["--permission", "a:write"]).with(1).shows(&format!("{whose}active, permissions a:read"));
    place.run(&["disable", &id]).ok();
    check(&[]).with(1).shows("disabled_api_key").shows(&format!("{whose}disabled"));
    place.run(&["enable", &id]).ok();
    place.run(&["update", &id, "--expires-in", "1s"]).ok();
    while place.json(&["show", &id])["state"] == "active" {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    check(&[]).with(1).shows("expired_api_key").shows(&format!("{whose}expired 20"));
    place.run(&["revoke", &id, "--reason", "left"]).ok();
    let document: Value = serde_json::from_str(&check(&["--json"]).with(1).hides(&secret).out).unwrap();
    assert_eq!((&document["code"], &document["why"]), (&"revoked_api_key".into(), &Value::Null));
    assert_eq!((&document["key"]["id"], &document["key"]["state"]), (&id.as_str().into(), &"revoked".into()));
    assert_eq!((&document["key"]["owner"], &document["secret_version"]), (&"alice".into(), &1.into()));

    // If no secret matches: the reason, and the key that the token names.
    let (id, secret) = place.key(&["bob"]);
    place.run(&["rotate", &id, "--overlap", "none"]).ok();
    place
        .check(&secret)
        .with(1)
        .shows("none of the key's secrets, or not any more")
        .shows(&format!("it names {id} (bob)"));
    place.check(&secret[..60]).with(1).shows("it was not copied whole").hides(&secret[..60]);
    let (_, elsewhere) = Place::with_store();
    place.check(&elsewhere).with(1).shows("is not in this store");
    let document = place.fed(&secret, &["--json", "check"]).with(1).out;
    let document: Value = serde_json::from_str(&document).unwrap();
    assert_eq!((&document["why"], &document["secret_version"]), (&"not_its_secret".into(), &Value::Null));
}

#[test]
fn a_key_that_nobody_uses_is_idle_until_it_is_revived() {
    let (place, _) = Place::with_store();
    place.run(&["create", "alice", "--idle-after", "59m"]).with(2).says("invalid --idle-after \"59 minutes\"");
    let (id, secret) = place.key(&["alice", "--idle-after", "90d"]);
    place.run(&["show", &id]).ok().shows("(in 90 days), after 90 days without use");
    place.run(&["list", "--expiring-within", "91d", "--columns", "id,idle-end"]).ok().shows("in 90 days");
    place.run(&["export", "--digests", "--out", "keys.jsonl"]).ok();
    // The same key a year later, in another store.
    let exported = std::fs::read_to_string(place.path("keys.jsonl")).unwrap();
    let mut line: Value = exported
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .find(|line: &Value| line["id"] == *id)
        .unwrap();
    line["idle_at"] = "2020-01-01T00:00:00Z".into();
    let (other, _) = Place::with_store();
    other.fed(format!("{line}\n"), &["import-lines"]).ok();
    other.check(&secret).with(1).shows("idle_api_key").shows("idle since 2020-01-01T00:00:00Z");
    other.run(&["list", "--state", "idle", "--columns", "id"]).ok().shows(&id);
    other.run(&["rotate", &id, "--overlap", "none"]).with(4).says("set `apikey update --idle-after` again");
    other.run(&["update", &id, "--idle-after", "90d"]).ok();
    other.check(&secret).ok();
    other.run(&["update", &id, "--no-idle-after"]).ok();
    assert_eq!(other.json(&["show", &id])["idle_at"], Value::Null);
}
