//! Roles: put, listed, shown and deleted, and what keys have of them.

use serde_json::json;

use super::Place;

#[test]
fn an_edit_of_a_role_holds_for_every_key_with_it() {
    let (place, _) = Place::with_store();
    let put = |permission: &str| {
        let arguments = ["role", "put", "reader", "--permission", permission, "--description", "reads orders"];
        place.run(&arguments).ok()
    };
    put("orders:read, stock:*").shows("put reader (orders:read stock:*)");
    put("orders:read,stock:*").shows("nothing changed: reader (orders:read stock:*) is already in this state");
    let (id, secret) = place.key(&["alice", "--role", "reader", "--permission", "a:b"]);
    place.run(&["show", &id]).ok().shows("roles").shows("reader");
    for permission in ["orders:read", "stock:write", "a:b"] {
        place.fed(&secret, &["check", "--permission", permission]).ok();
    }
    put("orders:read");
    place.fed(&secret, &["check", "--permission", "orders:read"]).ok();
    place.fed(&secret, &["check", "--permission", "stock:write"]).with(1).shows("insufficient_permission");
    place.run(&["role", "put", "reader", "--no-permissions"]).ok().shows("put reader (-)");
    place.fed(&secret, &["check", "--permission", "orders:read"]).with(1).shows("insufficient_permission");
    let event = &place.json(&["events", "--kind", "role_put", "--last", "1"])["events"][0];
    assert_eq!((&event["role"], &event["from"], &event["to"]), (&"reader".into(), &json!(["orders:read"]), &json!([])));
    place.run(&["events", "--kind", "role_put"]).ok().shows("role=reader");
}

#[test]
fn roles_are_listed_and_shown() {
    let (place, token) = Place::with_store();
    place.run(&["role", "list"]).ok().says("no roles");
    assert_eq!(place.json(&["role", "list"]), json!({ "roles": [] }));
    place.run(&["role", "put", "writer", "--permission", "orders:*"]).ok();
    let put = place.json(&["role", "put", "reader", "--permission", "orders:read", "--description", "reads orders"]);
    assert_eq!((&put["changed"], &put["name"]), (&true.into(), &"reader".into()));
    let table = place.run(&["role", "list"]).ok().out;
    let words: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(words[0], ["NAME", "CHANGED", "PERMISSIONS", "DESCRIPTION"]);
    assert_eq!((words[1][0], words[2][0]), ("reader", "writer"));
    let shown = place.json(&["role", "show", "reader"]);
    assert_eq!((&shown["permissions"], &shown["description"]), (&json!(["orders:read"]), &"reads orders".into()));
    place.run(&["role", "show", "reader"]).ok().shows("reads orders").shows("changed");
    place.run(&["role", "show", "nobody"]).with(3).says("there is no role \"nobody\": `apikey role list`");
    place.run(&["role", "show", &token]).with(3).says("[hidden]").hides(&token);
    // Without a description the role has none.
    assert!(place.json(&["role", "put", "reader", "--permission", "orders:read"])["description"].is_null());
}

#[test]
fn a_key_gets_and_loses_roles() {
    let (place, _) = Place::with_store();
    for role in ["reader", "writer", "admin"] {
        place.run(&["role", "put", role, "--permission", &format!("{role}:*")]).ok();
    }
    place.run(&["create", "alice", "--role", "reader,writer,reader"]).with(2).says("invalid --role \"reader\"");
    let (id, _) = place.key(&["alice", "--role", "reader, writer"]);
    assert_eq!(place.json(&["show", &id])["roles"], json!(["reader", "writer"]));
    let changed = place.json(&["update", &id, "--add-role", "admin,reader", "--remove-role", "writer"]);
    assert_eq!(changed["roles"], json!(["reader", "admin"]));
    assert_eq!(place.json(&["update", &id, "--role", "writer"])["roles"], json!(["writer"]));
    place.run(&["update", &id, "--remove-role", "reader"]).with(2).says("invalid --remove-role \"reader\"");
    assert_eq!(place.json(&["update", &id, "--no-roles"])["roles"], json!([]));
    place.run(&["update", &id, "--no-roles", "--role", "reader"]).with(2).says("cannot be used with");
    place.run(&["update", &id, "--add-role", "reader", "--role", "writer"]).with(2).says("cannot be used with");
}

#[test]
fn keys_are_found_by_their_roles() {
    let (place, _) = Place::with_store();
    place.run(&["role", "put", "reader", "--permission", "orders:read,stock:*"]).ok();
    assert!(!place.run(&["list"]).ok().out.contains("ROLES"), "no key has one");
    place.key(&["alice", "--role", "reader"]);
    place.key(&["bob", "--permission", "orders:read"]);
    place.run(&["list"]).ok().shows("ROLES");
    place.run(&["list", "--role", "reader"]).ok().shows("alice").hides("bob");
    place.run(&["list", "--permission", "orders:read"]).ok().shows("alice").shows("bob");
    place.run(&["list", "--permission", "stock:*"]).ok().shows("alice").hides("bob").hides("admin");
    place.run(&["list", "--role", "reader", "--columns", "owner,roles"]).ok().shows("alice  reader");
    place.run(&["list", "--role", "a:b"]).with(2).says("invalid role name \"a:b\"");
}

#[test]
fn wrong_roles_are_refused_with_what_is_allowed() {
    let (place, _) = Place::with_store();
    place
        .run(&["create", "alice", "--role", "reader"])
        .with(2)
        .says("invalid --role \"reader\"")
        .says("apikey role list");
    place.run(&["role", "put", "Reader", "--no-permissions"]).with(2).says("invalid name \"Reader\"").says("64 bytes");
    place.run(&["role", "put", "reader"]).with(2).says("--permission").says("--no-permissions");
    place.run(&["role", "put", "reader", "--permission", "Orders"]).with(2).says("Orders");
    place
        .run(&["role", "put", "reader", "--no-permissions", "--description", &"x".repeat(257)])
        .with(2)
        .says("description");
    assert_eq!(place.json(&["role", "list"]), json!({ "roles": [] }));
    let names: Vec<String> = (0..17).map(|number| format!("role{number}")).collect();
    for name in &names {
        place.run(&["role", "put", name, "--no-permissions"]).ok();
    }
    place
        .run(&["create", "alice", "--role", &names.join(",")])
        .with(2)
        .says("invalid --role \"17 roles\"")
        .says("at most 16");
}

#[test]
fn a_role_in_use_is_deleted_only_once_no_key_has_it() {
    let (place, _) = Place::with_store();
    place.run(&["role", "put", "reader", "--permission", "orders:read"]).ok();
    let (id, _) = place.key(&["alice", "--role", "reader"]);
    place.key(&["bob", "--role", "reader"]);
    let refused = place.run(&["role", "delete", "reader"]).with(4).says("the role is in use: 2 keys have it");
    refused.says("`apikey list --role reader`").says("--remove-role reader").says("--no-permissions");
    place.run(&["update", &id, "--no-roles"]).ok();
    place.run(&["revoke", "--owner", "bob", "--yes"]).ok();
    place.run(&["role", "delete", "reader"]).with(4).says("1 key has it");
    place.run(&["purge", "--before", "0s", "--yes"]).ok();
    place.run(&["role", "delete", "reader"]).ok().shows("deleted the role reader");
    place.run(&["role", "delete", "reader"]).with(3).says("there is no role \"reader\"");
    place.run(&["role", "delete", "a:b"]).with(2).says("invalid role name \"a:b\"");
}
