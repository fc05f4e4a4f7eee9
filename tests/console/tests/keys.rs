//! Sessions that begin with a key end with it, and may do what it may do.

use apikey::{KeyStore, KeyUpdate, NewKey, Overlap};
use apikey_testkit::{Call, wait_until};
use chrono::TimeDelta;
use serde_json::json;

use crate::fixture::Site;

#[test]
fn a_session_says_whose_it_is() {
    let site = Site::new();
    let key = NewKey::for_owner("alice").name("laptop").permissions(["keys:read", "orders:read"]);
    let key = site.store.tenant("acme").unwrap().create(key).unwrap();
    let browser = site.browser();
    let created = browser.sign_in(&key);
    assert_eq!(created.status, 201);
    let session = created.json();
    let said = ["kind", "name", "owner", "tenant", "key", "permissions", "max_keys", "max_lifetime_ms"]
        .map(|field| session[field].clone());
    let expected = json!(["key", "laptop", "alice", "acme", key.info.id(), ["keys:read", "orders:read"], null, null]);
    assert_eq!(json!(said), expected);
    let without_idle = |mut session: serde_json::Value| {
        session.as_object_mut().unwrap().remove("idle_ms");
        session
    };
    assert_eq!(without_idle(browser.get("/session").json()), without_idle(session));
    assert!(!created.body.contains(key.key.expose_secret()));
}

#[test]
fn whatever_ends_the_key_ends_its_session_with_the_next_request() {
    type End = fn(&Site, apikey::KeyId);
    let ends: [(&str, End); 6] = [
        ("revoked", |site, id| assert!(site.store.revoke(id, "left").unwrap())),
        ("disabled", |site, id| drop(site.store.update(id, KeyUpdate::new().disabled(true)).unwrap())),
        ("rotated at once", |site, id| drop(site.store.rotate(id, Overlap::None).unwrap())),
        ("rotated, with an overlap", |site, id| drop(site.store.rotate(id, Overlap::UntilFirstUse).unwrap())),
        ("replaced", |site, id| drop(site.store.replace_leaked(id, "leaked").unwrap())),
        ("bound to other networks", |site, id| {
            drop(site.store.update(id, KeyUpdate::new().networks(["10.0.0.0/8"])).unwrap());
        }),
    ];
    for (name, end) in ends {
        let site = Site::new();
        let key = site.key("root", &["*"]);
        let (browser, other) = (site.signed_in(&key), site.signed_in(&site.key("eve", &["*"])));
        end(&site, key.info.id());
        let answer = browser.post("/api/keys", &json!({ "owner": "alice" }));
        assert_eq!((answer.status, answer.code().as_str()), (401, "no_session"), "{name}");
        assert!(browser.cookies.borrow().is_empty(), "{name}");
        assert_eq!(site.store.list(&apikey::KeyFilter::owner("alice")).unwrap().keys.len(), 0, "{name}");
        assert!(other.is_signed_in(), "{name}");
        // It does not come back with the key.
        site.store.update(key.info.id(), KeyUpdate::new().disabled(false).any_network()).ok();
        assert!(!browser.is_signed_in(), "{name}");
    }
}

#[test]
fn an_expired_key_has_no_session() {
    let site = Site::new();
    let key = NewKey::for_owner("root").permissions(["*"]).expires_in(TimeDelta::minutes(5));
    let browser = site.signed_in(&site.store.create(key).unwrap());
    site.advance(TimeDelta::minutes(4));
    assert!(browser.is_signed_in());
    site.advance(TimeDelta::minutes(1));
    assert!(!browser.is_signed_in());
}

#[test]
fn the_tenant_of_a_key_takes_its_sessions_with_it() {
    let site = Site::new();
    let key = NewKey::for_owner("root").permissions(["*"]);
    let browser = site.signed_in(&site.store.tenant("acme").unwrap().create(key).unwrap());
    assert!(browser.is_signed_in());
    site.store.end_tenant("acme", "left").unwrap();
    assert!(!browser.is_signed_in());
}

/// A superseded secret signs in while it is good: whoever presents it has it.
#[test]
fn a_secret_that_has_a_successor_already_signs_in() {
    let site = Site::new();
    let old = site.key("root", &["*"]);
    let new = site.store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
    let browser = site.signed_in(&old);
    assert!(browser.is_signed_in());
    site.signed_in(&new);
    assert!(!browser.is_signed_in(), "the first use of the new secret ends it");
}

