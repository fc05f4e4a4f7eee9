//! The service at work, and callers who try to leave their tenant.

use std::collections::BTreeMap;

use apikey::test_util::TestKeys;
use apikey::{Conflict, ImportScheme, Imported, KeyStore, NewKey, Overlap, Role, StoreError, VerifiedKey};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::Router;

struct Service {
    keys: TestKeys,
    app: Router,
    tokens: BTreeMap<&'static str, String>,
}

/// A whole response, but its date and what is left of a limit.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

impl Service {
    fn new() -> Self {
        let keys = TestKeys::new();
        let tokens = super::first_keys(keys.store()).unwrap().into_iter().collect();
        let app = super::app(keys.store().clone());
        Self { keys, app, tokens }
    }

    fn store(&self) -> &KeyStore {
        self.keys.store()
    }

    fn verified(&self, name: &str) -> VerifiedKey {
        self.store().verify(&self.tokens[name]).unwrap()
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.app.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().iter();
        let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        Answer { status, headers, body: String::from_utf8(body.into()).unwrap() }
    }

    /// Sends `METHOD /path` with this token.
    async fn call(&self, token: &str, line: &str, body: impl ToString) -> Answer {
        let (method, path) = line.split_once(' ').unwrap();
        let request = self.keys.request(token).method(method).uri(path);
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// The same with the token of a first key.
    async fn ask(&self, name: &str, line: &str, body: impl ToString) -> Answer {
        self.call(&self.tokens[name], line, body).await
    }

    /// Creates a key as the administrator of this tenant; returns its id and token.
    async fn create(&self, tenant: &str, new: Value) -> (String, String) {
        let created = self.ask(tenant, &format!("POST /{tenant}/keys"), new).await;
        assert_eq!(created.status, 201, "{created:?}");
        let text = |name: &str| created.json()[name].as_str().unwrap().to_owned();
        (text("id"), text("key"))
    }
}

#[tokio::test]
async fn an_administrator_gives_readers_keys_and_takes_them_away() {
    let service = Service::new();
    assert!(super::first_keys(service.store()).unwrap().is_empty(), "only a new store has first keys");
    let (id, reader) = service.create("acme", json!({ "owner": "bob", "roles": ["reader"] })).await;
    assert_eq!(service.ask("acme", "POST /acme/orders", "tea").await.status, 201);
    assert_eq!(service.call(&reader, "GET /acme/orders", "").await.json(), json!(["tea"]));
    assert_eq!(service.call(&reader, "GET /acme/orders/0", "").await.body, "tea");
    assert_eq!(service.call(&reader, "POST /acme/orders", "tea").await.code(), "insufficient_permission");
    assert_eq!(service.call(&reader, "GET /acme/keys", "").await.code(), "insufficient_permission");
    assert_eq!(service.ask("apex", "GET /apex/orders", "").await.json(), json!([]));
    let listed = service.ask("acme", "GET /acme/keys?owner=bob", "").await.json();
    assert_eq!((&listed["keys"][0]["id"], &listed["keys"][0]["tenant"]), (&json!(id), &json!("acme")));
    assert_eq!(service.ask("acme", &format!("DELETE /acme/keys/{id}"), "").await.json(), json!(true));
    assert_eq!(service.call(&reader, "GET /acme/orders", "").await.code(), "revoked_api_key");
}

#[tokio::test]
async fn a_path_leads_to_no_other_tenant() {
    let service = Service::new();
    service.ask("apex", "POST /apex/orders", "a secret of apex").await;
    let (id, _) = service.create("apex", json!({ "owner": "bob" })).await;
    let unknown = service.ask("acme", "GET /acme/orders/7", "").await;
    assert_eq!((unknown.status, unknown.code().as_str()), (404, "not_found"));
    let new = json!({ "owner": "eve", "permissions": ["orders:read"] }).to_string();
    for tenant in [
        "apex",
        "zenith",
        "nobody",
        "operator",
        "none",
        "APEX",
        "Acme",
        "%61pex",
        "acme%2Fapex",
        "acme%00",
        "acme%20",
        "*",
        "acme%3A",
    ] {
        for (rest, body) in [
            ("GET orders", ""),
            ("HEAD orders", ""),
            ("GET orders/0", ""),
            ("POST orders", "x"),
            ("GET keys", ""),
            ("POST keys", &new),
        ] {
            let (method, rest) = rest.split_once(' ').unwrap();
            let answer = service.ask("acme", &format!("{method} /{tenant}/{rest}"), body).await;
            if method == "HEAD" {
                assert_eq!(answer.headers, unknown.headers, "{tenant} {rest}");
            } else {
                assert_eq!(answer, unknown, "{method} {tenant} {rest}");
            }
        }
        assert_eq!(service.ask("acme", &format!("DELETE /{tenant}/keys/{id}"), "").await, unknown, "{tenant}");
        // Ending a tenant is for keys of none, also one's own.
        assert_eq!(service.ask("acme", &format!("DELETE /{tenant}"), "").await, unknown, "{tenant}");
    }
    assert_eq!(service.ask("acme", "DELETE /acme", "").await, unknown);
    // Axum resolves no dots, and an empty segment is no tenant: no route matches.
    for path in ["/acme/../apex/orders", "/./apex/orders", "//apex/orders", "/apex//orders", "/apex/orders/"] {
        let answer = service.ask("acme", &format!("GET {path}"), "").await;
        assert_eq!(answer.status, 404, "{path} {answer:?}");
        assert!(!answer.body.contains("secret"), "{path} {answer:?}");
    }
    // Headers that some proxies believe name no tenant here, and two keys are none.
    let own = &service.tokens["acme"];
    for (name, value) in [("x-original-url", "/apex/orders"), ("x-tenant", "apex"), ("x-forwarded-prefix", "/apex")] {
        let request = service.keys.request(own).uri("/acme/orders").header(name, value);
        assert_eq!(service.send(request.body(Body::empty()).unwrap()).await.json(), json!([]), "{name}");
    }
    let (header, foreign) = service.keys.header("ak_nonsense");
    let request = service.keys.request(own).uri("/apex/orders").header(header, foreign);
    assert_eq!(service.send(request.body(Body::empty()).unwrap()).await.code(), "invalid_api_key");
    // Nothing of it had an effect on apex.
    assert_eq!(service.ask("apex", "GET /apex/orders", "").await.json(), json!(["a secret of apex"]));
    assert_eq!(service.ask("apex", "GET /apex/keys?owner=eve", "").await.json()["keys"], json!([]));
}

#[tokio::test]
async fn an_id_of_another_tenant_is_an_unknown_one() {
    let service = Service::new();
    let (foreign, token) = service.create("apex", json!({ "owner": "bob", "roles": ["reader"] })).await;
    let of_none = service.verified("operator").id().to_string();
    let unknown = "01931a4e-7c3b-7def-8123-456789abcdef".to_owned();
    let revoke = async |id: &str| {
        let answer = service.ask("acme", &format!("DELETE /acme/keys/{id}"), "").await;
        Answer { body: answer.body.replace(id, "ID"), ..answer }
    };
    let expected = revoke(&unknown).await;
    assert_eq!((expected.status, expected.code().as_str()), (404, "not_found"));
    // Under this id the store keeps the role `reader`.
    let of_role = "fffe0002-420e-0624-481c-25a651453d56".to_owned();
    for id in [&foreign, &of_none, &of_role] {
        assert_eq!(revoke(id).await, expected);
    }
    assert_eq!(service.call(&token, "GET /apex/orders", "").await.status, 200);
    // Nor does a page that starts after it show more.
    for query in [
        "tenant=apex",
        "any_tenant=true",
        "no_tenant=true",
        "owner=bob",
        "owner=operator",
        "tenant=apex&owner=admin",
        "owner=admin&any_tenant=true",
    ] {
        for after in ["", &format!("&after={foreign}"), &format!("&after={of_none}")] {
            let page = service.ask("acme", &format!("GET /acme/keys?{query}{after}"), "").await;
            for key in page.json()["keys"].as_array().unwrap_or(&vec![]) {
                assert_eq!(key["tenant"], "acme", "{query}{after}");
            }
            assert!(!page.body.contains(&foreign) && !page.body.contains(&of_none), "{query}{after} {page:?}");
        }
    }
}

#[tokio::test]
async fn keys_of_no_tenant_manage_and_read_nothing_of_a_tenant_by_its_paths() {
    let service = Service::new();
    for line in ["GET /acme/orders", "POST /acme/orders", "GET /acme/keys", "GET /acme/orders/0"] {
        assert_eq!(service.ask("operator", line, "").await.code(), "not_found", "{line}");
    }
}

#[tokio::test]
async fn a_new_key_has_no_more_than_its_administrator_and_no_other_tenant() {
    let service = Service::new();
    service.store().put_role(Role::new("all").permissions(["*"])).unwrap();
    let create = async |new: Value| service.ask("acme", "POST /acme/keys", new).await;
    for (new, code) in [
        (json!({ "owner": "eve", "permissions": ["*"] }), "exceeds_actor"),
        (json!({ "owner": "eve", "permissions": ["tenants:end"] }), "exceeds_actor"),
        (json!({ "owner": "eve", "roles": ["all"] }), "exceeds_actor"),
        (json!({ "owner": "eve", "tenant": "apex" }), "invalid_field"),
        (json!({ "owner": { "tenant": "apex", "name": "admin" } }), "invalid_field"),
        (json!({ "owner": "admin\u{1}apex" }), "invalid_field"),
        (json!({ "owner": "apex\u{0}admin" }), "invalid_field"),
    ] {
        let answer = create(new.clone()).await;
        assert_eq!(answer.code(), code, "{new} {answer:?}");
    }
    // Names of owners that look like another tenant's are names, and no more.
    for owner in ["apex/admin", "apex:admin", "../apex/admin", "admin@apex"] {
        let (_, token) = service.create("acme", json!({ "owner": owner, "permissions": ["orders:*", "keys:*"] })).await;
        let key = service.store().verify(&token).unwrap();
        assert_eq!((key.owner(), key.tenant()), (owner, Some("acme")));
        assert_eq!(service.call(&token, "GET /apex/orders", "").await.code(), "not_found");
        let page = service.call(&token, "GET /acme/keys", "").await;
        assert!(page.json()["keys"].as_array().unwrap().iter().all(|key| key["tenant"] == "acme"));
    }
    // A key that somebody gave everything in its tenant stays there, and ends no tenant.
    let star = service.store().tenant("acme").unwrap().create(NewKey::for_owner("admin").permissions(["*", "keys:*"]));
    let star = star.unwrap().key;
    for line in ["GET /apex/orders", "GET /apex/keys", "DELETE /apex", "DELETE /acme", "GET /operator/keys"] {
        assert_eq!(service.call(star.expose_secret(), line, "").await.code(), "not_found", "{line}");
    }
    // What a role of its keys grants later, it grants in the tenant.
    let (_, reader) = service.create("acme", json!({ "owner": "bob", "roles": ["reader"] })).await;
    service.store().put_role(Role::new("reader").permissions(["*", "keys:any_tenant", "keys:any_owner"])).unwrap();
    assert_eq!(service.call(&reader, "GET /acme/keys", "").await.status, 200);
    for line in ["GET /apex/orders", "GET /apex/keys", "DELETE /acme"] {
        assert_eq!(service.call(&reader, line, "").await.code(), "not_found", "{line}");
    }
}

#[tokio::test]
async fn a_superseded_secret_stays_in_its_tenant() {
    let service = Service::new();
    let id = service.verified("acme").id();
    let new = service.store().rotate(id, Overlap::For(chrono::TimeDelta::hours(1))).unwrap().key;
    for token in [&service.tokens["acme"], new.expose_secret()] {
        let unknown = service.call(token, "GET /acme/orders/7", "").await;
        assert_eq!(unknown.status, 404);
        assert_eq!(service.call(token, "GET /apex/orders/7", "").await, unknown);
        assert_eq!(service.call(token, "GET /acme/orders", "").await.status, 200);
    }
}

#[tokio::test]
async fn an_ended_tenant_ends_alone() {
    let service = Service::new();
    let (_, reader) = service.create("acme", json!({ "owner": "bob", "roles": ["reader"] })).await;
    assert_eq!(service.ask("operator", "DELETE /acme", "").await.json(), json!(true));
    assert_eq!(service.ask("operator", "DELETE /acme", "").await.json(), json!(false));
    for line in ["GET /acme/orders", "GET /apex/orders", "POST /acme/keys"] {
        assert_eq!(service.ask("acme", line, "").await.code(), "revoked_api_key", "{line}");
        assert_eq!(service.call(&reader, line, "").await.code(), "revoked_api_key", "{line}");
    }
    assert_eq!(service.ask("apex", "GET /apex/orders", "").await.status, 200);
    // To others it is as unknown as before.
    assert_eq!(service.ask("apex", "GET /acme/orders", "").await, service.ask("apex", "GET /apex/orders/7", "").await);
    let revived = service.store().tenant("acme").unwrap().create(NewKey::for_owner("admin"));
    assert_eq!(revived.unwrap_err().code(), "tenant_ended");
}

/// What the handlers of this service do not offer, by the handles that they use.
#[test]
fn handles_of_two_tenants_share_nothing() {
    let service = Service::new();
    let [acme, apex] = ["acme", "apex"].map(|name| service.store().tenant(name).unwrap());
    let [at_acme, at_apex] = ["acme", "apex"].map(|name| service.verified(name));
    // One idempotency key, one request, two keys: a repeat in acme does not replace the secret of apex.
    let new = |admin| NewKey::for_owner("admin").idempotency_key("5d1a7c0b").within(admin);
    let of_apex = apex.create(new(&at_apex)).unwrap();
    let of_acme = acme.create(new(&at_acme)).unwrap();
    assert_ne!(of_apex.info.id(), of_acme.info.id());
    assert!(service.store().verify(of_apex.key.expose_secret()).is_ok());
    // Whoever imports a secret that apex has learns that it is held, which they knew, and not by which key.
    let raw = "a-key-of-apex-that-acme-has-found-0123456789";
    let import = || NewKey::for_owner("admin").imported(Imported::raw(raw), ImportScheme::Whole);
    apex.create(import()).unwrap();
    let error = acme.create(import().within(&at_acme)).unwrap_err();
    assert!(matches!(error, StoreError::Conflict(Conflict::DigestHeld(None))), "{error}");
    // The handle of an owner is one of the owner in the key's tenant; by name alone it would be one of no tenant.
    let own = service.store().of_owner_of(&at_acme);
    assert!(own.get(at_apex.id()).unwrap().is_none() && own.get(at_acme.id()).unwrap().is_some());
    assert!(service.store().of_owner(at_acme.owner()).get(at_acme.id()).unwrap().is_none());
    // Not even the plain store lets an administrator of acme do anything elsewhere.
    let store = service.store();
    assert!(store.get_within(at_apex.id(), &at_acme).unwrap().is_none());
    assert_eq!(store.revoke_within(at_apex.id(), "mine", &at_acme).unwrap_err().status(), 404);
    assert_eq!(apex.create(NewKey::for_owner("eve").within(&at_acme)).unwrap_err().code(), "exceeds_actor");
    for name in ["acme", "apex"] {
        assert_eq!(store.end_tenant_within(name, "mine", &at_acme).unwrap_err().code(), "exceeds_actor", "{name}");
    }
    let role = Role::new("reader").permissions(["orders:*"]);
    let error = store.put_role_within(role, &at_acme).unwrap_err();
    assert_eq!(error.code(), "exceeds_actor", "a role is the whole store's: {error}");
}
