//! Owners whom the application has signed in.

use apikey::console::Owner;
use apikey::{KeyId, KeyUpdate, NewKey, Role};
use apikey_testkit::{Answer, Call};
use chrono::{TimeDelta, Utc};
use serde_json::json;

use crate::fixture::{Browser, Site};

/// A site whose application says in a cookie who is signed in.
fn site() -> Site {
    Site::new().with(|console| {
        console.owner_from(|request| {
            let cookie = request.headers.get("x-user")?.to_str().ok()?;
            let (tenant, name) = cookie.split_once('/').unwrap_or(("", cookie));
            let owner =
                Owner::new(name).offer(["orders:read", "reports:*"]).max_keys(3).max_lifetime(TimeDelta::days(90));
            Some(if tenant.is_empty() { owner } else { owner.tenant(tenant) })
        })
    })
}

fn send(browser: &Browser<'_>, user: &str, call: Call) -> Answer {
    browser.page(call.header("x-user", user))
}

fn get(browser: &Browser<'_>, user: &str, path: &str) -> Answer {
    send(browser, user, Call::get(path))
}

fn post(browser: &Browser<'_>, user: &str, path: &str, body: &serde_json::Value) -> Answer {
    send(browser, user, Call::post(path, body.to_string()))
}

#[test]
fn an_owner_is_who_the_application_says() {
    let site = site();
    let browser = site.browser();
    assert_eq!(browser.get("/session").code(), "no_session");
    let session = get(&browser, "acme/alice", "/session").json();
    let said = ["kind", "name", "owner", "tenant", "max_keys", "max_lifetime_ms", "fresh", "ends_at", "idle_ms"]
        .map(|field| session[field].clone());
    let expected = json!(["owner", "alice", "alice", "acme", 3, 7_776_000_000_u64, true, null, null]);
    assert_eq!(json!(said), expected);
    assert!(browser.cookies.borrow().is_empty(), "the console keeps no session of its own");
    let confirm = post(&browser, "alice", "/session/confirm", &json!({ "code": site.code(0) }));
    assert_eq!((confirm.status, confirm.code().as_str()), (409, "signed_in_elsewhere"));
    assert_eq!(get(&browser, "alice", "/sessions").status, 403);
    // A session of the console goes first.
    let operator = site.operator();
    assert_eq!(get(&operator, "alice", "/session").json()["kind"], "operator");
}

