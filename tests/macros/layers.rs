//! The layers: which requests pass, and what they add to responses.

use std::convert::Infallible;

use apikey::{ApiKeyLayer, KeyStore, NewKey, Overlap, Requirement, VerifiedKey, require_api_key};
use axum::body::Body;
use axum::routing::{any as on_any, get as on_get};
use axum::{Extension, Router};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use tower::{Layer, Service, ServiceExt, service_fn};

use crate::support::{Keys, answer, get, owned, respond};

#[require_api_key(perm = "orders:read")]
async fn guarded(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

async fn open() -> &'static str {
    "open"
}

fn supplied(keys: &Keys) -> Router {
    Router::new()
        .route("/guarded", on_get(guarded))
        .route("/open", on_get(open))
        .route("/cached", on_get(cached))
        .layer(ApiKeyLayer::supply(keys.store.clone()))
}

#[require_api_key]
async fn cached() -> ([(header::HeaderName, &'static str); 2], &'static str) {
    ([(header::CACHE_CONTROL, "max-age=60"), (header::VARY, "Accept, x-api-key")], "cached")
}

fn vary(headers: &HeaderMap) -> Vec<&HeaderValue> {
    headers.get_all(header::VARY).iter().collect()
}

#[tokio::test]
async fn supply_requires_nothing_and_marks_only_where_a_guard_ran() {
    let keys = Keys::granting(&["orders:read"]);
    let router = supplied(&keys);
    let open = respond(&router, "/open", None).await;
    assert_eq!(open.status(), StatusCode::OK);
    assert!(!open.headers().contains_key(header::VARY));
    assert!(!open.headers().contains_key(header::CACHE_CONTROL));

    let passed = respond(&router, "/guarded", Some(&keys.key)).await;
    assert_eq!(passed.status(), StatusCode::OK);
    assert_eq!(vary(passed.headers()), ["X-API-Key"]);
    assert_eq!(passed.headers()[header::CACHE_CONTROL], "private, no-cache");
    assert!(!passed.headers().contains_key("x-api-key-superseded"));

    let refused = respond(&router, "/guarded", None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(vary(refused.headers()), ["X-API-Key"]);
    assert_eq!(refused.headers()[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn the_cache_headers_of_the_application_stay() {
    let keys = Keys::granting(&[]);
    let response = respond(&supplied(&keys), "/cached", Some(&keys.key)).await;
    assert_eq!(response.headers()[header::CACHE_CONTROL], "max-age=60");
    assert_eq!(vary(response.headers()), ["Accept, x-api-key"]);
}

#[tokio::test]
async fn a_guard_in_a_body_is_noticed_too() {
    #[require_api_key(request = request)]
    async fn in_the_body(request: Request<Body>) -> Response<Body> {
        Response::new(Body::from("in"))
    }
    let keys = Keys::granting(&[]);
    let router = Router::new().route("/", on_get(in_the_body)).layer(ApiKeyLayer::supply(keys.store.clone()));
    for (key, status) in [(Some(keys.key.as_str()), 200), (None, 401)] {
        let response = respond(&router, "/", key).await;
        assert_eq!(response.status(), status);
        assert_eq!(vary(response.headers()), ["X-API-Key"]);
        assert!(response.headers().contains_key(header::CACHE_CONTROL));
    }
}

#[tokio::test]
async fn a_response_marks_a_superseded_secret() {
    let keys = Keys::granting(&["orders:read"]);
    let until_used = keys.store.create(NewKey::for_owner("bob").permissions(["orders:read"])).unwrap();
    keys.store.rotate(until_used.info.id(), Overlap::UntilFirstUse).unwrap();
    let id = keys.store.verify(&keys.key).unwrap().id();
    let successor = keys.store.rotate(id, Overlap::For(chrono::TimeDelta::hours(24))).unwrap();
    let guarded = Router::new()
        .route("/guarded", on_get(open))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()));
    for router in [supplied(&keys), guarded] {
        let superseded =
            |headers: &HeaderMap| headers.get("x-api-key-superseded").map(|v| v.to_str().unwrap().to_owned());
        let old = respond(&router, "/guarded", Some(&keys.key)).await;
        assert_eq!(old.status(), StatusCode::OK);
        let date = superseded(old.headers()).unwrap();
        assert!(chrono::DateTime::parse_from_rfc2822(&date).is_ok() && date.ends_with(" GMT"), "{date}");
        let waiting = respond(&router, "/guarded", Some(until_used.key.expose_secret())).await;
        assert_eq!(waiting.status(), StatusCode::OK);
        assert_eq!(superseded(waiting.headers()).as_deref(), Some("?1"));
        let new = respond(&router, "/guarded", Some(successor.key.expose_secret())).await;
        assert_eq!(new.status(), StatusCode::OK);
        assert_eq!(superseded(new.headers()), None);
    }
}

fn required(keys: &Keys) -> Router {
    let requirement = crate::axum_handlers::Perm::Read;
    Router::new()
        .route("/who", on_get(|Extension(key): Extension<VerifiedKey>| async move { key.owner().to_owned() }))
        .route("/any", on_any(open))
        .layer(ApiKeyLayer::require(keys.store.clone(), requirement))
}

#[tokio::test]
async fn require_guards_every_route() {
    let keys = Keys::granting(&["orders:read"]);
    let bare = keys.another("bob", &[]);
    let router = required(&keys);
    assert_eq!(get(&router, "/who", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
    let refused = respond(&router, "/who", None).await;
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    assert!(refused.headers().contains_key(header::WWW_AUTHENTICATE));
    assert_eq!(vary(refused.headers()), ["X-API-Key"]);
    assert_eq!(refused.headers()[header::CACHE_CONTROL], "no-store");
    assert_eq!(get(&router, "/who", Some(&bare)).await.0, StatusCode::FORBIDDEN);
    // An unknown caller does not learn whether a path exists.
    assert_eq!(get(&router, "/nowhere", None).await.0, StatusCode::UNAUTHORIZED);
    let passed = respond(&router, "/any", Some(&keys.key)).await;
    assert_eq!(vary(passed.headers()), ["X-API-Key"]);
    assert_eq!(passed.headers()[header::CACHE_CONTROL], "private, no-cache");
}

#[tokio::test]
async fn a_route_layer_leaves_unknown_paths_alone() {
    let keys = Keys::granting(&[]);
    let router = Router::new()
        .route("/in", on_get(open))
        .route_layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()));
    assert_eq!(get(&router, "/in", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&router, "/in", Some(&keys.key)).await.0, StatusCode::OK);
    assert_eq!(get(&router, "/nowhere", None).await.0, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn only_a_true_preflight_passes() {
    let keys = Keys::granting(&["orders:read"]);
    let options = |headers: &[&'static str]| {
        let mut request = Request::options("/any");
        for name in headers {
            request = request.header(*name, "x");
        }
        request.body(Body::empty()).unwrap()
    };
    let router = required(&keys);
    let preflight = ["Origin", "Access-Control-Request-Method"];
    assert_eq!(answer(&router, options(&preflight)).await.0, StatusCode::OK);
    assert_eq!(answer(&router, options(&["Origin"])).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(&router, options(&["Access-Control-Request-Method"])).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(&router, options(&[])).await.0, StatusCode::UNAUTHORIZED);
    let mut get = options(&preflight);
    *get.method_mut() = Method::GET;
    assert_eq!(answer(&router, get).await.0, StatusCode::UNAUTHORIZED);

    let closed = Router::new()
        .route("/any", on_any(open))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()).preflight(false));
    assert_eq!(answer(&closed, options(&preflight)).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_preflight_does_not_pass_the_guard_of_a_handler() {
    let keys = Keys::granting(&["orders:read"]);
    let router = Router::new()
        .route("/any", on_any(guarded))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()));
    let request = Request::options("/any").header("Origin", "x").header("Access-Control-Request-Method", "GET");
    assert_eq!(answer(&router, request.body(Body::empty()).unwrap()).await.0, StatusCode::UNAUTHORIZED);
}

/// Removes the header, so that only the key that the layer verified is left.
async fn without_header(mut request: Request<Body>, next: axum::middleware::Next) -> Response<Body> {
    request.headers_mut().remove("x-api-key");
    next.run(request).await
}

#[tokio::test]
async fn a_guard_uses_the_key_that_a_layer_of_its_store_verified() {
    let keys = Keys::granting(&["orders:read"]);
    let stock = keys.another("bob", &["stock:read"]);
    let router = Router::new()
        .route("/", on_get(guarded))
        .layer(axum::middleware::from_fn(without_header))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()));
    assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
    assert_eq!(get(&router, "/", Some(&stock)).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_layer_uses_the_key_that_an_outer_layer_verified() {
    let keys = Keys::granting(&["orders:read"]);
    let router = Router::new()
        .route("/", on_get(open))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::permission("orders:read").unwrap()))
        .layer(axum::middleware::from_fn(without_header))
        .layer(ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()));
    assert_eq!(get(&router, "/", Some(&keys.key)).await.0, StatusCode::OK);
    let stock = keys.another("bob", &["stock:read"]);
    assert_eq!(get(&router, "/", Some(&stock)).await.0, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn the_key_of_another_store_proves_nothing() {
    let outer = Keys::granting(&["orders:read"]);
    let inner = Keys::granting(&["orders:read"]);
    let router = Router::new()
        .route("/", on_get(guarded))
        .layer(ApiKeyLayer::supply(inner.store.clone()))
        .layer(ApiKeyLayer::require(outer.store.clone(), Requirement::authenticated()));
    // The inner guard reads the header again, and its store does not know this key.
    assert_eq!(get(&router, "/", Some(&outer.key)).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&router, "/", Some(&inner.key)).await.0, StatusCode::UNAUTHORIZED);
    // With a header of its own, each store reads its own header.
    let store = KeyStore::builder().header("X-Shop-Key").temporary().unwrap();
    let shop = Keys::in_store(store, &["orders:read"]);
    let router = Router::new()
        .route("/", on_get(guarded))
        .layer(ApiKeyLayer::supply(shop.store.clone()))
        .layer(ApiKeyLayer::require(outer.store.clone(), Requirement::authenticated()));
    let both = Request::get("/").header("X-API-Key", &outer.key).header("X-Shop-Key", &shop.key);
    let response = router.clone().oneshot(both.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(vary(response.headers()), ["X-Shop-Key", "X-API-Key"]);
}

#[tokio::test]
async fn a_plain_service_is_guarded_too() {
    async fn hello(request: Request<u8>) -> Result<Response<Full<&'static [u8]>>, Infallible> {
        assert!(request.extensions().get::<KeyStore>().is_some());
        Ok(Response::new(Full::new(b"hello")))
    }
    let keys = Keys::granting(&[]);
    // The layer does not change the body of the response.
    let mut supplied = ApiKeyLayer::supply(keys.store.clone()).layer(service_fn(hello));
    let Ok(response) = supplied.ready().await.unwrap().call(Request::new(1)).await;
    assert_eq!(response.status(), StatusCode::OK);

    async fn text(_: Request<()>) -> Result<Response<String>, Infallible> {
        Ok(Response::new("hello".to_owned()))
    }
    let required = ApiKeyLayer::require(keys.store.clone(), Requirement::authenticated()).layer(service_fn(text));
    let Ok(response) = required.clone().oneshot(keys.request()).await;
    assert_eq!(response.body(), "hello");
    let Ok(response) = required.oneshot(Request::new(())).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(response.body().contains("missing_api_key"));
}
