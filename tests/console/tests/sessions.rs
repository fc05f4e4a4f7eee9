//! How sessions end, who sees them, and how many there are.

use std::sync::mpsc;

use apikey::admin::{Answer as Told, Request};
use apikey::{Clock, EventFilter, KeyFilter, Overlap};
use axum::body::Bytes;
use chrono::TimeDelta;
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tower::ServiceExt;

use apikey_testkit::block_on;

use crate::fixture::{Browser, Site, URL};

fn minutes(count: i64) -> TimeDelta {
    TimeDelta::minutes(count)
}

#[test]
fn a_session_ends_fifteen_minutes_after_its_last_request() {
    let site = Site::new();
    let operator = site.operator();
    site.advance(minutes(14));
    assert_eq!(operator.get("/session").json()["idle_ms"], 60_000);
    assert!(operator.is_signed_in(), "this request counts");
    site.advance(minutes(14));
    assert!(operator.is_signed_in());
    // To ask about the session is no use of it.
    site.advance(minutes(10));
    assert_eq!(operator.get("/session").status, 200);
    site.advance(minutes(5));
    let answer = operator.get("/session");
    assert_eq!((answer.status, answer.code().as_str()), (401, "no_session"));
    assert_eq!(answer.json()["sign_in"], json!(["link", "key"]));
    assert!(answer.header("www-authenticate").is_some());
    assert!(operator.cookies.borrow().is_empty(), "the browser forgets the cookie");
}

#[test]
fn a_session_lasts_eight_hours_at_most() {
    let site = Site::new();
    let operator = site.operator();
    let ends_at = operator.get("/session").json()["ends_at"].clone();
    for _ in 0..47 {
        site.advance(minutes(10));
        assert!(operator.is_signed_in());
    }
    // Neither use nor a sign-in makes it longer.
    let again = operator.post("/session/confirm", &json!({ "code": site.code(1000) }));
    assert_eq!((again.status, &again.json()["ends_at"]), (201, &ends_at));
    site.advance(minutes(9));
    assert!(operator.is_signed_in());
    site.advance(minutes(1));
    assert!(!operator.is_signed_in());
}

#[test]
fn a_clock_that_is_set_back_prolongs_nothing() {
    let site = Site::new();
    let operator = site.operator();
    site.advance(minutes(14));
    site.clock.set(site.clock.now() - TimeDelta::hours(5));
    assert!(operator.is_signed_in());
    site.advance(TimeDelta::hours(5) + minutes(15));
    assert!(!operator.is_signed_in());
}

#[test]
fn who_signs_in_again_has_one_session() {
    let site = Site::new();
    let operator = site.operator();
    let before = operator.cookies.borrow().clone();
    assert_eq!(operator.post("/session", &json!({ "code": site.code(7) })).json()["name"], "uid:7 console");
    let after = operator.cookies.borrow().clone();
    assert_ne!(before, after, "another token, so that nobody has fixed it before");
    let old = site.browser();
    old.cookies.replace(before);
    assert!(!old.is_signed_in() && operator.is_signed_in());
    let old = site.browser();
    old.cookies.replace(after);
    assert_eq!(operator.delete("/session").status, 204);
    assert!(!old.is_signed_in(), "it has ended here, and not in the browser alone");
    assert_eq!(operator.delete("/session").status, 204, "a repeat succeeds");
}

#[test]
fn who_runs_the_service_sees_the_sessions_and_ends_them() {
    let site = Site::new();
    let admin = site.key("root", &["*"]);
    let operator = site.operator();
    site.advance(minutes(1));
    let root = site.signed_in(&admin);
    let reader = site.signed_in(&site.key("alice", &["keys:read", "keys:any_owner"]));
    let tenants =
        site.store.tenant("acme").unwrap().create(apikey::NewKey::for_owner("bob").permissions(["*"])).unwrap();
    let of_tenant = site.signed_in(&tenants);
    for refused in [&reader, &of_tenant] {
        assert_eq!(refused.get("/sessions").code(), "insufficient_permission");
        assert_eq!(refused.delete("/sessions").status, 403);
    }
    let list = root.get("/sessions");
    let token = root.cookies.borrow().values().next().unwrap().clone();
    assert!(!list.body.contains(&token) && !list.body.contains(admin.key.expose_secret()));
    let list = list.json();
    let named: Vec<String> = list["sessions"].as_array().unwrap().iter().map(|one| one["kind"].to_string()).collect();
    assert_eq!(named.len(), 4);
    let current: Vec<&serde_json::Value> =
        list["sessions"].as_array().unwrap().iter().filter(|one| one["current"] == true).collect();
    assert_eq!(current.len(), 1);
    assert_eq!((&current[0]["owner"], &current[0]["address"]), (&json!("root"), &json!("192.0.2.7")));
    assert_eq!(current[0]["key"], json!(admin.info.id()));
    assert_eq!(list["sessions"][3]["name"], "uid:1000 console", "the oldest is the last");
    assert_eq!(root.delete("/sessions").json()["count"], 4);
    for browser in [&operator, &root, &reader, &of_tenant] {
        assert!(!browser.is_signed_in());
    }
    assert!(root.cookies.borrow().is_empty());
}

