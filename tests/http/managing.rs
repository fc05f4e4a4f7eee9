//! The routes of docs/guides/managing-keys.md, and the cap on their callers.

use apikey::{CreatedKey, KeyFilter, KeyUpdate, NewKey, Overlap, Page};
use apikey_testkit::Call;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use chrono::TimeDelta;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::app::Service;
use crate::wire::Send as _;

/// The code of the page, word for word.
mod guide {
    include!("managing_routes.rs");

    pub(super) fn app(store: KeyStore) -> Router {
        router(store)
    }
}

#[test]
fn the_routes_are_those_of_the_guide() {
    assert!(include_str!("../../docs/guides/managing-keys.md").contains(include_str!("managing_routes.rs")));
}

struct Managed {
    service: Service,
    app: Router,
}

impl Managed {
    fn new() -> Self {
        let service = Service::new();
        let app = guide::app(service.store.clone());
        Self { service, app }
    }

    fn key(&self, owner: &str, grants: &[&str]) -> CreatedKey {
        self.service.create(NewKey::for_owner(owner).permissions(grants))
    }

    /// The status and the body of the answer over a socket.
    async fn send(&self, call: Call, key: Option<&CreatedKey>) -> (u16, String) {
        let call = match key {
            Some(key) => call.key(key.key.expose_secret()),
            None => call,
        };
        let answer = call.send_wired(self.app.clone()).await;
        (answer.status, answer.body)
    }
}

/// A key that passes every guard of the routes; `keys:*` has `keys:any_owner`, too.
const MANAGER: [&str; 5] = ["orders:read", "keys:create", "keys:update", "keys:rotate", "keys:revoke"];

fn create(owner: &str) -> Call {
    Call::post("/keys", json!({ "owner": owner, "permissions": ["orders:read"] }).to_string())
}

/// The token in the answer to a request that makes one.
fn token(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["key"].as_str().unwrap().to_owned()
}

fn code_of(body: &str) -> String {
    serde_json::from_str::<Value>(body).unwrap()["code"].as_str().unwrap().to_owned()
}

fn rotate(of: &CreatedKey) -> Call {
    Call::post(format!("/keys/{}/rotate", of.info.id()), "")
}

fn revoke(of: &CreatedKey) -> Call {
    Call::delete(format!("/keys/{}", of.info.id()))
}

#[tokio::test]
async fn a_caller_that_may_manage_keys_does_not_become_another_owner() {
    let managed = Managed::new();
    let victim = managed.key("victim", &["orders:read"]);
    let evil = managed.key("evil", &MANAGER);
    let unable = managed.key("evil", &["orders:read"]);
    let of_another_store = Managed::new().key("evil", &["orders:read"]);
    for call in [|key: &CreatedKey| rotate(key), revoke] {
        assert_eq!(managed.send(call(&victim), None).await.0, 401);
        assert_eq!(managed.send(call(&victim), Some(&unable)).await.0, 403);
        let (status, body) = managed.send(call(&victim), Some(&evil)).await;
        assert_eq!((status, code_of(&body).as_str()), (404, "not_found"), "{body}");
        // Word for word as for an id that no key has.
        let (_, unknown) = managed.send(call(&of_another_store), Some(&evil)).await;
        assert_eq!(body, unknown.replace(&of_another_store.info.id().to_string(), &victim.info.id().to_string()));
    }
    assert_eq!(managed.send(create("victim"), Some(&evil)).await.0, 403);
    let listed = managed.send(Call::get("/keys"), Some(&evil)).await;
    let page: Page = serde_json::from_str(&listed.1).unwrap();
    assert_eq!((listed.0, page.keys.len()), (200, 2));
    assert!(!listed.1.contains(&victim.info.id().to_string()), "{}", listed.1);

    let unchanged = managed.service.store.list(&KeyFilter::owner("victim")).unwrap().keys;
    assert_eq!(unchanged, std::slice::from_ref(&victim.info));
    assert!(managed.service.store.verify(victim.key.expose_secret()).is_ok());

    // It may manage its own keys, and the key of the README's administrator those of others.
    let (status, body) = managed.send(rotate(&unable), Some(&evil)).await;
    assert_eq!((status, managed.service.store.verify(&token(&body)).unwrap().owner()), (200, "evil"));
    let admin = managed.key("alice", &["orders:*", "keys:*"]);
    assert_eq!(managed.send(create("victim"), Some(&admin)).await.0, 201);
    assert_eq!(managed.send(revoke(&victim), Some(&admin)).await.0, 200);
    assert_eq!(managed.send(revoke(&victim), Some(&admin)).await.0, 200);
}