#[test]
fn a_session_may_do_what_its_key_may_do_now() {
    let site = Site::new();
    let key = site.key("alice", &["keys:read"]);
    let browser = site.signed_in(&key);
    let other = site.key("bob", &["orders:read"]).info.id();
    assert_eq!(browser.get(&format!("/api/keys/{other}")).status, 404, "other owners' keys are not there");
    assert_eq!(browser.post("/api/keys", &json!({ "owner": "alice" })).code(), "insufficient_permission");
    site.store.update(key.info.id(), KeyUpdate::new().add_permissions(["keys:any_owner", "keys:create"])).unwrap();
    assert_eq!(browser.get(&format!("/api/keys/{other}")).status, 200);
    assert_eq!(browser.post("/api/keys", &json!({ "owner": "alice" })).status, 201);
    assert_eq!(browser.get("/session").json()["permissions"], json!(["keys:any_owner", "keys:create", "keys:read"]));
    let wider = json!({ "owner": "alice", "permissions": ["orders:read"] });
    assert_eq!(browser.post("/api/keys", &wider).json()["violation"]["kind"], "grant");
    site.store.update(key.info.id(), KeyUpdate::new().permissions(["keys:read"])).unwrap();
    assert_eq!(browser.get(&format!("/api/keys/{other}")).status, 404);
    assert_eq!(browser.get("/api/me").json()["id"], json!(key.info.id()));
}

#[test]
fn a_key_that_manages_nothing_does_not_sign_in() {
    let site = Site::new();
    let browser = site.browser();
    let answer = browser.sign_in(&site.key("alice", &["orders:read"]));
    assert_eq!((answer.status, answer.code().as_str()), (403, "insufficient_permission"));
    for (wrong, code) in [("", "invalid_api_key"), ("ak_nothing", "invalid_api_key")] {
        let answer = browser.post("/session", &json!({ "key": wrong }));
        assert_eq!((answer.status, answer.code().as_str()), (401, code));
    }
    let revoked = site.key("root", &["*"]);
    site.store.revoke(revoked.info.id(), "left").unwrap();
    assert_eq!(browser.sign_in(&revoked).code(), "revoked_api_key");
    let far = site.store.create(NewKey::for_owner("root").permissions(["*"]).networks(["10.0.0.0/8"])).unwrap();
    assert_eq!(browser.sign_in(&far).code(), "address_not_allowed");
    assert!(browser.cookies.borrow().is_empty());
}

#[test]
fn sign_in_by_key_may_be_off() {
    let site = Site::new().with(apikey::console::Console::without_keys);
    let browser = site.browser();
    let answer = browser.sign_in(&site.key("root", &["*"]));
    assert_eq!((answer.status, answer.code().as_str()), (403, "no_sign_in_by_key"));
    assert_eq!(browser.get("/session").json()["sign_in"], json!(["link"]));
    assert_eq!(browser.post("/session", &json!({ "code": site.code(0) })).status, 201);
}

/// The page asks often, and a key with a limit or a quota is not for the page to use up.
#[test]
fn the_requests_of_a_session_are_no_uses_of_its_key() {
    let site = Site::of(KeyStore::builder().count_use(true));
    let key = NewKey::for_owner("root").permissions(["*"]).limit(2, TimeDelta::hours(1));
    let key = site.store.create(key.quota(apikey::Quota::per_day(2))).unwrap();
    let browser = site.signed_in(&key);
    for _ in 0..10 {
        assert!(browser.is_signed_in());
    }
    // What is counted is up to two seconds behind. That nothing else is counted, the quota and the limit have shown.
    let uses = || site.store.get(key.info.id()).unwrap().unwrap().uses_total();
    wait_until("the sign-in is counted", || uses() > 0);
    assert_eq!(uses(), 1);
}

#[test]
fn a_store_that_cannot_tell_ends_no_session() {
    let site = Site::new();
    let browser = site.signed_in(&site.key("root", &["*"]));
    site.store.close().unwrap();
    let answer = browser.get("/api/keys");
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    assert!(!browser.cookies.borrow().is_empty());
    assert_eq!(browser.send(&Call::get("/")).status, 200, "the page can say so");
}
