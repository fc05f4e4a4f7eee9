//! Handlers of axum: the guard runs first, and the rest of the signature is the author's.

use std::collections::HashMap;

use apikey::{AuthError, OptionalApiKey, Rejection, RequireApiKey, VerifiedKey, perm, permissions, require_api_key};
use axum::body::Body;
use axum::extract::{OriginalUri, Path, Query, RawQuery, State};
use axum::response::IntoResponse;
use axum::routing::{get as on_get, post as on_post};
use axum::{Json, Router};
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};

use crate::support::{Keys, answer, get, owned, serve};

permissions! {
    pub(crate) enum Perm {
        Read = "orders:read",
        Write = "orders:write",
    }
}

const READER: &[&str] = &["orders:read"];

#[require_api_key(perm = "orders:read")]
async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[tokio::test]
async fn a_request_needs_a_key_with_the_permission() {
    let keys = Keys::granting(&["orders:*"]);
    let stock = keys.another("bob", &["stock:read"]);
    let router = serve(&keys, on_get(list));
    assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
    assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&router, "/", Some("ak_nonsense")).await.0, StatusCode::UNAUTHORIZED);
    let (status, body) = get(&router, "/", Some(&stock)).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["code"], "insufficient_permission");
    assert_eq!(body["required"], "orders:read");
}

#[tokio::test]
async fn without_a_store_nobody_passes() {
    let keys = Keys::granting(READER);
    let router = Router::new().route("/", on_get(list));
    for key in [None, Some(keys.key.as_str())] {
        let (status, body) = get(&router, "/", key).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains("\"unavailable\""), "{body}");
    }
}

#[tokio::test]
async fn the_store_may_come_by_a_plain_extension() {
    let keys = Keys::granting(READER);
    let router = Router::new().route("/", on_get(list)).layer(axum::Extension(keys.store.clone()));
    assert_eq!(get(&router, "/", Some(&keys.key)).await.0, StatusCode::OK);
    assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn two_keys_in_one_request_are_refused() {
    let keys = Keys::granting(READER);
    let router = serve(&keys, on_get(list));
    let request = Request::get("/").header("X-API-Key", &keys.key).header("x-api-key", &keys.key);
    let (status, body) = answer(&router, request.body(Body::empty()).unwrap()).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("invalid_api_key"), "{body}");
}

/// The guard refuses an unknown caller before axum reads a body that is no JSON.
#[require_api_key(perm = "orders:write")]
async fn create(State(app): State<String>, key: VerifiedKey, Json(order): Json<u32>) -> String {
    format!("{app} {} {order}", key.owner())
}

