//! Operations that show a secret take a sign-in of the last 15 minutes.

use chrono::TimeDelta;
use serde_json::json;

use crate::fixture::{Browser, Site};

/// Keeps a session in use for 16 minutes.
fn grow_stale(site: &Site, browser: &Browser<'_>) {
    for _ in 0..2 {
        site.advance(TimeDelta::minutes(8));
        assert!(browser.is_signed_in());
    }
}

#[test]
fn a_secret_takes_a_sign_in_of_the_last_fifteen_minutes() {
    let site = Site::new();
    let operator = site.operator();
    let id = site.key("alice", &["orders:read"]).info.id();
    let create = json!({ "owner": "alice" });
    let shows = [
        ("/api/keys".to_owned(), create),
        (format!("/api/keys/{id}/rotate"), json!({ "overlap": "none" })),
        (format!("/api/keys/{id}/replace"), json!({})),
    ];
    for (path, body) in &shows {
        assert!(operator.post(path, body).status < 300, "{path}");
    }
    assert_eq!(operator.get("/session").json()["fresh"], true);
    grow_stale(&site, &operator);
    assert_eq!(operator.get("/session").json()["fresh"], false);
    for (path, body) in &shows {
        let answer = operator.post(path, body);
        assert_eq!((answer.status, answer.code().as_str()), (403, "sign_in_again"), "{path}");
    }
    // Nothing else waits for it.
    assert_eq!(operator.get(&format!("/api/keys/{id}")).status, 200);
    assert_eq!(operator.post(&format!("/api/keys/{id}/disable"), &json!({})).status, 200);
    assert_eq!(operator.post(&format!("/api/keys/{id}/enable"), &json!({})).status, 200);
    let before = operator.cookies.borrow().clone();
    let confirmed = operator.post("/session/confirm", &json!({ "code": site.code(1000) }));
    assert_eq!((confirmed.status, &confirmed.json()["fresh"]), (201, &json!(true)));
    for (path, body) in &shows {
        assert!(operator.post(path, body).status < 300, "{path}");
    }
    let old = site.browser();
    old.cookies.replace(before);
    assert!(!old.is_signed_in(), "the session has another token");
    assert_eq!(operator.get("/sessions").json()["sessions"].as_array().unwrap().len(), 1);
    assert!(operator.post(&format!("/api/keys/{id}/revoke"), &json!({})).status < 300);
}

#[test]
fn only_the_same_principal_confirms_a_session() {
    let site = Site::new();
    let (own, other) = (site.key("root", &["*"]), site.key("eve", &["*"]));
    let browser = site.signed_in(&own);
    grow_stale(&site, &browser);
    let confirm = |body| browser.post("/session/confirm", &body);
    for body in [json!({ "key": other.key.expose_secret() }), json!({ "code": site.code(0) })] {
        assert_eq!(confirm(body).code(), "another_principal");
    }
    assert_eq!(confirm(json!({ "key": "wrong" })).status, 401);
    assert_eq!(browser.get("/session").json()["fresh"], false);
    assert!(browser.is_signed_in(), "a wrong key signs nobody out");
    let answer = confirm(json!({ "key": own.key.expose_secret() }));
    assert_eq!((answer.status, &answer.json()["owner"]), (201, &json!("root")));
    let operator = site.operator();
    assert_eq!(operator.post("/session/confirm", &json!({ "code": site.code(7) })).code(), "another_principal");
    assert_eq!(site.browser().post("/session/confirm", &json!({ "code": site.code(7) })).code(), "no_session");
}

/// A rotated key signs in again with its new secret.
#[test]
fn the_secret_of_a_rotation_confirms_no_session_of_the_old_one() {
    let site = Site::new();
    let key = site.key("root", &["*"]);
    let browser = site.signed_in(&key);
    let new = site.store.rotate(key.info.id(), apikey::Overlap::UntilFirstUse).unwrap();
    let body = json!({ "key": new.key.expose_secret() });
    assert_eq!(browser.post("/session/confirm", &body).code(), "no_session");
    assert_eq!(browser.post("/session", &body).status, 201);
}
