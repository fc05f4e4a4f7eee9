//! Requests that no program sends by itself: what they are answered is never a failure of the service, and shows no secret.

use std::thread;

use apikey::{KeyFilter, NewKey, TOKEN_PATTERN};
use apikey_testkit::{Call, block_on, wait_until};

use crate::fixture::Api;

#[test]
fn the_method_of_a_request_is_not_repeated() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    let request = http::Request::builder().method(token).uri("/keys").body(Vec::new()).unwrap();
    let response = block_on(apikey::management::handle(&api.management, request));
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

#[test]
fn no_value_is_a_failure_of_the_service() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let id = api.key("alice", &["orders:read"]).info.id().to_string();
    let times = [
        "+262142-12-31T23:59:59.999999999Z",
        "-262143-01-01T00:00:00Z",
        "-262143-01-01T00:00:00+23:59",
        "+262142-12-31T23:59:59-23:59",
        "9999-12-31T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "1969-12-31T23:59:59Z",
    ];
    for time in times.map(|time| time.replace('+', "%2B")) {
        for path in [
            format!("/keys?expiring_before={time}"),
            format!("/keys?idle_since={time}&sort=last_used"),
            format!("/events?since={time}"),
            format!("/events?until={time}&after=0"),
            format!("/usage?since={time}"),
            format!("/usage?until={time}&step=minute"),
            format!("/usage?by=key&since={time}"),
        ] {
            let answer = api.ask(&admin, Call::get(&path));
            assert!(answer.status < 500, "{path}: {}", answer.body);
        }
    }
    for number in ["0", "-1", "9223372036854775807", "9223372036854775808", "18446744073709551615", "1e400", "00", "+1"]
    {
        for path in
            [format!("/events?after={number}"), format!("/keys?limit={number}"), format!("/events?limit={number}")]
        {
            let answer = api.ask(&admin, Call::get(&path));
            assert!(answer.status < 500, "{path}: {}", answer.body);
        }
        for field in ["expires_in_ms", "idle_after_ms"] {
            let answer = api.ask(&admin, Call::post("/keys", format!(r#"{{"owner":"a","{field}":{number}}}"#)));
            assert!(answer.status < 500, "{field} {number}: {}", answer.body);
        }
        for body in [
            format!(r#"{{"limit":{{"count":{number},"per_ms":{number}}}}}"#),
            format!(r#"{{"quota":{{"per":"day","count":{number}}}}}"#),
            format!(r#"{{"rotation":{{"every_ms":{number},"overlap_ms":{number}}}}}"#),
            format!(r#"{{"idle_after_ms":{number}}}"#),
        ] {
            let call = Call::with_body("PATCH", format!("/keys/{id}"), "application/merge-patch+json", body.clone());
            let answer = api.ask(&admin, call.header("if-match", "*"));
            assert!(answer.status < 500, "{body}: {}", answer.body);
        }
        let answer =
            api.ask(&admin, Call::post(format!("/keys/{id}/rotate"), format!(r#"{{"overlap":{{"ms":{number}}}}}"#)));
        assert!(answer.status < 500, "{number}: {}", answer.body);
        let body = format!(r#"{{"filter":{{"owner":"nobody"}},"expect":{number}}}"#);
        let answer = api.ask(&admin, Call::post("/keys/revoke", body));
        assert!(answer.status < 500, "{number}: {}", answer.body);
    }
    for segment in ["%00", "%FF", "%", "%zz", "..", "%2E%2E", "%252F", "%F0%9F%98%80", "a%0D%0Ab", "*", "{id}"] {
        for (method, path) in [
            ("GET", format!("/keys/{segment}")),
            ("DELETE", format!("/keys/{segment}")),
            ("POST", format!("/owners/{segment}/revoke")),
            ("GET", format!("/roles/{segment}")),
            ("DELETE", format!("/roles/{segment}")),
            ("GET", format!("/tenants/{segment}")),
            ("POST", format!("/tenants/{segment}/end")),
            ("GET", format!("/keys?owner={segment}&metadata.{segment}={segment}")),
            ("GET", format!("/usage?owner={segment}")),
            ("GET", format!("/events?actor={segment}")),
        ] {
            let answer = api.ask(&admin, Call::new(method, &path));
            assert!(answer.status < 500, "{method} {path}: {}", answer.body);
        }
        for path in ["/roles", "/tenants"] {
            let answer = api.ask(&admin, Call::put(format!("{path}/{segment}"), "{}"));
            assert!(answer.status < 500, "{path}/{segment}: {}", answer.body);
        }
    }
    let deep = format!("{}{}", "[".repeat(30_000), "]".repeat(30_000));
    for body in [
        deep.clone(),
        format!(r#"{{"owner":"a","metadata":{deep}}}"#),
        r#"{"owner":"\ud800"}"#.to_owned(),
        r#"{"owner":"a","metadata":{"\u0000":"x"}}"#.to_owned(),
        "null".to_owned(),
        "\u{feff}{}".to_owned(),
    ] {
        for path in ["/keys", "/verify", "/keys/revoke"] {
            let answer = api.ask(&admin, Call::post(path, body.clone()));
            assert!((400..500).contains(&answer.status), "{path} {body:.40}: {}", answer.body);
        }
        assert!(api.ask(&admin, Call::put("/roles/deep", body.clone())).status < 500);
    }
    assert!(api.store.list(&KeyFilter::owner("a").limit(1000)).is_ok());
}

/// `null` takes away, and what is not named stays (RFC 7396).
#[test]
fn a_merge_patch_changes_what_it_names() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let body = r#"{"owner":"alice","name":"ci","permissions":["orders:read"],"metadata":{"a":"1","b":"2"},"labels":{"plan":"pro"},
        "expires_in_ms":86400000,"networks":["10.0.0.0/8"],"limit":{"count":5,"per_ms":1000},"idle_after_ms":86400000}"#;
    let created = api.ask(&admin, Call::post("/keys", body)).json();
    let id = created["id"].as_str().unwrap();
    let patch = |body: &str| {
        let call = Call::with_body("PATCH", format!("/keys/{id}"), "application/merge-patch+json", body.to_owned());
        let answer = api.ask(&admin, call.header("if-match", "*"));
        assert_eq!(answer.status, 200, "{body}: {}", answer.body);
        answer.json()
    };
    let fields = ["name", "permissions", "metadata", "labels", "expires_at", "networks", "limit", "idle_after_ms"];
    for (body, field, after) in [
        (r#"{"name":null}"#, "name", serde_json::json!(null)),
        (r#"{"metadata":{"a":null,"c":"3"}}"#, "metadata", serde_json::json!({ "b": "2", "c": "3" })),
        (r#"{"metadata":null}"#, "metadata", serde_json::json!({})),
        (r#"{"labels":{"plan":null}}"#, "labels", serde_json::json!({})),
        (r#"{"expires_at":null}"#, "expires_at", serde_json::json!(null)),
        (r#"{"networks":null}"#, "networks", serde_json::json!([])),
        (r#"{"limit":null}"#, "limit", serde_json::json!(null)),
        (r#"{"idle_after_ms":null}"#, "idle_after_ms", serde_json::json!(null)),
        (r#"{"permissions":[]}"#, "permissions", serde_json::json!([])),
    ] {
        let before = api.ask(&admin, Call::get(format!("/keys/{id}"))).json();
        let now = patch(body);
        assert_eq!(now[field], after, "{body}");
        for other in fields.iter().filter(|other| **other != field) {
            assert_eq!(now[other], before[other], "{body} leaves {other}");
        }
    }
}

#[test]
fn a_change_is_made_though_its_caller_has_gone() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let key = api.key("alice", &["orders:read"]);
    let request = http::Request::delete(format!("/keys/{}", key.info.id()));
    let request = request.header("x-api-key", admin.key.expose_secret()).body("").unwrap();
    drop(apikey::management::handle(&api.management, request));
    wait_until("it is revoked", || api.store.verify(key.key.expose_secret()).is_err());
}

#[test]
fn a_store_that_closes_answers_everybody() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let token = admin.key.expose_secret();
    let ask = |method: &str, path: &str, body: &'static str| {
        let request = http::Request::builder().method(method).uri(path).header("x-api-key", token);
        let request = request.header("content-type", "application/json").body(body).unwrap();
        apikey::management::handle(&api.management, request)
    };
    let mut answers = Vec::new();
    for n in 0..200 {
        answers.push(ask("POST", "/keys", r#"{"owner":"alice"}"#));
        answers.push(ask("GET", "/keys?limit=1", ""));
        if n == 100 {
            api.store.close().unwrap();
        }
    }
    for answer in answers.into_iter().map(block_on) {
        assert!([200, 201, 503].contains(&answer.status().as_u16()), "{}", answer.body());
    }
    for (method, path) in [("GET", "/me"), ("GET", "/health"), ("GET", "/roles"), ("DELETE", "/keys/17")] {
        assert_eq!(block_on(ask(method, path, "")).status(), 503, "{path}");
    }
    assert_eq!(block_on(ask("GET", "/openapi.json", "")).status(), 200);
}
