//! Requests that no program sends by itself: what they are answered is never a failure of the service, and shows no secret.

use std::thread;

use apikey::{NewKey, TOKEN_PATTERN};
use apikey_testkit::Call;

use crate::fixture::{Api, wait};

#[test]
fn the_method_of_a_request_is_not_repeated() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    let request = http::Request::builder().method(token).uri("/keys").body(Vec::new()).unwrap();
    let response = wait(apikey::management::handle(&api.management, request));
    assert_eq!(response.status(), 405);
    assert!(!response.body().contains(token), "{}", response.body());
}

#[test]
fn a_link_has_no_token_of_the_filter() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    api.store.create_many((0..2_100).map(|_| NewKey::for_owner("alice"))).unwrap();
    let pattern = regex::Regex::new(TOKEN_PATTERN).unwrap();
    let page = api.ask(&admin, Call::get(format!("/keys?text={}", admin.key.expose_secret())));
    assert!(page.status == 200 && page.json()["next"].is_string(), "{}", page.body);
    assert!(page.headers().all(|(_, value)| !pattern.is_match(value)), "{page:?}");
}

#[test]
fn what_goes_beyond_a_caller_shows_no_token() {
    let api = Api::new();
    let caller = api.key("alice", &["keys:create", "keys:revoke", "usage:read"]);
    let token = caller.key.expose_secret();
    let pattern = regex::Regex::new(TOKEN_PATTERN).unwrap();
    let small = token.to_lowercase();
    for call in [
        Call::post(format!("/owners/{token}/revoke"), "{}"),
        Call::post("/owners/bob/revoke", format!(r#"{{"tenant":"{token}"}}"#)),
        Call::get(format!("/usage?owner={token}")),
        Call::get(format!("/usage?tenant={token}")),
        Call::get(format!("/usage?tenant={small}")),
        Call::get(format!("/usage?owner=alice&tenant={token}")),
        Call::post("/keys", format!(r#"{{"owner":"{token}"}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","tenant":"{token}"}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","labels":{{"plan":"{token}"}}}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","networks":["{token}"]}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","prefix":"{token}"}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","roles":["{token}"]}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","permissions":["{token}"]}}"#)),
        Call::post("/keys", format!(r#"{{"owner":"alice","permissions":["{small}"]}}"#)),
    ] {
        let path = format!("{} {}", call.path(), call.body());
        let answer = api.ask(&caller, call);
        assert!((400..500).contains(&answer.status) && !pattern.is_match(&answer.body), "{path}: {}", answer.body);
    }
}

#[test]
fn a_field_of_a_role_or_a_tenant_is_given_once() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let twice = r#"{"permissions":["orders:read"],"permissions":["orders:write"]}"#;
    for path in ["/roles/reader", "/tenants/acme"] {
        let answer = api.ask(&admin, Call::put(path, twice));
        assert_eq!(answer.status, 422, "{}", answer.body);
        let error = &answer.json()["errors"][0];
        assert_eq!((&error["pointer"], &error["code"]), (&"#/permissions".into(), &"repeated_field".into()));
        let answer = api.ask(&admin, Call::put(path, r#"{"permissions":[7]}"#));
        assert_eq!(answer.json()["errors"][0]["pointer"], "#/permissions/0", "{}", answer.body);
        assert_eq!(api.ask(&admin, Call::get(path)).status, 404);
    }
}

#[test]
fn of_two_puts_with_one_entity_tag_one_is_made() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    for path in ["/roles/reader", "/tenants/acme"] {
        assert_eq!(api.ask(&admin, Call::put(path, "{}")).status, 200);
        for round in 0..20 {
            let tag = api.ask(&admin, Call::get(path)).header("etag").unwrap().to_owned();
            let put = |n: u32| {
                let grant = format!("orders:{}", ["read", "write"][usize::try_from((n + round) % 2).unwrap()]);
                let body = format!(r#"{{"permissions":["{grant}","stock:read","keys:{round}x{n}"]}}"#);
                let body = body.replace(&format!("keys:{round}x{n}"), ["keys:read", "keys:update"][(n % 2) as usize]);
                api.ask(&admin, Call::put(path, body).header("if-match", &tag)).status
            };
            let mut statuses: Vec<u16> = thread::scope(|scope| {
                let calls: Vec<_> = (0..2).map(|n| scope.spawn(move || put(n))).collect();
                calls.into_iter().map(|call| call.join().unwrap()).collect()
            });
            statuses.sort_unstable();
            assert_eq!(statuses, [200, 412], "{path} {round}");
        }
    }
}
