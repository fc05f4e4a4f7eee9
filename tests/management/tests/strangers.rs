//! What callers learn of keys and tenants that they may not see: no more than of those that do not exist.

use apikey::management::Management;
use apikey::{CreatedKey, KeyStore, KeyUpdate, NewKey, Role, Tenant};
use apikey_testkit::{Answer, Call};
use chrono::TimeDelta;
use serde_json::json;

use crate::fixture::Api;

fn of_tenant(store: &KeyStore, tenant: &str, grants: &[&str]) -> CreatedKey {
    store.tenant(tenant).unwrap().create(NewKey::for_owner("alice").permissions(grants)).unwrap()
}

/// Everything that tells two answers apart.
fn seen(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    let headers = answer.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    (answer.status, answer.body.clone(), headers)
}

#[test]
fn a_tenant_that_was_put_looks_like_one_that_was_not() {
    let store = KeyStore::temporary().unwrap();
    let api = Api { management: Management::new(store.clone()), store };
    let grants = ["keys:read", "keys:create", "keys:revoke", "keys:any_owner", "tenants:manage", "usage:read"];
    let callers = [of_tenant(&api.store, "acme", &grants), api.key("alice", &grants)];
    let ask = |tenant: &str| -> Vec<_> {
        let body = |more: &str| format!(r#"{{"owner":"alice","tenant":"{tenant}"{more}}}"#);
        let reason = r#"{"reason":"x"}"#;
        let calls = [
            Call::post("/keys", body("")),
            Call::post("/keys", body(r#","permissions":["*"]"#)),
            Call::post("/owners/alice/revoke", format!(r#"{{"tenant":"{tenant}"}}"#)),
            Call::get(format!("/keys?tenant={tenant}")),
            Call::get(format!("/usage?tenant={tenant}")),
            Call::get(format!("/tenants/{tenant}")),
            Call::put(format!("/tenants/{tenant}"), "{}"),
            Call::put(format!("/tenants/{tenant}"), "{}").header("if-match", "*"),
            Call::post(format!("/tenants/{tenant}/end"), reason),
        ];
        let mut answers = Vec::new();
        for (at, caller) in callers.iter().enumerate() {
            for call in &calls {
                // Who is of no tenant, and may manage tenants, may read them.
                if at == 1 && call.path().starts_with("/tenants/") {
                    continue;
                }
                let (status, body, headers) = seen(&api.ask(caller, call.clone()));
                answers.push((format!("{at} {} {}", call.method(), call.path()), status, body, headers));
            }
        }
        answers
    };
    let absent = ask("apex");
    api.store.put_tenant(Tenant::new("apex").permissions(["orders:*"])).unwrap();
    of_tenant(&api.store, "apex", &["orders:read"]);
    assert_eq!(ask("apex"), absent);
    api.store.end_tenant("apex", "over").unwrap();
    assert_eq!(ask("apex"), absent);
}

#[test]
fn a_key_of_another_tenant_is_a_guess_to_every_budget() {
    let store = KeyStore::builder().failed_attempts(3, TimeDelta::hours(1)).temporary().unwrap();
    let api = Api::of(store);
    let gateway = api.key("gateway", &["keys:verify"]);
    let (own, foreign) = (api.key("alice", &["orders:read"]), of_tenant(&api.store, "acme", &["orders:read"]));
    let verify = |key: &CreatedKey, address: &str| {
        let body = json!({ "key": key.key.expose_secret(), "address": address });
        api.ask(&gateway, Call::post("/verify", body.to_string())).json()
    };
    for _ in 0..3 {
        assert_eq!(verify(&foreign, "192.0.2.1"), json!({ "valid": false, "code": "invalid_api_key" }));
    }
    assert_eq!(verify(&own, "192.0.2.1")["code"], "rate_limited");
    assert_eq!(verify(&own, "192.0.2.2")["code"], "ok");
}

#[test]
fn a_key_that_has_changed_without_an_event_of_its_own_is_read_anew() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let key = of_tenant(&api.store, "acme", &["orders:read"]);
    let path = format!("/keys/{}", key.info.id());
    let read = api.ask(&admin, Call::get(&path));
    let again = || api.ask(&admin, Call::get(&path).header("if-none-match", read.header("etag").unwrap()));
    assert_eq!(again().status, 304);
    api.store.end_tenant("acme", "over").unwrap();
    let now = again();
    assert_eq!(now.status, 200, "the key is revoked, and its last event is the old one");
    assert_eq!(now.json()["state"], "revoked");
}

#[test]
fn the_history_of_a_tenant_is_that_of_its_keys() {
    let api = Api::new();
    let grants = ["keys:read", "keys:any_owner", "keys:any_tenant", "events:read", "usage:read", "orders:read"];
    let caller = of_tenant(&api.store, "acme", &grants);
    let own = of_tenant(&api.store, "acme", &["orders:read"]);
    let others = [of_tenant(&api.store, "apex", &["orders:read"]), api.key("alice", &["orders:read"])];
    api.store.put_tenant(Tenant::new("apex")).unwrap();
    let keys = [caller.info.id().to_string(), own.info.id().to_string()];
    for query in ["", "?after=0", "?kind=created", "?limit=1", "?since=2000-01-01T00:00:00Z"] {
        let page = api.ask(&caller, Call::get(format!("/events{query}"))).json();
        let events = page["events"].as_array().unwrap();
        assert!(!events.is_empty(), "{query}");
        assert!(events.iter().all(|event| keys.iter().any(|key| event["key"] == *key)), "{query}: {page}");
    }
    for other in &others {
        let id = other.info.id();
        for path in [format!("/events?key={id}"), format!("/usage?key={id}"), format!("/keys/{id}")] {
            let absent = path.replace(&id.to_string(), "01931a4e-7c3b-7def-8123-456789abcdef");
            let [is_there, is_not] = [&path, &absent].map(|path| api.ask(&caller, Call::get(path)));
            assert_eq!((is_there.status, is_not.status), (404, 404), "{path}");
            let same = is_there.body.replace(&id.to_string(), "01931a4e-7c3b-7def-8123-456789abcdef");
            assert_eq!(same, is_not.body);
        }
    }
    assert_eq!(api.ask(&caller, Call::get("/usage?by=key")).status, 403);
}

/// What a key was made with by its caller, others may have added to since.
#[test]
fn a_repeat_gives_no_more_than_its_caller_has() {
    let api = Api::new();
    let caller = api.key("alice", &["keys:create", "keys:rotate", "orders:read"]);
    let create = || {
        let body = r#"{"owner":"alice","permissions":["orders:read"]}"#;
        api.ask(&caller, Call::post("/keys", body).header("idempotency-key", "one"))
    };
    let created = create().json();
    let id: apikey::KeyId = created["id"].as_str().unwrap().parse().unwrap();
    let rotate = || api.ask(&caller, Call::post(format!("/keys/{id}/rotate"), "{}").header("idempotency-key", "two"));
    assert_eq!(create().status, 201);
    api.store.update(id, KeyUpdate::new().add_permissions(["orders:write"])).unwrap();
    assert_eq!(create().status, 403);
    assert_eq!(rotate().status, 403);
    api.store.update(id, KeyUpdate::new().remove_permissions(["orders:write"])).unwrap();
    assert_eq!(rotate().status, 200);
    api.store.update(id, KeyUpdate::new().add_permissions(["orders:write"])).unwrap();
    assert_eq!(rotate().status, 403);
}

#[test]
fn a_role_is_changed_within_its_caller() {
    let api = Api::new();
    let caller = api.key("alice", &["roles:manage", "orders:read"]);
    let of_acme = of_tenant(&api.store, "acme", &["roles:manage", "orders:read", "orders:write"]);
    api.store.put_role(Role::new("writer").permissions(["orders:write"])).unwrap();
    let put = |key: &CreatedKey, role: &str, grants: &str| {
        api.ask(key, Call::put(format!("/roles/{role}"), format!(r#"{{"permissions":{grants}}}"#))).status
    };
    assert_eq!(put(&caller, "reader", r#"["orders:read"]"#), 200);
    assert_eq!(put(&caller, "reader", r#"["orders:read","orders:write"]"#), 403);
    assert_eq!(put(&caller, "reader", r#"["roles:manage"]"#), 403, "without keys:delegate");
    assert_eq!(put(&caller, "writer", "[]"), 403, "what it granted before is not the caller's");
    assert_eq!(api.ask(&caller, Call::delete("/roles/writer")).status, 403);
    assert_eq!(put(&of_acme, "writer", r#"["orders:read"]"#), 403);
    assert_eq!(api.ask(&of_acme, Call::delete("/roles/writer")).status, 403);
    assert_eq!(api.store.role("writer").unwrap().unwrap().permissions(), ["orders:write"]);
}
