//! One table of requests and answers for every framework.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use apikey::{CreatedKey, KeyStore, KeyStoreBuilder, KeyUpdate, ManualClock, NewKey, Overlap};
use apikey_testkit::{Answer, Call};
use chrono::{DateTime, TimeDelta, Utc};

use crate::examples::ALL;

const CHALLENGE: &str = "ApiKey realm=\"api\", header=\"X-API-Key\"";

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()
}

fn create(store: &KeyStore, key: NewKey) -> CreatedKey {
    store.create(key).unwrap()
}

fn token(store: &KeyStore, owner: &str, grants: &[&str]) -> String {
    create(store, NewKey::for_owner(owner).permissions(grants)).key.expose_secret().to_owned()
}

/// Asserts the form of a refusal, which is the same in every framework.
fn check_refusal(who: &str, answer: &Answer, status: u16, code: &str, detail: &str, required: Option<&str>) {
    assert_eq!(answer.status, status, "{who}: {answer:?}");
    assert_eq!(answer.all("content-type"), ["application/problem+json"], "{who}");
    assert_eq!(answer.all("cache-control"), ["no-store"], "{who}");
    assert_eq!(answer.all("vary").join(", ").to_lowercase(), "x-api-key", "{who}");
    assert_eq!(answer.all("www-authenticate"), if status == 401 { vec![CHALLENGE] } else { vec![] }, "{who}");
    let mut problem = serde_json::json!({
        "type": format!("urn:apikey:problem:{code}"),
        "title": match code {
            "unavailable" => "API keys are unavailable",
            _ if required.is_some() => "API key lacks permission",
            _ => detail,
        },
        "status": status,
        "detail": detail,
        "code": code,
    });
    if let Some(required) = required {
        problem["required"] = required.into();
    }
    assert_eq!(answer.json(), problem, "{who}");
}

