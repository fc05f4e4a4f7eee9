//! The response to a refused caller, as the store's author has configured it.

use apikey::{AuthError, FromRejection, KeyStore, Rejection};
use axum::body::Body;
use axum::routing::get as on_get;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::support::{Keys, get, respond, serve};

#[apikey::require_api_key(perm = "orders:read")]
async fn read() -> &'static str {
    "read"
}

#[tokio::test]
async fn a_refusal_is_a_problem_with_a_challenge() {
    let keys = Keys::granting(&["orders:read"]);
    let response = respond(&serve(&keys, on_get(read)), "/", None).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    assert_eq!(response.headers()["www-authenticate"], "ApiKey realm=\"api\", header=\"X-API-Key\"");
    assert_eq!(response.headers()["cache-control"], "no-store");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "urn:apikey:problem:missing_api_key");
    assert_eq!(problem["status"], 401);
    assert_eq!(problem["detail"], "API key missing");
}

#[tokio::test]
async fn the_store_names_its_header_and_realm() {
    let store = KeyStore::builder().header("X-Shop-Key").bearer(true).realm("shop").temporary().unwrap();
    let keys = Keys::in_store(store, &["orders:read"]);
    let router = serve(&keys, on_get(read));
    let send = |name: &'static str, value: String| {
        router.clone().oneshot(Request::get("/").header(name, value).body(Body::empty()).unwrap())
    };
    assert_eq!(send("X-Shop-Key", keys.key.clone()).await.unwrap().status(), StatusCode::OK);
    assert_eq!(send("Authorization", format!("Bearer {}", keys.key)).await.unwrap().status(), StatusCode::OK);
    let refused = send("X-API-Key", keys.key.clone()).await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);
    let challenges: Vec<_> = refused.headers().get_all("www-authenticate").iter().collect();
    assert_eq!(challenges, ["ApiKey realm=\"shop\", header=\"X-Shop-Key\"", "Bearer realm=\"shop\""]);
    let vary: Vec<_> = refused.headers().get_all("vary").iter().collect();
    assert_eq!(vary, ["X-Shop-Key", "Authorization"]);
}

#[tokio::test]
async fn one_renderer_writes_every_refusal() {
    let store = KeyStore::builder().render(|error, mut refusal| {
        refusal.body = format!("<{}>", error.code());
        refusal.headers = vec![("Content-Type".into(), "text/html".into()), ("bad name".into(), "x".into())];
        refusal
    });
    let keys = Keys::in_store(store.temporary().unwrap(), &[]);
    let router = serve(&keys, on_get(read));
    assert_eq!(get(&router, "/", Some(&keys.key)).await.1, "<insufficient_permission>");
    let response = respond(&router, "/", None).await;
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.headers()["content-type"], "text/html");
    assert!(response.headers().contains_key("www-authenticate"));
}

#[test]
fn a_rejection_is_an_error_with_its_source() {
    let rejection = Rejection::from(AuthError::Expired);
    let error: &dyn std::error::Error = &rejection;
    assert_eq!(error.to_string(), "API key expired");
    assert_eq!(error.source().unwrap().downcast_ref::<AuthError>(), Some(&AuthError::Expired));
    assert_eq!(rejection.refusal().status, 401);
    assert_eq!(Response::<String>::from_rejection(rejection.clone()).body(), &rejection.into_refusal().body);
}