#[tokio::test]
async fn no_route_creates_a_key_that_outlives_or_exceeds_its_creator() {
    let managed = Managed::new();
    let evil = managed.service.create(NewKey::for_owner("evil").permissions(MANAGER).expires_in(TimeDelta::hours(1)));
    let (status, body) = managed.send(create("evil"), Some(&evil)).await;
    assert_eq!(status, 201, "{body}");
    let made = managed.service.store.verify(&token(&body)).unwrap().id();
    let made = managed.service.store.get(made).unwrap().unwrap();
    assert_eq!(made.expires_at(), evil.info.expires_at());
    let stronger = managed.key("evil", &["orders:*"]);
    let longer = managed.key("evil", &["orders:read"]);
    assert_eq!(managed.send(rotate(&stronger), Some(&evil)).await.0, 403);
    assert_eq!(managed.send(rotate(&longer), Some(&evil)).await.0, 403);
    // A superseded secret gets no successor.
    let new = managed.service.store.rotate(evil.info.id(), Overlap::For(TimeDelta::minutes(30))).unwrap();
    assert_eq!(managed.send(rotate(&evil), Some(&evil)).await.0, 409);
    assert!(managed.service.store.verify(new.key.expose_secret()).is_ok());
    // The store checks the caller as it is at the change.
    managed.service.store.update(evil.info.id(), KeyUpdate::new().permissions(["keys:create"])).unwrap();
    assert_eq!(managed.send(create("evil"), Some(&evil)).await.0, 403);
}

/// The routes of the page answer as docs/reference/keys-as-json.md says, with nothing added.
#[tokio::test]
async fn what_a_caller_gets_wrong_is_answered_as_documented() {
    let managed = Managed::new();
    let admin = managed.key("alice", &["*"]);
    for (call, status, code) in [
        (Call::post("/keys", "owner=alice"), 400, "invalid_json"),
        (Call::post("/keys", r#"{"owner":"alice","colour":"blue"}"#), 422, "invalid_field"),
        (Call::post("/keys", r#"{"owner":7}"#), 422, "invalid_field"),
        (Call::patch("/keys/17", "{}"), 404, "not_found"),
        (Call::patch(format!("/keys/{}", admin.info.id()), "{"), 400, "invalid_json"),
        (Call::post("/keys/17/rotate", ""), 404, "not_found"),
        (Call::delete("/keys/17"), 404, "not_found"),
    ] {
        let answer = call.key(admin.key.expose_secret()).send_wired(managed.app.clone()).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.body);
        assert_eq!(answer.all("content-type"), ["application/problem+json"], "{}", answer.body);
    }
}

/// The body is not even read as text, so it is sent straight into the router.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_answered_as_documented() {
    let managed = Managed::new();
    let admin = managed.key("alice", &["*"]);
    let broken = futures_util::stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("/var/lib/acme: gone"))]);
    for (body, status, code) in [
        (Body::from("a".repeat(2 * 1024 * 1024 + 1)), 413, "body_too_large"),
        (Body::from(&b"{\"owner\":\"\xff\"}"[..]), 400, "invalid_json"),
        (Body::from_stream(broken), 400, "unreadable_body"),
    ] {
        let request = Request::post("/keys").header("x-api-key", admin.key.expose_secret());
        let response = managed.app.clone().oneshot(request.body(body).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let text = to_bytes(response.into_body(), 1 << 16).await.unwrap();
        let problem: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((&problem["status"], &problem["code"]), (&json!(status), &json!(code)));
        assert!(!problem.to_string().contains("acme"), "{problem}");
    }
}

