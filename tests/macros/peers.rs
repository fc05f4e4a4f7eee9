//! Complaints of users of similar libraries, a test for each, named after what must not happen.
//!
//! Other tests: the injected parameter breaks OpenAPI macros (`tests/frameworks`, documents), errors point at the
//! attribute (`tests/ui`), completion fails in an incomplete body (`apikey-macros`, unparsable bodies), clippy complains
//! about generated code (`tests/macros/strict.rs`), the order of attributes matters (`tests/ui/routes`).

use apikey::{KeyStore, Rejection, VerifiedKey, require_api_key};
use axum::Json;
use axum::extract::Path;
use axum::response::IntoResponse;
use axum::routing::{get as on_get, post as on_post};
use http::{Request, StatusCode};

use crate::support::{Keys, answer, get, owned, respond, serve};

/// protect-endpoints 138, actix-web 1067.
#[tokio::test]
async fn another_extractor_does_not_answer_before_the_guard() {
    #[require_api_key(perm = "orders:write")]
    async fn place(Json(_): Json<Vec<u8>>) {}

    let keys = Keys::granting(&["orders:read"]);
    let router = serve(&keys, on_post(place));
    let broken = Request::post("/").header("X-API-Key", &keys.key).header("content-type", "application/json");
    assert_eq!(answer(&router, broken.body("{ not json".into()).unwrap()).await.0, StatusCode::FORBIDDEN);
}

/// protect-endpoints 95 and 8, Rocket 596, 1232 and 1145, actix-extras 156.
#[tokio::test]
async fn the_library_does_not_dictate_the_text_of_a_refusal() {
    #[require_api_key]
    async fn handler() {}

    #[require_api_key(request = token, store = store, on_reject = |rejection| rejection.error().code().to_owned())]
    fn function(store: &KeyStore, token: &str) -> String {
        owned("ran")
    }

    let store = KeyStore::builder().render(|error, mut refusal| {
        refusal.body = format!("our words: {error}");
        refusal
    });
    let keys = Keys::in_store(store.temporary().unwrap(), &[]);
    assert_eq!(get(&serve(&keys, on_get(handler)), "/", None).await.1, "our words: API key missing");
    assert_eq!(function(&keys.store, "bad"), "invalid_api_key");
}

/// axum-login 289, poem 777 and 870.
#[tokio::test]
async fn a_caller_without_a_key_does_not_get_a_403() {
    #[require_api_key(perm = "orders:write")]
    async fn handler() {}

    let keys = Keys::granting(&["orders:read"]);
    let router = serve(&keys, on_get(handler));
    for (key, status, challenged) in [
        (None, StatusCode::UNAUTHORIZED, true),
        (Some("bad"), StatusCode::UNAUTHORIZED, true),
        (Some(keys.key.as_str()), StatusCode::FORBIDDEN, false),
    ] {
        let response = respond(&router, "/", key).await;
        assert_eq!(response.status(), status);
        assert_eq!(response.headers().contains_key("www-authenticate"), challenged);
    }
}

/// protect-endpoints 78.
#[test]
fn a_function_need_not_be_async() {
    #[require_api_key(perm = "orders:read", request = token, store = store)]
    fn sync(store: &KeyStore, token: Option<&str>) -> Result<u8, Rejection> {
        Ok(1)
    }

    let keys = Keys::granting(&["orders:read"]);
    assert_eq!(sync(&keys.store, Some(&keys.key)).unwrap(), 1);
    assert_eq!(sync(&keys.store, None).unwrap_err().status(), 401);
}

/// protect-endpoints 67 and 41.
#[tokio::test]
async fn one_of_several_is_not_mistaken_for_all_of_them() {
    #[require_api_key(any("a:a", "b:b"))]
    async fn one() {}
    #[require_api_key(all("a:a", "b:b"))]
    async fn every() {}

    let keys = Keys::granting(&["a:a"]);
    assert_eq!(get(&serve(&keys, on_get(one)), "/", Some(&keys.key)).await.0, StatusCode::OK);
    assert_eq!(get(&serve(&keys, on_get(every)), "/", Some(&keys.key)).await.0, StatusCode::FORBIDDEN);
}

/// tracing 1227 and 1053.
#[tokio::test]
async fn return_types_and_inference_do_not_break() {
    #[require_api_key]
    async fn hidden() -> Result<impl IntoResponse, StatusCode> {
        let numbers = ["1", "2"].iter().map(|text| text.parse()).collect::<Result<Vec<u8>, _>>();
        Ok(numbers.map_err(|_| StatusCode::BAD_REQUEST)?.len().to_string())
    }

    #[require_api_key(request = token, store = store)]
    fn in_body(store: &KeyStore, token: &str) -> Result<impl Iterator<Item = u8>, Rejection> {
        Ok([1, 2].into_iter())
    }

    let keys = Keys::granting(&[]);
    assert_eq!(get(&serve(&keys, on_get(hidden)), "/", Some(&keys.key)).await, (StatusCode::OK, owned("2")));
    assert_eq!(in_body(&keys.store, &keys.key).unwrap().sum::<u8>(), 3);
}

/// axum 1913, 1629 and 2317.
#[tokio::test]
async fn the_order_of_parameters_does_not_matter_to_the_guard() {
    #[require_api_key]
    #[axum::debug_handler]
    async fn last(Path(n): Path<u8>, key: VerifiedKey) -> String {
        format!("{} {n}", key.owner())
    }
    #[require_api_key]
    async fn before_the_body(key: VerifiedKey, body: String) -> String {
        format!("{} {body}", key.owner())
    }

    let keys = Keys::granting(&[]);
    let router = axum::Router::new()
        .route("/{n}", on_get(last).post(before_the_body))
        .layer(apikey::ApiKeyLayer::supply(keys.store.clone()));
    assert_eq!(get(&router, "/7", Some(&keys.key)).await.1, "alice 7");
    let post = Request::post("/7").header("X-API-Key", &keys.key).body("text".into()).unwrap();
    assert_eq!(answer(&router, post).await.1, "alice text");
}

/// tower-http's deprecated `RequireAuthorization`: "too basic to be useful in real applications".
#[tokio::test]
async fn a_revoked_key_does_not_pass() {
    #[require_api_key]
    async fn handler() {}

    let keys = Keys::granting(&[]);
    let router = serve(&keys, on_get(handler));
    assert_eq!(get(&router, "/", Some(&keys.key)).await.0, StatusCode::OK);
    let id = keys.store.verify(&keys.key).unwrap().id();
    keys.store.revoke(id, "leaked").unwrap();
    let refused = get(&router, "/", Some(&keys.key)).await;
    assert_eq!(refused.0, StatusCode::UNAUTHORIZED);
    assert!(refused.1.contains("revoked_api_key"), "{}", refused.1);
}