#[test]
fn an_owner_manages_its_own_keys_within_the_bounds() {
    let site = site();
    let browser = site.browser();
    let create = |body| post(&browser, "alice", "/api/keys", &body);
    let created = create(json!({ "owner": "alice", "name": "ci", "permissions": ["orders:read"] }));
    assert_eq!(created.status, 201, "{}", created.body);
    let id = created.json()["id"].as_str().unwrap().to_owned();
    assert!(created.json()["expires_at"].is_string(), "within 90 days");
    for (body, pointer) in [
        (json!({ "owner": "alice", "permissions": ["orders:write"] }), "#/permissions"),
        (json!({ "owner": "alice", "permissions": ["keys:read"] }), "#/permissions"),
        (json!({ "owner": "alice", "expires_in_ms": 7_776_000_001_u64 }), "#/expires_at"),
        (json!({ "owner": "alice", "labels": { "plan": "pro" } }), "#/labels"),
        (json!({ "owner": "bob" }), "#/owner"),
    ] {
        let answer = create(body.clone());
        assert_eq!((answer.status, answer.json()["errors"][0]["pointer"].as_str()), (422, Some(pointer)), "{body}");
    }
    assert_eq!(create(json!({ "owner": "alice", "tenant": "acme" })).json()["violation"]["kind"], "tenant");
    let rename = Call::with_body("PATCH", format!("/api/keys/{id}"), "application/merge-patch+json", r#"{"name":"x"}"#);
    assert_eq!(send(&browser, "alice", rename.header("if-match", "*")).json()["name"], "x");
    let widen = r#"{"add_permissions":["orders:write"]}"#;
    let widen = Call::with_body("PATCH", format!("/api/keys/{id}"), "application/merge-patch+json", widen);
    assert_eq!(send(&browser, "alice", widen.header("if-match", "*")).status, 422);
    let rotated = post(&browser, "alice", &format!("/api/keys/{id}/rotate"), &json!({ "overlap": "none" }));
    assert_eq!(rotated.status, 200);
    assert_eq!(get(&browser, "alice", &format!("/api/usage?key={id}")).status, 200);
    assert_eq!(get(&browser, "alice", "/api/usage").status, 200, "its own, and not the store's");
    assert_eq!(create(json!({ "owner": "alice" })).status, 201);
    assert_eq!(create(json!({ "owner": "alice" })).status, 201);
    let full = create(json!({ "owner": "alice" }));
    assert_eq!((full.status, full.code().as_str()), (409, "too_many_keys"));
    assert_eq!(post(&browser, "alice", &format!("/api/keys/{id}/revoke"), &json!({})).status, 200);
    assert_eq!(create(json!({ "owner": "alice" })).status, 201);
    let list = get(&browser, "alice", "/api/keys").json();
    assert_eq!(list["keys"].as_array().unwrap().len(), 4);
    let sorted = get(&browser, "alice", "/api/keys?sort=last_used").json();
    assert_eq!(sorted["keys"].as_array().unwrap().len(), 4);
    let event = site.store.events(&apikey::EventFilter::default().newest_first().limit(1)).unwrap().events.remove(0);
    assert_eq!(event.actor().unwrap().to_string(), "owner, in the console");
    let offered = get(&browser, "alice", "/api/permissions").json();
    let names: Vec<&str> =
        offered["permissions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!((names, &offered["any"]), (vec!["orders:read", "reports:*"], &json!(false)));
}

#[test]
fn a_thousand_keys_of_others_are_not_there() {
    let site = site();
    let browser = site.browser();
    let mut foreign: Vec<KeyId> = Vec::new();
    for n in 0..4 {
        let owner = if n == 3 { "alice".to_owned() } else { format!("owner-{n}") };
        let keys = (0..250).map(|_| NewKey::for_owner(&owner).permissions(["orders:read"]));
        let created = match n {
            2 => site.store.tenant("acme").unwrap().create_many(keys),
            3 => site.store.tenant("apex").unwrap().create_many(keys),
            _ => site.store.create_many(keys),
        };
        foreign.extend(created.unwrap().iter().map(|key| key.info.id()));
    }
    let missing = get(&browser, "alice", "/api/keys/01931a4e-7c3b-7def-8123-456789abcdef");
    assert_eq!(missing.status, 404);
    let bare = |answer: &Answer, id: &str| answer.body.replace(id, "ID");
    let expected = bare(&missing, "01931a4e-7c3b-7def-8123-456789abcdef");
    for (n, id) in foreign.iter().enumerate() {
        let answer = get(&browser, "alice", &format!("/api/keys/{id}"));
        assert_eq!((answer.status, bare(&answer, &id.to_string())), (404, expected.clone()), "{id}");
        let path = format!("/api/keys/{id}");
        let merge = |body: &'static str| {
            Call::with_body("PATCH", path.clone(), "application/merge-patch+json", body).header("if-match", "*")
        };
        let call = match n % 7 {
            0 => Call::get(format!("/api/usage?key={id}")),
            1 => merge(r#"{"name":"mine"}"#),
            2 => Call::post(format!("{path}/rotate"), "{}"),
            3 => Call::post(format!("{path}/replace"), "{}"),
            4 => Call::post(format!("{path}/revoke"), "{}"),
            5 => Call::post(format!("{path}/disable"), "{}"),
            _ => Call::delete(path.clone()),
        };
        assert_eq!(send(&browser, "alice", call).status, 404, "{n}");
    }
    assert_eq!(get(&browser, "alice", "/api/keys").json()["keys"], json!([]));
    for filter in ["owner=owner-1", "tenant=acme", "owner=alice&tenant=apex", "text=owner"] {
        assert_eq!(get(&browser, "alice", &format!("/api/keys?{filter}")).json()["keys"], json!([]), "{filter}");
    }
    let revoke = json!({ "filter": { "owner": "owner-1" }, "expect": 250 });
    assert_eq!(post(&browser, "alice", "/api/keys/revoke", &revoke).code(), "unexpected_count");
    assert_eq!(post(&browser, "alice", "/api/owners/owner-1/revoke", &json!({})).status, 403);
    let of_tenant = json!({ "tenant": "apex" });
    assert_eq!(post(&browser, "alice", "/api/owners/alice/revoke", &of_tenant).status, 403);
    let events = site.store.events(&apikey::EventFilter::default().newest_first().limit(1)).unwrap();
    assert!(events.events[0].number() <= 1000, "nothing was changed");
}

#[test]
fn an_owner_does_nothing_that_is_for_who_runs_the_service() {
    let site = site();
    site.store.put_role(Role::new("reader").permissions(["orders:read"])).unwrap();
    let browser = site.browser();
    for (call, code) in [
        (Call::get("/api/events"), "insufficient_permission"),
        (Call::get("/api/roles"), "insufficient_permission"),
        (Call::put("/api/roles/mine", "{}"), "insufficient_permission"),
        (Call::get("/api/tenants"), "insufficient_permission"),
        (Call::put("/api/tenants/acme", r#"{"permissions":["*"]}"#), "insufficient_permission"),
        (Call::post("/api/verify", r#"{"key":"x"}"#), "insufficient_permission"),
        (Call::get("/api/health"), "not_found"),
        (Call::get("/api/me"), "not_found"),
        (Call::get("/api/usage?tenant=acme"), "invalid_field"),
        (Call::get("/api/usage?by=key"), "invalid_field"),
        (Call::get("/api/usage?owner=bob"), "invalid_field"),
    ] {
        let text = format!("{} {}", call.method(), call.path());
        assert_eq!(send(&browser, "alice", call).code(), code, "{text}");
    }
}

#[test]
fn an_owner_gets_no_secret_of_a_key_that_has_more() {
    let site = site();
    let browser = site.browser();
    let wide = site.key("alice", &["orders:read", "keys:*"]).info.id();
    for what in ["rotate", "replace"] {
        let answer = post(&browser, "alice", &format!("/api/keys/{wide}/{what}"), &json!({}));
        assert_eq!((answer.status, answer.code().as_str()), (409, "not_offered"), "{what}");
        assert!(!answer.body.contains("\"key\""));
    }
    site.store.update(wide, KeyUpdate::new().disabled(true)).unwrap();
    assert_eq!(post(&browser, "alice", &format!("/api/keys/{wide}/enable"), &json!({})).status, 422);
    assert_eq!(post(&browser, "alice", &format!("/api/keys/{wide}/revoke"), &json!({})).status, 200);
}

#[test]
fn an_owner_whose_sign_in_is_old_sees_no_secret() {
    let site = Site::new().with(|console| {
        console.owner_from(|request| {
            let minutes: i64 = request.headers.get("x-user")?.to_str().ok()?.parse().ok()?;
            Some(Owner::new("alice").signed_in_at(Utc::now() - TimeDelta::minutes(minutes)))
        })
    });
    let browser = site.browser();
    for (minutes, status, fresh) in [("14", 201, true), ("16", 403, false), ("-5", 201, true)] {
        assert_eq!(get(&browser, minutes, "/session").json()["fresh"], fresh, "{minutes}");
        assert_eq!(post(&browser, minutes, "/api/keys", &json!({ "owner": "alice" })).status, status, "{minutes}");
    }
}

#[test]
fn an_owner_whose_name_is_none_has_nothing() {
    let site = site();
    let long = "x".repeat(200);
    for user in ["Bad Tenant!/alice", long.as_str(), "/"] {
        let browser = site.browser();
        let created = post(&browser, user, "/api/keys", &json!({ "owner": user }));
        assert_eq!(created.status, 422, "{user}");
    }
}
