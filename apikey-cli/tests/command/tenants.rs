//! Tenants: keys of theirs, their bounds, their end.

use serde_json::json;

use super::Place;

/// A place whose store has alice in two tenants and in none; returns the ids and secrets of her keys.
fn alices() -> (Place, [(String, String); 3]) {
    let (place, _) = Place::with_store();
    let keys = [vec!["alice", "--tenant", "acme"], vec!["alice", "--tenant", "apex"], vec!["alice"]];
    let keys = keys.map(|arguments| place.key(&[&arguments[..], &["--permission", "orders:*,stock:*"]].concat()));
    (place, keys)
}

#[test]
fn a_key_is_created_in_its_tenant_and_shown_with_it() {
    let (place, [(acme, _), (_, _), (none, _)]) = alices();
    assert_eq!(place.json(&["show", &acme])["tenant"], "acme");
    assert!(place.json(&["show", &none])["tenant"].is_null());
    place.run(&["show", &acme]).ok().shows("tenant").shows("acme");
    assert!(!place.run(&["show", &none]).ok().out.contains("tenant"));
    place.run(&["create", "bob", "--tenant", "acme"]).ok().says("(bob of acme)");
    place.run(&["disable", &acme]).ok().shows("(alice of acme)");
    let events = place.json(&["events", "--tenant", "acme", "--key", &acme])["events"].clone();
    let kinds: Vec<&str> = events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["disabled", "created"]);
    place.run(&["events", "--tenant", "acme"]).ok().shows(&acme).hides(&none);
    place.run(&["events", "--tenant", "apex", "--key", &acme]).ok().says("no events");
}

#[test]
fn keys_are_listed_by_their_tenant() {
    let (place, [(acme, _), (apex, _), (none, _)]) = alices();
    let listed = |arguments: &[&str]| {
        let page = place.json(&[&["list"], arguments].concat());
        let keys = page["keys"].as_array().unwrap().iter();
        keys.map(|key| key["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--tenant", "acme"]), [&*acme]);
    assert_eq!(listed(&["--tenant", "acme", "--owner", "alice"]), [&*acme]);
    assert_eq!(listed(&["--owner", "alice"]), [&*none]);
    assert_eq!(listed(&["--owner", "alice", "--no-tenant"]), [&*none]);
    assert_eq!(listed(&["--owner", "alice", "--any-tenant"]), [acme, apex, none]);
    assert_eq!((listed(&["--no-tenant"]).len(), listed(&[]).len(), listed(&["--any-tenant"]).len()), (2, 4, 4));
    place.run(&["list"]).ok().shows("TENANT");
    assert!(!Place::with_store().0.run(&["list"]).ok().out.contains("TENANT"), "no key has one");
    place.run(&["list", "--columns", "owner,tenant", "--tenant", "apex"]).ok().shows("alice  apex");
    place.run(&["list", "--tenant", "acme", "--any-tenant"]).with(2).says("cannot be used with");
    place.run(&["list", "--tenant", "nobody"]).ok().says("no keys");
}

#[test]
fn an_owner_is_revoked_in_its_tenant() {
    let (place, [(_, acme), (_, apex), (_, none)]) = alices();
    place.run(&["revoke", "--tenant", "acme", "--owner", "alice", "--yes"]).ok().shows("revoked 1 key of alice");
    place.check(&acme).with(1).shows("revoked");
    place.check(&apex).ok();
    place.check(&none).ok();
    place.run(&["disable", "--tenant", "apex", "--owner", "alice", "--count", "1"]).ok();
    place.check(&apex).with(1).shows("disabled");
    place.check(&none).ok();
    place.run(&["revoke", "--owner", "alice", "--count", "1"]).ok();
    place.check(&none).with(1).shows("revoked");
    // An owner of another tenant is named, since a forgotten --tenant is the likeliest mistake.
    place.run(&["create", "bob", "--tenant", "acme"]).ok();
    place.run(&["revoke", "--owner", "bob", "--yes"]).with(3).says("--tenant acme");
    place.run(&["revoke", "--owner", "bob", "--tenant", "apex", "--yes"]).with(3).says("no key of the tenant apex");
    place.run(&["revoke", "--owner", "admin", "--tenant", "apex", "--yes"]).with(3).says("leave out --tenant");
    let id = place.json(&["list", "--tenant", "acme", "--owner", "bob"])["keys"][0]["id"].as_str().unwrap().to_owned();
    place.run(&["revoke", &id, "--tenant", "apex"]).with(2).says("an id needs no tenant");
}