#[test]
fn every_kind_of_refusal() {
    let clock = ManualClock::new(now());
    let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
    let writer = NewKey::for_owner("writer").permissions(["orders:*"]);
    let [revoked, disabled, expired, idle, early, replaced, rotated] = [
        writer.clone(),
        writer.clone(),
        writer.clone().expires_in(TimeDelta::hours(1)),
        writer.clone().idle_after(TimeDelta::hours(1)),
        writer.clone().not_before(now() + TimeDelta::days(1)),
        writer.clone(),
        writer.clone(),
    ]
    .map(|key| create(&store, key));
    store.revoke(revoked.info.id(), "test").unwrap();
    store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    store.rotate(replaced.info.id(), Overlap::None).unwrap();
    store.rotate(rotated.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    clock.advance(TimeDelta::hours(1));
    let text = |created: &CreatedKey| created.key.expose_secret().as_bytes().to_vec();
    let reader = token(&store, "reader", &["orders:read"]).into_bytes();
    let foreign = token(&KeyStore::temporary().unwrap(), "reader", &["orders:*"]).into_bytes();

    let lacks = "API key lacks permission orders:write";
    let table: Vec<(Option<Vec<u8>>, u16, &str, &str)> = vec![
        (None, 401, "missing_api_key", "API key missing"),
        (Some(b"malformed".to_vec()), 401, "invalid_api_key", "Invalid API key"),
        (Some(b"\xff\xfe".to_vec()), 401, "invalid_api_key", "Invalid API key"),
        (Some(foreign), 401, "invalid_api_key", "Invalid API key"),
        (Some(text(&replaced)), 401, "invalid_api_key", "Invalid API key"),
        (Some(text(&rotated)), 401, "rotated_api_key", "API key rotated"),
        (Some(text(&expired)), 401, "expired_api_key", "API key expired"),
        (Some(text(&idle)), 401, "idle_api_key", "API key not used for too long"),
        (Some(text(&revoked)), 401, "revoked_api_key", "API key revoked"),
        (Some(text(&disabled)), 401, "disabled_api_key", "API key disabled"),
        (Some(text(&early)), 401, "inactive_api_key", "API key not yet valid"),
        (Some(reader), 403, "insufficient_permission", lacks),
    ];
    for example in ALL {
        let port = example.start(&store);
        for (key, status, code, detail) in &table {
            // Rocket drops a header that is not UTF-8, so the guard refuses the request as one without a key.
            if example.name == "rocket" && key.as_deref().is_some_and(|key| str::from_utf8(key).is_err()) {
                let answer = key.iter().fold(Call::get("/orders"), Call::key).send(port);
                check_refusal("rocket", &answer, 401, "missing_api_key", "API key missing", None);
                continue;
            }
            let required = (*status == 403).then_some("orders:write");
            // The same whether or not the handler could read the body: the guard runs first.
            for body in [r#"{"item":"tea"}"#, "{ not json"] {
                let call = key.iter().fold(Call::post("/orders", body), Call::key);
                let who = format!("{} {code} {body}", example.name);
                check_refusal(&who, &call.send(port), *status, code, detail, required);
            }
        }
    }
}

#[test]
fn a_good_key_reaches_the_handler() {
    let store = KeyStore::temporary().unwrap();
    let alice = token(&store, "alice", &["orders:*"]);
    let admin = token(&store, "root", &["admin"]);
    let auditor = token(&store, "auditor", &["admin", "audit:read"]);
    let (one, two) = (Call::get("/orders").key(&alice), Call::get("/orders").key(&alice).key(&admin));
    let table: Vec<(Call, u16, &str)> = vec![
        (one, 200, "orders of alice\n"),
        (Call::post("/orders", r#"{"item":"tea"}"#).key(&alice), 200, "tea for alice\n"),
        (Call::get("/greet"), 200, "hello, stranger\n"),
        (Call::get("/greet").key(&alice), 200, "hello, alice\n"),
        (Call::get("/greet").key("bad"), 401, "invalid_api_key"),
        (two, 401, "invalid_api_key"),
        (Call::get("/health"), 200, "ok\n"),
        (Call::get("/health").key("bad"), 200, "ok\n"),
        // A guard around the handlers, and the attribute below it, which requires more.
        (Call::get("/admin/stats"), 401, "missing_api_key"),
        (Call::get("/admin/stats").key(&alice), 403, "insufficient_permission"),
        (Call::get("/admin/stats").key(&admin), 200, "fine\n"),
        (Call::get("/admin/audit").key(&admin), 403, "insufficient_permission"),
        (Call::get("/admin/audit").key(&auditor), 200, "read by auditor\n"),
    ];
    for example in ALL {
        let port = example.start(&store);
        for (at, (call, status, said)) in table.iter().enumerate() {
            let answer = call.send(port);
            let who = format!("{} row {at}: {answer:?}", example.name);
            assert_eq!(answer.status, *status, "{who}");
            if *status == 200 {
                assert_eq!(&answer.body, said, "{who}");
            } else {
                assert_eq!(answer.json()["code"], *said, "{who}");
            }
            // The response has cache headers where a guard ran, and nowhere else.
            let guarded = at != 6 && at != 7;
            assert_eq!(answer.all("vary").join(", ").to_lowercase(), if guarded { "x-api-key" } else { "" }, "{who}");
            if *status == 200 {
                let wanted: &[&str] = if guarded { &["private, no-cache"] } else { &[] };
                assert_eq!(answer.all("cache-control"), wanted, "{who}");
            }
        }
    }
}

/// A whole answer, but its date and what is left of the key's limit. actix-web writes the fields in any order.
fn bytes(answer: &Answer) -> String {
    let fields = answer.headers().filter(|(name, _)| *name != "date");
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (name, value.split(";r=").next().unwrap_or_default())).collect();
    fields.sort_unstable();
    format!("{} {fields:?} {}", answer.status, answer.body)
}

#[test]
fn what_is_of_another_tenant_is_answered_as_what_does_not_exist() {
    let store = KeyStore::temporary().unwrap();
    let new = || NewKey::for_owner("alice").permissions(["orders:read"]).limit(1000, TimeDelta::hours(1));
    let acme = store.tenant("acme").unwrap().create(new()).unwrap();
    let apex = store.tenant("apex").unwrap().create(new()).unwrap();
    let star = create(&store, new().permissions(["*"]));
    let less = store.tenant("acme").unwrap().create(new().permissions(["stock:read"])).unwrap();
    store.rotate(acme.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    for example in ALL {
        let port = example.start(&store);
        let ask = |path: &str, key: &CreatedKey| Call::get(path).key(key.key.expose_secret()).send(port);
        let found = ask("/tenants/acme/orders/1", &acme);
        assert_eq!((found.status, found.body.as_str()), (200, "order 1 of acme\n"), "{}", example.name);
        let unknown = ask("/tenants/acme/orders/2", &acme);
        assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"), "{}", example.name);
        assert_eq!(unknown.all("content-type"), ["application/problem+json"], "{}", example.name);
        assert_eq!(unknown.all("cache-control"), ["no-store"], "{}", example.name);
        assert_eq!(unknown.all("www-authenticate"), [""; 0], "{}", example.name);
        let of_limit = [unknown.all("ratelimit").len(), unknown.all("ratelimit-policy").len()];
        assert_eq!((of_limit, unknown.all("x-api-key-superseded").len()), ([1; 2], 1), "{}", example.name);
        for path in
            ["/tenants/apex/orders/1", "/tenants/apex/orders/2", "/tenants/nobody/orders/1", "/tenants/ACME/orders/1"]
        {
            assert_eq!(bytes(&ask(path, &acme)), bytes(&unknown), "{} {path}", example.name);
        }
        for key in [&apex, &star] {
            assert_eq!(ask("/tenants/acme/orders/1", key).code(), "not_found", "{}", example.name);
        }
        // Rocket has no check in the body: the handler checks the tenant, after the guard has checked the permission.
        let of_less = ask("/tenants/apex/orders/1", &less).code();
        let expected = if example.name == "rocket" { "insufficient_permission" } else { "not_found" };
        assert_eq!(of_less, expected, "{}", example.name);
        assert_eq!(ask("/tenants/acme/orders/1", &less).code(), "insufficient_permission", "{}", example.name);
        assert_eq!(Call::get("/tenants/acme/orders/1").send(port).code(), "missing_api_key", "{}", example.name);
    }
}

#[test]
fn a_true_preflight_passes_the_guard_around_the_handlers() {
    let store = KeyStore::temporary().unwrap();
    for example in ALL {
        let port = example.start(&store);
        // There is no handler for OPTIONS: the answer is the framework's, and not the guard's.
        let passed = Call::preflight("/admin/stats", "GET").send(port);
        assert!([200, 404, 405].contains(&passed.status), "{}: {passed:?}", example.name);
        let request = Call::get("/admin/stats").header("origin", "http://page.test").send(port);
        assert_eq!(request.status, 401, "{}: {request:?}", example.name);
    }
}

/// The store reads its clock once for each verification, so the clock counts them.
#[test]
fn nothing_is_verified_twice() {
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let clock = move || {
        // The store's own thread, of this name, reads the clock too.
        if std::thread::current().name() == Some("apikey") {
            return now();
        }
        counted.fetch_add(1, Ordering::SeqCst);
        now()
    };
    let store = KeyStore::builder().clock(clock).track_use(false).temporary().unwrap();
    let auditor = token(&store, "auditor", &["*"]);
    for example in ALL {
        let port = example.start(&store);
        let verifications = |path: &str| {
            let before = reads.load(Ordering::SeqCst);
            assert_eq!(Call::get(path).key(&auditor).send(port).status, 200, "{} {path}", example.name);
            reads.load(Ordering::SeqCst) - before
        };
        let counts = ["/health", "/orders", "/admin/stats", "/admin/audit"].map(verifications);
        assert_eq!(counts, [0, 1, 1, 1], "{}", example.name);
    }
}

#[test]
fn the_response_names_the_end_of_a_superseded_secret() {
    let store = KeyStore::builder().clock(ManualClock::new(now())).temporary().unwrap();
    let key = || create(&store, NewKey::for_owner("alice").permissions(["*"]));
    let timed = key();
    let new = store.rotate(timed.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    let until = (now() + TimeDelta::hours(1)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    for example in ALL {
        let port = example.start(&store);
        for path in ["/orders", "/admin/stats", "/admin/audit"] {
            let superseded = |created: &CreatedKey| {
                let answer = Call::get(path).key(created.key.expose_secret()).send(port);
                assert_eq!(answer.status, 200, "{} {path}", example.name);
                answer.all("x-api-key-superseded").join("|")
            };
            assert_eq!(superseded(&timed), until, "{} {path}", example.name);
            assert_eq!(superseded(&new), "", "{} {path}", example.name);
        }
    }
}

#[test]
fn header_bearer_realm_and_texts_are_the_stores() {
    let worded = |builder: KeyStoreBuilder| {
        builder.render(|error, mut refusal| {
            refusal.status = 200;
            refusal.headers = vec![("Content-Type".into(), "text/x-refusal".into()), ("bad name".into(), "x".into())];
            refusal.body = format!("<{}>", error.code());
            refusal
        })
    };
    let builder = KeyStore::builder().header("X-Acme-Key").bearer(true).realm("acme");
    let store = worded(builder).temporary().unwrap();
    let alice = token(&store, "alice", &["orders:read"]);
    let bearer = format!("Bearer {alice}");
    for example in ALL {
        let port = example.start(&store);
        let orders = || Call::get("/orders");
        let by_header = orders().header("x-acme-key", &alice);
        assert_eq!(by_header.send(port).status, 200, "{}", example.name);
        assert_eq!(orders().header("authorization", &bearer).send(port).status, 200, "{}", example.name);
        assert_eq!(by_header.clone().header("authorization", &bearer).send(port).status, 200, "{}", example.name);
        assert_eq!(by_header.header("authorization", "Bearer x").send(port).body, "<invalid_api_key>");
        for path in ["/orders", "/admin/stats"] {
            let answer = Call::get(path).key(&alice).send(port);
            assert_eq!((answer.status, answer.body.as_str()), (401, "<missing_api_key>"), "{} {path}", example.name);
            assert_eq!(answer.all("content-type"), ["text/x-refusal"], "{} {path}", example.name);
            let challenges = ["ApiKey realm=\"acme\", header=\"X-Acme-Key\"", "Bearer realm=\"acme\""];
            assert_eq!(answer.all("www-authenticate"), challenges, "{} {path}", example.name);
            assert_eq!(answer.all("vary").join(", ").to_lowercase(), "x-acme-key, authorization", "{}", example.name);
        }
    }
}

#[test]
fn a_closed_store_refuses_everything_that_is_guarded() {
    let store = KeyStore::temporary().unwrap();
    let alice = token(&store, "alice", &["*"]);
    store.close().unwrap();
    for example in ALL {
        let port = example.start(&store);
        for path in ["/orders", "/greet", "/admin/stats", "/admin/audit"] {
            let answer = Call::get(path).key(&alice).send(port);
            let detail = "API keys cannot be checked";
            check_refusal(&format!("{} {path}", example.name), &answer, 503, "unavailable", detail, None);
        }
        assert_eq!(Call::get("/health").send(port).status, 200, "{}", example.name);
    }
}