#[test]
fn an_operator_may_do_everything_and_its_changes_say_so() {
    let site = Site::new();
    let operator = site.operator();
    let created = operator.post("/api/keys", &json!({ "owner": "alice", "permissions": ["orders:read"] }));
    assert_eq!(created.status, 201, "{}", created.body);
    assert!(created.header("location").unwrap().starts_with("keys/"), "where the console is, and not the API");
    let event = site.store.events(&EventFilter::default().limit(1).newest_first()).unwrap().events.remove(0);
    assert_eq!(event.actor().unwrap().to_string(), "uid:1000 console");
    assert_eq!(event.peer(), Some([192, 0, 2, 7].into()));
    for (path, body) in [
        ("/api/keys/revoke", json!({ "filter": { "owner": "alice" }, "expect": 1 })),
        ("/api/tenants/acme/end", json!({})),
        ("/api/owners/alice/revoke", json!({})),
        ("/api/verify", json!({ "key": created.json()["key"] })),
    ] {
        assert_eq!(operator.post(path, &body).status, 200, "{path}");
    }
    for path in ["/api/health", "/api/permissions", "/api/events", "/api/usage", "/api/roles", "/api/tenants"] {
        assert_eq!(operator.get(path).status, 200, "{path}");
    }
    // It has no key, and none of the API's key counts here.
    assert_eq!(operator.get("/api/me").status, 404);
}

#[test]
fn a_key_in_a_header_is_no_session() {
    let site = Site::new();
    let admin = site.key("root", &["*"]);
    let call = apikey_testkit::Call::get("/api/keys").key(admin.key.expose_secret());
    assert_eq!(site.browser().page(call).code(), "no_session");
}

/// The one that nobody has used for the longest time makes room: first of the same principal, who may have 16.
#[test]
fn there_are_a_thousand_sessions_at_most_and_sixteen_of_one() {
    let site = Site::new();
    let operator = site.operator();
    let many = site.key("mallory", &["keys:read"]);
    let mut browsers: Vec<Browser<'_>> = Vec::new();
    for _ in 0..40 {
        site.advance(TimeDelta::seconds(1));
        browsers.push(site.signed_in(&many));
    }
    let alive = |browsers: &[Browser<'_>]| browsers.iter().filter(|one| one.is_signed_in()).count();
    assert_eq!((alive(&browsers), alive(&browsers[24..])), (16, 16));
    assert!(operator.is_signed_in(), "nobody signs another out in this way");
    let others: Vec<Browser<'_>> = (0..1000)
        .map(|n| {
            site.advance(TimeDelta::milliseconds(1));
            site.signed_in(&site.key(&format!("owner-{n}"), &["keys:read"]))
        })
        .collect();
    // Keys are easily made, and who runs the service has to get in.
    assert!(operator.is_signed_in());
    assert!(!browsers.iter().any(Browser::is_signed_in) && others[1..].iter().all(Browser::is_signed_in));
    assert_eq!(site.operator().get("/sessions").json()["sessions"].as_array().unwrap().len(), 1000);
}

/// Sends a request of the page whose body arrives only after something else has happened; returns its status.
fn slowly(browser: &Browser<'_>, site: &Site, path: &str, body: String, meanwhile: impl Fn() + Send + 'static) -> u16 {
    let cookies = browser.cookies.borrow();
    let cookies: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let (sender, receiver) = mpsc::channel::<()>();
    let body = Full::new(Bytes::from(body)).map_frame(move |frame| {
        meanwhile();
        sender.send(()).unwrap();
        frame
    });
    let request = http::Request::post(path).header("sec-fetch-site", "same-origin").header("origin", URL);
    let request = request.header("content-type", "application/json").header("cookie", cookies.join("; "));
    let answer = block_on(site.console.clone().oneshot(request.body(body).unwrap())).unwrap();
    receiver.try_recv().expect("the head was admitted");
    answer.status().as_u16()
}

/// The body of a request may take hours.
#[test]
fn a_session_that_ends_while_a_body_arrives_does_nothing_more() {
    let site = Site::new();
    let body = || json!({ "owner": "alice" }).to_string();
    let operator = site.operator();
    let store = site.store.clone();
    let end_all = move || {
        let told = apikey::admin::Session::new(store.clone()).ask(Request::EndConsoleSessions);
        assert!(matches!(told, Told::Count(1)));
    };
    assert_eq!(slowly(&operator, &site, "/api/keys", body(), end_all), 401);
    let operator = site.operator();
    let clock = site.clock.clone();
    assert_eq!(slowly(&operator, &site, "/api/keys", body(), move || clock.advance(minutes(16))), 401);
    // Whoever has the new secret signs in with that.
    let admin = site.key("root", &["*"]);
    let root = site.signed_in(&admin);
    let (store, id) = (site.store.clone(), admin.info.id());
    let rotate = move || drop(store.rotate(id, Overlap::UntilFirstUse).unwrap());
    assert_eq!(slowly(&root, &site, "/api/keys", body(), rotate), 401);
    assert_eq!(site.store.list(&KeyFilter::owner("alice")).unwrap().keys.len(), 0);
    // To sign in again takes a session, too.
    let operator = site.operator();
    let code = json!({ "code": site.code(1000) }).to_string();
    let clock = site.clock.clone();
    assert_eq!(slowly(&operator, &site, "/session/confirm", code, move || clock.advance(minutes(16))), 401);
    let operator = site.operator();
    assert_eq!(slowly(&operator, &site, "/api/keys", body(), || {}), 201);
}