#[test]
fn a_tenant_is_bounded_and_shown() {
    let (place, [(_, acme), (_, apex), _]) = alices();
    place.run(&["tenant", "list"]).ok().says("no tenant has bounds");
    let put = ["tenant", "put", "acme", "--permission", "orders:*, keys:*", "--limit", "1000/1m"];
    place.run(&put).ok().shows("put acme (orders:* keys:*, 1000 in 1 minute)");
    place.run(&put).ok().shows("nothing changed");
    place.fed(&acme, &["check", "--permission", "stock:read"]).with(1).shows("insufficient_permission");
    place.fed(&acme, &["check", "--permission", "orders:read"]).ok();
    place.fed(&apex, &["check", "--permission", "stock:read"]).ok();
    place.run(&["tenant", "show", "acme"]).ok().shows("orders:* keys:*").shows("1000 in 1 minute");
    let shown = place.json(&["tenant", "show", "acme"]);
    assert_eq!((&shown["keys"], &shown["permissions"]), (&json!(1), &json!(["orders:*", "keys:*"])));
    // One with keys and no bounds is no error.
    place.run(&["tenant", "show", "apex"]).ok().shows("no bounds");
    assert_eq!(place.json(&["tenant", "show", "apex"]), json!({ "name": "apex", "keys": 1 }));
    place.run(&["tenant", "show", "nobody"]).with(3).says("there is no tenant \"nobody\"");
    let table = place.run(&["tenant", "list"]).ok().out;
    assert!(table.starts_with("NAME") && table.contains("acme"), "{table}");
    let replaced = place.json(&["tenant", "put", "acme", "--no-permissions"]);
    assert_eq!((&replaced["permissions"], &replaced["limit"]), (&json!([]), &json!(null)));
    let lacks = place.fed(&acme, &["check", "--permission", "orders:read"]).with(1).shows("insufficient_permission");
    lacks.shows("as far as the tenant acme leaves them");
    assert_eq!(place.json(&["tenant", "list"])["tenants"].as_array().unwrap().len(), 1);
    place.run(&["events", "--kind", "tenant_put"]).ok().shows("tenant=acme").shows("keys:*->none");
}

#[test]
fn a_tenant_ends_for_good() {
    let (place, [(_, acme), (_, apex), _]) = alices();
    place.run(&["tenant", "end", "acme"]).with(2).says("1 key would be revoked").says("--count 1");
    place.run(&["tenant", "end", "acme", "--count", "2"]).with(2).says("does not match");
    place.check(&acme).ok();
    let end = ["tenant", "end", "acme", "--reason", "the contract has ended", "--count", "1"];
    place.run(&end).ok().shows("ended acme");
    place.check(&acme).with(1).shows("revoked");
    place.check(&apex).ok();
    place.run(&["tenant", "end", "acme", "--reason", "again"]).ok().shows("its first reason stays");
    place.run(&["tenant", "show", "acme"]).ok().shows("the contract has ended");
    place.run(&["create", "bob", "--tenant", "acme"]).with(4).says("the tenant has ended");
    place.run(&["tenant", "put", "acme", "--permission", "*"]).with(4).says("the tenant has ended");
    // One without keys ends, too.
    place.run(&["tenant", "end", "later"]).with(2).says("0 keys would be revoked").says("--count 0");
    place.run(&["create", "bob", "--tenant", "later"]).ok();
    place.run(&["tenant", "end", "later", "--count", "0"]).with(2).says("does not match: 1 key");
    place.run(&["tenant", "end", "never", "--count", "0"]).ok().shows("ended never, which has no keys");
    place.run(&["create", "bob", "--tenant", "never"]).with(4);
    place.run(&["tenant", "end", "later", "--yes"]).ok().shows("ended later: its key is not valid any more");
    place.run(&["create", "bob", "--tenant", "later"]).with(4);
}

#[test]
fn a_name_that_is_none_is_refused_with_what_is_allowed() {
    let (place, token) = Place::with_store();
    for arguments in [
        &["create", "bob", "--tenant", "Acme"][..],
        &["list", "--tenant", "Acme"],
        &["revoke", "--owner", "bob", "--tenant", "Acme", "--yes"],
        &["tenant", "put", "Acme", "--permission", "*"],
        &["tenant", "show", "Acme"],
        &["events", "--tenant", "Acme"],
        &["tenant", "end", "Acme"],
    ] {
        place.run(arguments).with(2).says("\"Acme\"").says("1 to 64");
    }
    place.run(&["tenant", "put", "acme"]).with(2).says("--permission").says("--no-permissions");
    place.run(&["tenant", "put", "acme", "--permission", "Orders"]).with(2).says("Orders");
    place.run(&["tenant", "put", "acme", "--permission", "*", "--limit", "0/1m"]).with(2).says("--limit");
    place.run(&["tenant", "end", "acme", "--yes", "--reason", &"x".repeat(257)]).with(2).says("reason");
    place.run(&["create", "bob", "--tenant", &token]).with(2).hides(&token);
    place.run(&["tenant", "show", &token]).with(2).hides(&token);
    assert_eq!(place.json(&["tenant", "list"]), json!({ "tenants": [] }));
}
