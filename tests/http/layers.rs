//! The two layers: what they add, which requests pass, and which verified key they accept.

use apikey::{ApiKeyLayer, KeyStore, NewKey, Overlap, Requirement};
use apikey_testkit::{Answer, Call};
use chrono::TimeDelta;

use crate::app::{Service, now, routes};
use crate::wire::Send as _;

#[tokio::test]
async fn a_true_preflight_passes_and_a_bare_options_does_not() {
    let service = Service::new();
    let needed = Requirement::authenticated();
    let open = routes().layer(ApiKeyLayer::require(service.store.clone(), needed.clone()));
    let closed = routes().layer(ApiKeyLayer::require(service.store.clone(), needed).preflight(false));
    // An `any()` route answers OPTIONS itself.
    assert_eq!(Call::preflight("/any", "POST").send_both(&open).await.status, 200);
    assert_eq!(Call::options("/any").send_both(&open).await.status, 401);
    assert_eq!(Call::options("/any").header("origin", "http://page.test").send_both(&open).await.status, 401);
    assert_eq!(Call::preflight("/any", "POST").send_both(&closed).await.status, 401);
    // The headers of a preflight on another method open nothing.
    let disguised = Call::get("/any").header("origin", "http://page.test");
    assert_eq!(disguised.header("access-control-request-method", "GET").send_both(&open).await.status, 401);
}

#[tokio::test]
async fn a_required_key_guards_every_route_and_the_attribute_requires_more() {
    let service = Service::new();
    let reader = service.reader();
    let app =
        routes().layer(ApiKeyLayer::require(service.store.clone(), Requirement::permission("orders:read").unwrap()));
    let token = reader.key.expose_secret();
    assert_eq!(Call::get("/open").send_both(&app).await.status, 401);
    assert_eq!(Call::get("/open").key(token).send_both(&app).await.status, 200);
    assert_eq!(Call::post("/orders", "{}").key(token).send_both(&app).await.code(), "insufficient_permission");
    let nobody = service.create(NewKey::for_owner("nobody"));
    assert_eq!(Call::get("/open").key(nobody.key.expose_secret()).send_both(&app).await.status, 403);
}

#[tokio::test]
async fn a_key_verified_by_one_store_does_not_pass_in_another() {
    let (outer, inner) = (Service::new(), Service::new());
    let everything = |service: &Service| service.create(NewKey::for_owner("both").permissions(["*"]));
    let (outer_key, inner_key) = (everything(&outer), everything(&inner));
    // The layer of one store around handlers that use the other.
    let app = routes()
        .layer(ApiKeyLayer::supply(inner.store.clone()))
        .layer(ApiKeyLayer::require(outer.store.clone(), Requirement::authenticated()));
    // The outer layer accepts its own store's key; the guard inside does not know it.
    let answer = Call::get("/orders").key(outer_key.key.expose_secret()).send_both(&app).await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"));
    let answer = Call::get("/orders").key(inner_key.key.expose_secret()).send_both(&app).await;
    assert_eq!(answer.status, 401);
}

/// A key that is revoked between the layer and the guard shows how often it is verified: a second time would fail.
#[tokio::test]
async fn a_key_is_not_verified_twice() {
    let service = Service::new();
    let reader = service.reader();
    let (store, id) = (service.store.clone(), reader.info.id());
    // Revokes the key between the layer and the guard, which must use the key that the layer verified.
    let revoke = move |request: axum::extract::Request, next: axum::middleware::Next| {
        store.revoke(id, "between").unwrap();
        next.run(request)
    };
    let app = routes()
        .layer(axum::middleware::from_fn(revoke))
        .layer(ApiKeyLayer::require(service.store.clone(), Requirement::authenticated()));
    let call = Call::get("/orders").key(reader.key.expose_secret());
    assert_eq!(call.send_direct(app.clone()).await.status, 200);
    assert_eq!(call.send_direct(app).await.status, 401);
}

#[tokio::test]
async fn responses_have_cache_headers_where_a_guard_ran_and_nowhere_else() {
    let service = Service::new();
    let reader = service.reader();
    let token = reader.key.expose_secret();
    let answer = Call::get("/orders").key(token).send_both(&service.app).await;
    assert_eq!(answer.header("vary").map(str::to_lowercase).as_deref(), Some("x-api-key"));
    assert!(answer.header("cache-control").is_some_and(|value| value.contains("private")));
    // The application's own header stays.
    let answer = Call::get("/cached").key(token).send_both(&service.app).await;
    assert_eq!(answer.header("cache-control"), Some("max-age=60"));
    assert!(answer.header("vary").is_some());
    let answer = Call::get("/open").key(token).send_both(&service.app).await;
    assert_eq!((answer.header("vary"), answer.header("cache-control")), (None, None));
    // For a caller without a key a guard ran too.
    assert!(Call::get("/greet").send_both(&service.app).await.header("vary").is_some());
}

#[tokio::test]
async fn a_response_names_the_end_of_a_superseded_secret() {
    let service = Service::new();
    let old = service.reader();
    let new = service.store.rotate(old.info.id(), Overlap::For(TimeDelta::hours(1))).unwrap();
    let superseded = |answer: Answer| answer.header("x-api-key-superseded").map(str::to_owned);
    let call = |token: &str| Call::get("/orders").key(token);
    let until = (now() + TimeDelta::hours(1)).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    assert_eq!(superseded(call(old.key.expose_secret()).send_both(&service.app).await), Some(until));
    assert_eq!(superseded(call(new.key.expose_secret()).send_both(&service.app).await), None);

    let old = service.reader();
    service.store.rotate(old.info.id(), Overlap::UntilFirstUse).unwrap();
    assert_eq!(superseded(call(old.key.expose_secret()).send_both(&service.app).await).as_deref(), Some("?1"));
}

#[tokio::test]
async fn header_bearer_realm_and_body_are_options_of_the_store() {
    let store = KeyStore::builder()
        .header("X-Acme-Key")
        .bearer(true)
        .realm("acme")
        .render(|error, mut refusal| {
            refusal.status = 200;
            refusal.body = format!("{{\"code\":\"{}\"}}", error.code());
            refusal
        })
        .temporary()
        .unwrap();
    let created = store.create(NewKey::for_owner("acme").permissions(["orders:read"])).unwrap();
    let app = routes().layer(ApiKeyLayer::supply(store));
    let token = created.key.expose_secret();
    let bearer = format!("Bearer {token}");
    assert_eq!(Call::get("/orders").header("x-acme-key", token).send_both(&app).await.status, 200);
    assert_eq!(Call::get("/orders").header("authorization", &bearer).send_both(&app).await.status, 200);
    assert_eq!(
        Call::get("/orders").header("authorization", &bearer).header("x-acme-key", token).send_both(&app).await.status,
        200
    );
    let differ = Call::get("/orders").header("authorization", "Bearer other").header("x-acme-key", token);
    assert_eq!(differ.send_both(&app).await.code(), "invalid_api_key");
    // A renderer changes neither the status nor the challenge.
    let answer = Call::get("/orders").send_direct(app.clone()).await;
    assert_eq!((answer.status, answer.body.as_str()), (401, "{\"code\":\"missing_api_key\"}"));
}