fn update(of: &CreatedKey, change: &Value) -> Call {
    Call::patch(format!("/keys/{}", of.info.id()), change.to_string())
}

#[tokio::test]
async fn a_field_that_is_not_allowed_is_named() {
    let managed = Managed::new();
    let admin = managed.key("alice", &["*"]);
    let body = json!({ "owner": "bob", "permissions": ["orders:read", "Orders"] });
    let (status, body) = managed.send(Call::post("/keys", body.to_string()), Some(&admin)).await;
    let problem: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &problem["code"]), (422, &"invalid_field".into()));
    assert_eq!(problem["errors"][0]["pointer"], "#/permissions/1");
    // A body names nothing that only the service may say.
    for field in ["within", "idempotency_key", "imported", "allow_weak", "key", "digest", "id"] {
        let body = json!({ "owner": "alice", field: "x" }).to_string();
        let (status, text) = managed.send(Call::post("/keys", body), Some(&admin)).await;
        assert!(status == 422 && text.contains(&format!("unknown field `{field}`")), "{status} {text}");
    }
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name_and_null_clears() {
    let managed = Managed::new();
    let admin = managed.key("alice", &["*"]);
    let key = managed.service.create(
        NewKey::for_owner("bob").name("ci").permissions(["orders:read"]).metadata("team", "blue").metadata("a", "b"),
    );
    let change = json!({ "name": null, "metadata": { "team": null }, "disabled": true });
    let (status, body) = managed.send(update(&key, &change), Some(&admin)).await;
    let info: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &info["name"], &info["metadata"]), (200, &Value::Null, &json!({ "a": "b" })));
    assert_eq!((&info["permissions"], &info["state"]), (&json!(["orders:read"]), &"disabled".into()));
    for (change, status) in [
        (json!({}), 200),
        (json!({ "disabled": null }), 422),
        (json!({ "owner": "eve" }), 422),
        (json!({ "disabled": false, "permissions": null, "metadata": null }), 200),
    ] {
        let (answered, body) = managed.send(update(&key, &change), Some(&admin)).await;
        assert_eq!(answered, status, "{change} {body}");
    }
    let after = managed.service.store.get(key.info.id()).unwrap().unwrap();
    assert!(!after.disabled() && after.permissions().is_empty() && after.metadata().is_empty(), "{after:?}");
}

#[tokio::test]
async fn the_query_string_is_a_filter() {
    let managed = Managed::new();
    let alice = managed.key("alice", &["orders:read"]);
    let named = managed.service.create(NewKey::for_owner("alice").name("Nightly"));
    managed.service.store.revoke(named.info.id(), "test").unwrap();
    let list = async |query: &str| managed.send(Call::get(format!("/keys?{query}")), Some(&alice)).await;
    for (query, ids) in [
        ("", vec![alice.info.id(), named.info.id()]),
        ("state=active&limit=1", vec![alice.info.id()]),
        ("state=revoked&text=NIGHT", vec![named.info.id()]),
        ("permission=orders%3Aread&expiring_before=2030-01-01T00%3A00%3A00Z", vec![]),
        ("owner=bob", vec![]),
    ] {
        let (status, body) = list(query).await;
        assert_eq!(status, 200, "{query}: {body}");
        let page: Page = serde_json::from_str(&body).unwrap();
        assert_eq!(page.keys.iter().map(apikey::KeyInfo::id).collect::<Vec<_>>(), ids, "{query}");
    }
    let (status, body) = list("limit=0").await;
    assert!(status == 422 && body.contains("#/limit"), "{status} {body}");
    // One key, and no key of another owner.
    let show = async |id: apikey::KeyId| managed.send(Call::get(format!("/keys/{id}")), Some(&alice)).await;
    let (status, body) = show(named.info.id()).await;
    assert!(status == 200 && body.contains("Nightly"), "{status} {body}");
    let foreign = managed.key("bob", &["orders:read"]).info.id();
    assert_eq!(show(foreign).await.0, 404);
    for query in ["state=good", "limit=x", "colour=blue", "limit=1&limit=2"] {
        let (status, body) = list(query).await;
        assert!(status == 422 && body.contains("invalid_field"), "{query}: {status} {body}");
    }
}
