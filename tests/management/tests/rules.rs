//! The rules of the API, beyond what a row of the table can say: callers, caps, changes at the same time, tokens, budgets.

use std::thread;

use apikey::management::Management;
use apikey::{CreatedKey, EventFilter, KeyFilter, KeyStore, NewKey, Tenant};
use apikey_testkit::{Answer, Call};
use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::json;

use crate::fixture::Api;

const MERGE: &str = "application/merge-patch+json";

fn patch(key: &CreatedKey, tag: &str, body: &str) -> Call {
    let path = format!("/keys/{}", key.info.id());
    Call::with_body("PATCH", path, MERGE, body.to_owned()).header("if-match", tag)
}

#[test]
fn of_two_changes_with_one_entity_tag_one_is_made() {
    let api = Api::new();
    let admin = api.key("alice", &["*"]);
    let key = api.key("bob", &["orders:read"]);
    for round in 0..20 {
        let tag = api.ask(&admin, Call::get(format!("/keys/{}", key.info.id()))).header("etag").unwrap().to_owned();
        let change = |n: u32| api.ask(&admin, patch(&key, &tag, &format!(r#"{{"name":"{round} {n}"}}"#))).status;
        let mut statuses: Vec<u16> = thread::scope(|scope| {
            let calls: Vec<_> = (0..2).map(|n| scope.spawn(move || change(n))).collect();
            calls.into_iter().map(|call| call.join().unwrap()).collect()
        });
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
    }
}

#[test]
fn a_lost_create_that_is_repeated_makes_one_key() {
    let api = Api::new();
    let admin = api.key("alice", &["*"]);
    let create = || Call::post("/keys", r#"{"owner":"bob"}"#).header("idempotency-key", "order-17");
    let answers: Vec<Answer> = thread::scope(|scope| {
        let calls: Vec<_> = (0..8).map(|_| scope.spawn(|| api.ask(&admin, create()))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    assert!(answers.iter().all(|answer| answer.status == 201));
    let keys = api.store.list(&KeyFilter::owner("bob")).unwrap().keys;
    assert_eq!(keys.len(), 1);
    assert!(answers.iter().all(|answer| answer.json()["id"] == keys[0].id().to_string()));
    let valid = |answer: &Answer| {
        api.store.inspect(&apikey::Attempt::new(answer.json()["key"].as_str().unwrap())).answer.is_ok()
    };
    assert_eq!(answers.iter().filter(|answer| valid(answer)).count(), 1, "each repeat replaces the secret before it");
    // Another caller's key of the same text is another.
    let other = api.key("bob", &["*"]);
    assert_eq!(api.ask(&other, create()).status, 201);
    assert_eq!(api.store.list(&KeyFilter::owner("bob")).unwrap().keys.len(), 3);
}

/// Rows are callers, columns what they do to a key of each owner; the statuses are those of the store's caps.
#[test]
fn every_operation_is_within_its_caller() {
    let api = Api::of(KeyStore::builder().count_use(true).temporary().unwrap());
    let store = &api.store;
    let of_acme = |owner: &str, grants: &[&str]| {
        store.tenant("acme").unwrap().create(NewKey::for_owner(owner).permissions(grants)).unwrap()
    };
    let all = [
        "keys:read",
        "keys:create",
        "keys:update",
        "keys:rotate",
        "keys:revoke",
        "events:read",
        "usage:read",
        "orders:read",
    ];
    let any_owner = [&all[..], &["keys:any_owner"]].concat();
    let any_tenant = [&any_owner[..], &["keys:any_tenant"]].concat();
    let callers = [
        ("own keys", api.key("alice", &all)),
        ("any owner", api.key("eve", &any_owner)),
        ("any tenant", api.key("eve", &any_tenant)),
        ("of a tenant", of_acme("alice", &any_owner)),
        ("everything", api.key("root", &["*"])),
        ("nothing", api.key("alice", &["orders:read"])),
    ];
    let targets = || {
        [
            api.key("alice", &["orders:read"]),
            api.key("alice", &["orders:write"]),
            api.key("bob", &["orders:read"]),
            of_acme("alice", &["orders:read"]),
        ]
    };
    // For alice, alice with more than the callers have, bob, and alice of acme.
    let reads = [[200, 200, 404, 404], [200, 200, 200, 404], [200; 4], [404, 404, 404, 200], [200; 4], [403; 4]];
    let changes =
        [[200, 403, 404, 404], [200, 403, 200, 404], [200, 403, 200, 200], [404, 404, 404, 200], [200; 4], [403; 4]];
    let id = |key: &CreatedKey| key.info.id();
    type Ask = fn(&CreatedKey) -> Call;
    let asked: [(&str, Ask, &[[u16; 4]; 6]); 9] = [
        ("get", |key| Call::get(format!("/keys/{}", key.info.id())), &reads),
        ("usage", |key| Call::get(format!("/usage?key={}", key.info.id())), &reads),
        ("events", |key| Call::get(format!("/events?key={}", key.info.id())), &changes),
        ("patch", |key| patch(key, "*", r#"{"name":"x"}"#), &changes),
        ("disable", |key| Call::new("POST", format!("/keys/{}/disable", key.info.id())), &changes),
        ("enable", |key| Call::new("POST", format!("/keys/{}/enable", key.info.id())), &changes),
        ("rotate", |key| Call::new("POST", format!("/keys/{}/rotate", key.info.id())), &changes),
        ("replace", |key| Call::new("POST", format!("/keys/{}/replace", key.info.id())), &changes),
        ("revoke", |key| Call::new("POST", format!("/keys/{}/revoke", key.info.id())), &changes),
    ];
    for (name, call, expected) in asked {
        for ((caller, key), expected) in callers.iter().zip(expected) {
            let targets = targets();
            let answers: Vec<u16> = targets.iter().map(|target| api.ask(key, call(target)).status).collect();
            assert_eq!(answers, expected, "{name} by {caller}");
            for (target, status) in targets.iter().zip(expected) {
                let mine = EventFilter::default().key(id(target)).actor(key.info.id());
                let events = store.events(&mine).unwrap().events.len();
                assert!(*status == 200 || events == 0, "{name} by {caller}: a refused change is none");
            }
        }
    }
    // A page has what its caller may read.
    let owners = |key: &CreatedKey| {
        let page = api.ask(key, Call::get("/keys?limit=1000")).json();
        let mut owners: Vec<String> = page["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| format!("{}/{}", key["tenant"].as_str().unwrap_or("-"), key["owner"].as_str().unwrap()))
            .collect();
        owners.sort();
        owners.dedup();
        owners
    };
    assert_eq!(owners(&callers[0].1), ["-/alice"]);
    assert_eq!(owners(&callers[1].1), ["-/alice", "-/bob", "-/eve", "-/root"]);
    assert_eq!(owners(&callers[2].1), ["-/alice", "-/bob", "-/eve", "-/root", "acme/alice"]);
    assert_eq!(owners(&callers[3].1), ["acme/alice"]);
}

#[test]
fn a_new_key_is_within_its_caller() {
    let api = Api::new();
    let caller = api.store.create(
        NewKey::for_owner("alice")
            .permissions(["keys:create", "orders:read"])
            .expires_in(TimeDelta::hours(1))
            .networks(["127.0.0.0/8"])
            .limit(10, TimeDelta::minutes(1))
            .label("plan", "pro"),
    );
    let caller = caller.unwrap();
    let management = Management::new(api.store.clone());
    let ask = |body: &str| {
        let mut request = http::Request::post("/keys").header("content-type", "application/json");
        request = request.header("x-api-key", caller.key.expose_secret());
        let mut request = request.body(body.as_bytes().to_vec()).unwrap();
        request.extensions_mut().insert(apikey::PeerAddr([127, 0, 0, 1].into()));
        let response = apikey_testkit::block_on(apikey::management::handle(&management, request));
        let kind = serde_json::from_str::<serde_json::Value>(response.body()).unwrap()["violation"]["kind"].clone();
        (response.status().as_u16(), kind.as_str().unwrap_or_default().to_owned())
    };
    let mut answers = Vec::new();
    for body in [
        r#"{"owner":"alice"}"#,
        r#"{"owner":"bob"}"#,
        r#"{"owner":"alice","permissions":["orders:write"]}"#,
        r#"{"owner":"alice","permissions":["keys:create"]}"#,
        r#"{"owner":"alice","expires_in_ms":7200000}"#,
        r#"{"owner":"alice","networks":["10.0.0.0/8"]}"#,
        r#"{"owner":"alice","limit":{"count":100,"per_ms":60000}}"#,
        r#"{"owner":"alice","labels":{"plan":"enterprise"}}"#,
        r#"{"owner":"alice","tenant":"acme"}"#,
    ] {
        let (status, kind) = ask(body);
        answers.push(format!("{status} {kind}"));
    }
    let refused = ["owner", "grant", "delegation", "end", "networks", "limit", "label", "tenant"]
        .map(|kind| format!("403 {kind}"));
    assert_eq!(answers, [&["201 ".to_owned()], &refused[..]].concat());
}

#[test]
fn a_tenant_that_nobody_has_put_has_no_key_with_everything() {
    let api = Api::of(KeyStore::builder().catalog(["orders:read"]).temporary().unwrap());
    let management = Management::new(api.store.clone()).offer(["orders:read"]);
    let api = Api { management, ..api };
    let admin = api.key("root", &["*"]);
    let create = |body: &str| api.ask(&admin, Call::post("/keys", body.to_owned())).status;
    assert_eq!(create(r#"{"owner":"a","permissions":["*"]}"#), 201, "all that it covers is offered");
    assert_eq!(create(r#"{"owner":"a","permissions":["*"],"tenant":"acme"}"#), 422);
    api.store.put_tenant(Tenant::new("acme").permissions(["orders:*"])).unwrap();
    assert_eq!(create(r#"{"owner":"a","permissions":["*"],"tenant":"acme"}"#), 201);
}

#[test]
fn what_is_offered_says_what_it_is_for() {
    apikey::permissions! {
        enum Perm {
            /// Read orders.
            OrdersRead = "orders:read",
            OrdersWrite = "orders:write",
        }
    }
    let api = Api::new();
    let api = Api { management: Management::new(api.store.clone()).offer(Perm::ALL), ..api };
    let admin = api.key("root", &["*"]);
    let list = api.ask(&admin, Call::get("/permissions")).json();
    let first = json!({ "name": "orders:read", "doc": "Read orders.", "handlers": [], "operations": [] });
    assert_eq!((&list["permissions"][0], &list["any"]), (&first, &json!(false)));
    let names: Vec<_> =
        list["permissions"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"orders:write") && names.contains(&"keys:delegate"), "{names:?}");
}

#[test]
fn failing_questions_use_up_the_budget_of_their_caller_and_of_the_address() {
    let store = KeyStore::builder().failed_attempts(3, TimeDelta::hours(1)).temporary().unwrap();
    let api = Api::of(store);
    let [gateway, other] = ["one", "two"].map(|owner| api.key(owner, &["keys:verify"]));
    let key = api.key("alice", &["orders:read"]);
    let verify = |caller: &CreatedKey, token: &str, address: &str| {
        let body = json!({ "key": token, "address": (!address.is_empty()).then_some(address) });
        api.ask(caller, Call::post("/verify", body.to_string()))
    };
    let token = key.key.expose_secret();
    for _ in 0..3 {
        assert_eq!(verify(&gateway, "a guess", "192.0.2.1").json()["code"], "invalid_api_key");
    }
    let refused = verify(&gateway, token, "192.0.2.1").json();
    assert_eq!((&refused["valid"], &refused["code"]), (&json!(false), &json!("rate_limited")));
    assert_eq!(verify(&gateway, token, "192.0.2.2").json()["valid"], true);
    for _ in 0..57 {
        verify(&gateway, "a guess", "");
    }
    let answer = verify(&gateway, token, "");
    assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!(wait <= 60, "{wait}");
    assert_eq!(verify(&other, token, "").json()["valid"], true, "another caller has a budget of its own");
    // Nothing of all that is a use of the key.
    assert_eq!(api.store.get(key.info.id()).unwrap().unwrap().last_used_at(), None);
    let body = json!({ "key": token, "use": true }).to_string();
    assert_eq!(api.ask(&other, Call::post("/verify", body)).json()["valid"], true);
    assert!(api.store.get(key.info.id()).unwrap().unwrap().last_used_at().is_some());
}

#[test]
fn a_tenant_uses_up_no_address_for_others() {
    let store = KeyStore::builder().failed_attempts(3, TimeDelta::hours(1)).temporary().unwrap();
    let api = Api::of(store);
    let of_acme = NewKey::for_owner("gateway").permissions(["keys:verify"]);
    let of_acme = api.store.tenant("acme").unwrap().create(of_acme).unwrap();
    let near = NewKey::for_owner("alice").networks(["192.0.2.0/24"]);
    let near = api.store.tenant("acme").unwrap().create(near).unwrap();
    let verify = |caller: &CreatedKey, token: &str, address: &str| {
        let body = json!({ "key": token, "address": address }).to_string();
        api.ask(caller, Call::post("/verify", body)).json()["code"].clone()
    };
    for _ in 0..10 {
        assert_eq!(verify(&of_acme, "a guess", "192.0.2.1"), "invalid_api_key");
    }
    let gateway = api.key("gateway", &["keys:verify"]);
    let key = api.key("bob", &[]);
    assert_eq!(verify(&gateway, key.key.expose_secret(), "192.0.2.1"), "ok");
    // The networks of its keys it learns of all the same.
    assert_eq!(verify(&of_acme, near.key.expose_secret(), "192.0.2.1"), "ok");
    assert_eq!(verify(&of_acme, near.key.expose_secret(), "198.51.100.1"), "address_not_allowed");
}

#[test]
fn of_revocations_by_filter_one_is_carried_out_at_a_time() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let key = api.key("alice", &[]);
    api.store.create_many((0..10_000).map(|at| NewKey::for_owner(format!("owner-{at}")))).unwrap();
    let call = Call::post("/keys/revoke", json!({ "filter": { "text": "nobody" }, "expect": 1 }).to_string());
    let waiting: Vec<_> = (0..8).map(|_| api.begin(&call.clone().key(admin.key.expose_secret()))).collect();
    let revoked = api.ask(&admin, Call::post(format!("/keys/{}/revoke", key.info.id()), ""));
    assert_eq!(revoked.status, 200);
    let mut codes: Vec<_> = waiting.into_iter().map(|answer| api.end(answer).code()).collect();
    codes.sort();
    codes.dedup();
    assert_eq!(codes, ["unavailable", "unexpected_count"]);
}

#[test]
fn a_page_is_bounded_and_pages_have_every_key_once() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    for chunk in 0..3 {
        api.store.create_many((0..4_000).map(|n| NewKey::for_owner(format!("o{}", (chunk * 4_000 + n) % 13)))).unwrap();
    }
    let read = |query: &str| {
        let (mut path, mut ids, mut pages) = (format!("/keys?{query}"), Vec::new(), 0);
        loop {
            let page = api.ask(&admin, Call::get(path)).json();
            ids.extend(page["keys"].as_array().unwrap().iter().map(|key| key["id"].as_str().unwrap().to_owned()));
            pages += 1;
            let Some(next) = page["next"].as_str() else { return (ids, pages) };
            assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            path = format!("/keys?{query}&cursor={next}");
        }
    };
    let (ids, _) = read("limit=1000");
    assert!(ids.len() == 12_001 && ids.is_sorted());
    let (none, pages) = read("text=nothing");
    assert!(none.is_empty() && pages == 7, "a page that finds nothing in 2,000 records is empty, and goes on");
    let (of_owner, _) = read("owner=o3&sort=expires&limit=100");
    let (in_order, _) = read("owner=o3&limit=1000");
    assert_eq!(of_owner, in_order, "keys without an end are in the order of their creation");
    let all = api.ask(&admin, Call::get("/keys?sort=expires"));
    assert_eq!((all.status, &all.json()["errors"][0]["pointer"]), (422, &json!("#/sort")), "{}", all.body);
}

#[test]
fn keys_are_sorted_by_their_end_and_their_last_use() {
    let api = Api::new();
    let admin = api.key("root", &["*"]);
    let make = |name: &str, hours: i64| {
        let new = NewKey::for_owner("alice").name(name);
        let new = if hours > 0 { new.expires_in(TimeDelta::hours(hours)) } else { new };
        api.store.create(new).unwrap()
    };
    let keys = [make("never", 0), make("late", 9), make("soon", 1), make("middle", 5)];
    api.store.verify(keys[3].key.expose_secret()).unwrap();
    let names = |query: &str| -> Vec<String> {
        let page = api.ask(&admin, Call::get(format!("/keys?owner=alice&{query}"))).json();
        page["keys"].as_array().unwrap().iter().map(|key| key["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("sort=expires"), ["soon", "middle", "late", "never"]);
    assert_eq!(names("sort=last_used")[0], "middle");
    assert_eq!(names("sort=created"), ["never", "late", "soon", "middle"]);
    let page = api.ask(&admin, Call::get("/keys?owner=alice&sort=expires&limit=2")).json();
    let next = page["next"].as_str().unwrap();
    assert_eq!(names(&format!("sort=expires&cursor={next}")), ["late", "never"]);
    let other = api.ask(&admin, Call::get(format!("/keys?owner=alice&sort=created&cursor={next}")));
    assert_eq!(other.code(), "invalid_cursor");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a caller sends, no answer but those of create, rotate and replace has a token, and none is an error of the
    /// service.
    #[test]
    fn no_other_answer_has_a_token(
        requests in prop::collection::vec((0usize..24, prop::sample::select(vec!["", "?", "?activity", "?limit=3", "?x=ak_1"]), any::<u8>()), 1..20)
    ) {
        let api = Api::new();
        let admin = api.key("root", &["*"]);
        let mut tokens = vec![admin.key.expose_secret().to_owned()];
        let mut id = admin.info.id().to_string();
        let pattern = regex::Regex::new(apikey::TOKEN_PATTERN).unwrap();
        for (which, query, byte) in requests {
            let token = tokens[usize::from(byte) % tokens.len()].clone();
            let body = match byte % 5 {
                0 => json!({ "owner": "alice" }),
                1 => json!({ "owner": token, "name": token, "metadata": { token.as_str(): token.as_str() } }),
                2 => json!({ "key": token, "permissions": [token.as_str()] }),
                3 => json!({ "reason": token, "filter": { "text": token }, "expect": 0 }),
                _ => json!(token),
            }.to_string();
            let (method, path) = match which {
                0..4 => ("POST", "/keys".to_owned()),
                4 => ("POST", format!("/keys/{id}/rotate")),
                5 => ("POST", format!("/keys/{id}/replace")),
                6 => ("GET", format!("/keys/{id}")),
                7 => ("PATCH", format!("/keys/{id}")),
                8 => ("GET", "/keys".to_owned()),
                9 => ("GET", "/events".to_owned()),
                10 => ("GET", format!("/usage?owner={token}")),
                11 => ("POST", "/verify".to_owned()),
                12 => ("POST", "/introspect".to_owned()),
                13 => ("POST", "/keys/revoke".to_owned()),
                14 => ("POST", format!("/owners/{token}/revoke")),
                15 => ("PUT", format!("/roles/{token}")),
                16 => ("PUT", format!("/tenants/{token}")),
                17 => ("GET", format!("/{token}")),
                18 => ("GET", format!("/keys/{token}")),
                19 => ("GET", format!("/keys?text={token}")),
                20 => ("GET", format!("/keys?cursor={token}")),
                21 => ("POST", format!("/keys/{id}/disable")),
                22 => ("POST", format!("/keys/{id}/enable")),
                _ => ("GET", "/me".to_owned()),
            };
            let media_type = match which { 7 => MERGE, 12 => "application/x-www-form-urlencoded", _ => "application/json" };
            let call = Call::with_body(method, format!("{path}{query}"), media_type, body).header("if-match", "*");
            let answer = api.ask(&admin, call);
            let may = method == "POST" && (path == "/keys" || path.ends_with("/rotate") || path.ends_with("/replace"));
            let shows = pattern.is_match(&answer.body)
                || answer.headers().any(|(_, value)| pattern.is_match(value));
            prop_assert!(!shows || (may && answer.status < 300), "{method} {path}: {}", answer.body);
            prop_assert!(answer.status < 500, "{}", answer.body);
            if may && answer.status < 300 {
                let document = answer.json();
                tokens.push(document["key"].as_str().unwrap().to_owned());
                if document["id"] != admin.info.id().to_string() {
                    id = document["id"].as_str().unwrap().to_owned();
                }
            }
        }
    }
}