#[tokio::test]
async fn the_guard_checks_the_key_before_path_and_body() {
    #[require_api_key(perm = "orders:write")]
    async fn one(Path(id): Path<u8>) -> String {
        id.to_string()
    }
    let keys = Keys::granting(&["orders:write"]);
    let reader = keys.another("bob", READER);
    let router = serve(&keys, on_post(create).with_state("shop".to_owned()));
    let post = |key: Option<&str>, body: &'static str| {
        let mut request = Request::post("/").header("Content-Type", "application/json");
        if let Some(key) = key {
            request = request.header("X-API-Key", key);
        }
        answer(&router, request.body(Body::from(body)).unwrap())
    };
    assert_eq!(post(None, "no json").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(post(Some(&reader), "no json").await.0, StatusCode::FORBIDDEN);
    assert_eq!(post(Some(&keys.key), "no json").await.0, StatusCode::BAD_REQUEST);
    assert_eq!(post(Some(&keys.key), "7").await, (StatusCode::OK, owned("shop alice 7")));

    let router = Router::new().route("/{id}", on_get(one)).layer(apikey::ApiKeyLayer::supply(keys.store.clone()));
    assert_eq!(get(&router, "/x", None).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(get(&router, "/x", Some(&keys.key)).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(get(&router, "/9", Some(&keys.key)).await, (StatusCode::OK, owned("9")));
}

#[tokio::test]
async fn every_form_of_requirement() {
    #[require_api_key]
    async fn any_key() -> &'static str {
        "in"
    }
    #[require_api_key()]
    async fn any_key_too() {}
    #[require_api_key(any("orders:write", all("orders:read", Perm::Write)))]
    async fn tree() {}
    #[require_api_key(all("orders:read", "stock:read",))]
    async fn both() {}
    #[require_api_key(perm = any("stock:write", "orders:read"))]
    async fn perm_any() {}
    #[require_api_key(perm = Perm::Read, catalog = Perm)]
    async fn constant() {}
    #[require_api_key(any("orders:read", "orders:write"), catalog = Perm)]
    async fn in_the_catalogue() {}
    #[require_api_key(perm = { const WHAT: Perm = Perm::Write; WHAT })]
    async fn expression() {}

    let keys = Keys::granting(READER);
    let bare = keys.another("bob", &[]);
    for (handler, reader_passes, bare_passes, required) in [
        (on_get(any_key), true, true, ""),
        (on_get(any_key_too), true, true, ""),
        (on_get(tree), false, false, "any(orders:write, all(orders:read, orders:write))"),
        (on_get(both), false, false, "all(orders:read, stock:read)"),
        (on_get(perm_any), true, false, "any(stock:write, orders:read)"),
        (on_get(constant), true, false, "orders:read"),
        (on_get(in_the_catalogue), true, false, "any(orders:read, orders:write)"),
        (on_get(expression), false, false, "orders:write"),
    ] {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
        let status = |passes| if passes { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(get(&router, "/", Some(&keys.key)).await.0, status(reader_passes), "{required}");
        let (answered, body) = get(&router, "/", Some(&bare)).await;
        assert_eq!(answered, status(bare_passes), "{required}");
        if !bare_passes {
            assert!(body.contains(&format!("\"required\":\"{required}\"")), "{body}");
        }
    }
}

#[tokio::test]
async fn every_form_of_key_parameter() {
    #[require_api_key(key = who)]
    async fn named() -> String {
        who.owner().to_owned()
    }
    #[require_api_key]
    async fn last(_: Method, _: Uri, key: apikey::VerifiedKey) -> String {
        key.owner().to_owned()
    }
    #[require_api_key]
    async fn changed(#[allow(unused_mut, reason = "the attribute goes with the name")] mut key: VerifiedKey) -> String {
        key = key.clone();
        key.owner().to_owned()
    }
    #[require_api_key]
    async fn ignored(_: VerifiedKey) -> &'static str {
        "alice"
    }
    #[require_api_key]
    async fn configured(#[cfg(any())] key: VerifiedKey, #[cfg(not(any()))] method: Method) -> &'static str {
        if method == Method::GET { "alice" } else { "" }
    }
    async fn extracted(key: RequireApiKey<perm!("orders:read")>) -> String {
        let again: &VerifiedKey = &key;
        assert_eq!(again.id(), key.key().id());
        VerifiedKey::from(key).owner().to_owned()
    }
    let keys = Keys::granting(READER);
    for handler in
        [on_get(named), on_get(last), on_get(changed), on_get(ignored), on_get(configured), on_get(extracted)]
    {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
        assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn an_optional_key_is_refused_when_it_is_bad() {
    #[require_api_key(perm = "orders:read", optional)]
    async fn greet(key: Option<VerifiedKey>) -> String {
        key.map_or("stranger".to_owned(), |key| key.owner().to_owned())
    }
    #[require_api_key(perm = "orders:read", optional, key = who)]
    async fn named() -> String {
        who.map_or("stranger".to_owned(), |key| key.owner().to_owned())
    }
    async fn extracted(guard: OptionalApiKey<perm!("orders:read")>) -> String {
        guard.key().map_or("stranger".to_owned(), |key| key.owner().to_owned())
    }
    let keys = Keys::granting(READER);
    let bare = keys.another("bob", &[]);
    for handler in [on_get(greet), on_get(named), on_get(extracted)] {
        let router = serve(&keys, handler.clone());
        assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
        assert_eq!(get(&router, "/", None).await, (StatusCode::OK, owned("stranger")));
        assert_eq!(get(&router, "/", Some("ak_nonsense")).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(get(&router, "/", Some(&bare)).await.0, StatusCode::FORBIDDEN);
        let alone = Router::new().route("/", handler);
        assert_eq!(get(&alone, "/", None).await.0, StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn every_return_type() {
    #[require_api_key]
    async fn nothing() {}
    #[require_api_key]
    async fn hidden() -> impl IntoResponse {
        (StatusCode::OK, "x")
    }
    #[require_api_key]
    async fn fails(query: RawQuery) -> Result<impl IntoResponse, StatusCode> {
        if query.0.is_some() {
            return Err(StatusCode::IM_A_TEAPOT);
        }
        Ok("fine")
    }
    #[require_api_key]
    #[allow(clippy::manual_async_fn, reason = "it is what this test is about")]
    fn future() -> impl Future<Output = &'static str> {
        async { "sync fn" }
    }
    let keys = Keys::granting(&[]);
    for handler in [on_get(nothing), on_get(hidden), on_get(fails), on_get(future)] {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(get(&router, "/", Some(&keys.key)).await.0, StatusCode::OK);
    }
    let router = serve(&keys, on_get(fails));
    assert_eq!(get(&router, "/?x", Some(&keys.key)).await.0, StatusCode::IM_A_TEAPOT);
}

/// axum accepts up to sixteen parameters, so fifteen are left.
#[require_api_key]
#[expect(clippy::too_many_arguments, reason = "the most there can be")]
async fn fifteen(
    _: Method,
    _: Uri,
    _: Version,
    _: HeaderMap,
    _: RawQuery,
    _: OriginalUri,
    _: State<u8>,
    _: Method,
    _: Uri,
    _: Version,
    _: HeaderMap,
    _: RawQuery,
    _: OriginalUri,
    _: State<u8>,
    body: String,
) -> String {
    body
}

/// clippy permits seven parameters; the guard is the eighth.
#[require_api_key]
async fn seven(_: Method, _: Uri, _: Version, _: HeaderMap, _: RawQuery, _: OriginalUri, body: String) -> String {
    body
}

#[tokio::test]
async fn many_parameters() {
    let keys = Keys::granting(&[]);
    for handler in [on_post(fifteen).with_state(1), on_post(seven)] {
        let router = serve(&keys, handler);
        let request = Request::post("/").header("X-API-Key", &keys.key).body(Body::from("read")).unwrap();
        assert_eq!(answer(&router, request).await, (StatusCode::OK, owned("read")));
    }
}

struct Orders;

impl Orders {
    #[require_api_key(perm = Perm::Read)]
    async fn list(Query(query): Query<HashMap<String, String>>, key: VerifiedKey) -> String {
        format!("{} {}", key.owner(), query.len())
    }
}

#[require_api_key(perm = "orders:read")]
async fn generic<T>(State(_): State<T>) -> String
where
    T: Default + std::fmt::Debug + Clone + Send + 'static,
{
    format!("{:?}", T::default())
}

#[tokio::test]
async fn associated_and_generic_functions() {
    let keys = Keys::granting(READER);
    let router = serve(&keys, on_get(Orders::list));
    assert_eq!(get(&router, "/?a=b", Some(&keys.key)).await, (StatusCode::OK, owned("alice 1")));
    let router = serve(&keys, on_get(generic::<u8>).with_state(5));
    assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("0")));
    assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
}

#[require_api_key(perm = "orders:read")]
#[axum::debug_handler]
async fn debugged(State(_): State<u8>, key: VerifiedKey, _body: String) -> String {
    key.owner().to_owned()
}

#[tracing::instrument]
#[require_api_key(perm = "orders:read")]
async fn below_instrument(method: Method, key: VerifiedKey) -> Result<String, Rejection> {
    let _ = method;
    Ok(key.owner().to_owned())
}

#[require_api_key(perm = "orders:read", key = key)]
#[tracing::instrument(err)]
async fn above_instrument(method: Method) -> Result<String, Rejection> {
    let _ = method;
    Ok(key.owner().to_owned())
}

#[require_api_key(perm = "orders:read")]
#[tracing::instrument(skip(key), fields(owner = key.owner()))]
async fn fields_below(method: Method, key: VerifiedKey) -> String {
    let _ = method;
    key.owner().to_owned()
}

#[tracing::instrument(skip_all, fields(owner = key.owner()))]
#[require_api_key(perm = "orders:read")]
async fn fields_above(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[require_api_key(optional, key = who)]
#[tracing::instrument(fields(owner = who.key().map(|key| key.owner())))]
async fn fields_of_an_optional_key() -> Result<String, Rejection> {
    who.map(|key| key.owner().to_owned()).ok_or_else(|| AuthError::Missing.into())
}

#[tokio::test]
async fn other_attributes() {
    let keys = Keys::granting(READER);
    for handler in [
        on_get(debugged).with_state(1),
        on_get(below_instrument),
        on_get(above_instrument),
        on_get(fields_below),
        on_get(fields_above),
        on_get(fields_of_an_optional_key),
    ] {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
        assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
    }
}

/// In the body, the check runs after the other extractors. The author chooses that.
#[require_api_key(perm = "orders:read", request = headers, store = store, key = who)]
async fn in_the_body(State(store): State<apikey::KeyStore>, headers: HeaderMap) -> axum::response::Result<String> {
    Ok(who.owner().to_owned())
}

#[tokio::test]
async fn the_check_in_the_body_of_a_handler() {
    let keys = Keys::granting(READER);
    let router = Router::new().route("/", on_get(in_the_body)).with_state(keys.store.clone());
    assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
    let (status, body) = get(&router, "/", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("missing_api_key"), "{body}");
}

#[tokio::test]
async fn a_unit_test_calls_a_protected_handler() {
    let keys = Keys::granting(&[]);
    let verified = keys.store.verify(&keys.key).unwrap();
    assert_eq!(list(RequireApiKey::assume(verified.clone())).await, "alice");
    assert_eq!(format!("{:?}", <RequireApiKey>::assume(verified.clone())), format!("RequireApiKey({})", verified.id()));
    let optional = <OptionalApiKey>::assume(Some(verified.clone()));
    assert_eq!(format!("{:?}", optional.clone()), format!("OptionalApiKey({})", verified.id()));
    assert_eq!(Option::<VerifiedKey>::from(optional).unwrap().id(), verified.id());
    assert_eq!(format!("{:?}", <OptionalApiKey>::assume(None)), "OptionalApiKey(none)");
}

#[tokio::test]
async fn a_handler_can_refuse_by_itself() {
    async fn never() -> Result<(), Rejection> {
        Err(AuthError::Revoked.into())
    }
    let keys = Keys::granting(&[]);
    let (status, body) = get(&serve(&keys, on_get(never)), "/", None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(body.contains("API key revoked"), "{body}");
}
