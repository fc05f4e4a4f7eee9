//! Every kind of refusal, and requests that pass.

use apikey::{KeyUpdate, NewKey, Overlap};
use apikey_testkit::{Answer, Call};
use chrono::TimeDelta;

use crate::app::{Service, now, routes};
use crate::wire::Send as _;

/// Asserts the form of a refusal.
fn check_problem(answer: &Answer, status: u16, code: &str, detail: &str) {
    assert_eq!(answer.status, status, "{code}");
    let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert_eq!(body["type"], format!("urn:apikey:problem:{code}"));
    assert_eq!(body["detail"], detail);
    let challenge = (status == 401).then_some("ApiKey realm=\"api\", header=\"X-API-Key\"");
    assert_eq!(answer.header("www-authenticate"), challenge, "{code}");
}

#[tokio::test]
async fn each_case_has_its_status_its_code_and_its_text() {
    let service = Service::new();
    let writer = NewKey::for_owner("writer").permissions(["orders:*"]);
    let [right, revoked, disabled, expired, early, reader] = [
        writer.clone(),
        writer.clone(),
        writer.clone(),
        writer.clone().expires_in(TimeDelta::hours(1)),
        writer.not_before(now() + TimeDelta::days(1)),
        NewKey::for_owner("reader").permissions(["orders:read"]),
    ]
    .map(|key| service.create(key));
    service.store.revoke(revoked.info.id(), "test").unwrap();
    service.store.update(disabled.info.id(), KeyUpdate::new().disabled(true)).unwrap();
    service.clock.advance(TimeDelta::hours(1));
    let token = |created: &apikey::CreatedKey| created.key.expose_secret().to_owned();
    let foreign = Service::new().reader();
    let post = || Call::post("/orders", r#"{"item":"tea"}"#);
    let wrong_secret = {
        let other = service.store.rotate(reader.info.id(), Overlap::None).unwrap();
        assert_eq!(post().key(token(&other)).send_both(&service.app).await.status, 403);
        token(&reader)
    };
    let reader = service.create(NewKey::for_owner("reader").permissions(["orders:read"]));

    for (key, status, code, detail) in [
        (None, 401, "missing_api_key", "API key missing"),
        (Some(String::new()), 401, "invalid_api_key", "Invalid API key"),
        (Some("malformed".into()), 401, "invalid_api_key", "Invalid API key"),
        (Some(token(&foreign)), 401, "invalid_api_key", "Invalid API key"),
        (Some(wrong_secret), 401, "invalid_api_key", "Invalid API key"),
        (Some(token(&expired)), 401, "expired_api_key", "API key expired"),
        (Some(token(&revoked)), 401, "revoked_api_key", "API key revoked"),
        (Some(token(&disabled)), 401, "disabled_api_key", "API key disabled"),
        (Some(token(&early)), 401, "inactive_api_key", "API key not yet valid"),
        (Some(token(&reader)), 403, "insufficient_permission", "API key lacks permission orders:write"),
    ] {
        let call = key.into_iter().fold(post(), Call::key);
        let answer = call.send_both(&service.app).await;
        check_problem(&answer, status, code, detail);
        // The guard ran, so no cache may share the response between callers.
        assert_eq!(answer.header("vary").map(str::to_lowercase).as_deref(), Some("x-api-key"));
    }
    let answer = post().key(token(&right)).send_both(&service.app).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "tea"));
}

/// Other libraries answer 422 for a body that they read before the key.
#[tokio::test]
async fn the_guard_checks_the_key_before_the_body() {
    let service = Service::new();
    let reader = service.reader();
    let writer = service.create(NewKey::for_owner("writer").permissions(["orders:write"]));
    let broken = || Call::post("/orders", "{ not json");
    assert_eq!(broken().send_both(&service.app).await.status, 401);
    assert_eq!(broken().key("bad").send_both(&service.app).await.status, 401);
    assert_eq!(broken().key(reader.key.expose_secret()).send_both(&service.app).await.status, 403);
    assert_eq!(broken().key(writer.key.expose_secret()).send_both(&service.app).await.status, 400);
}

#[tokio::test]
async fn two_keys_in_one_request_are_refused() {
    let service = Service::new();
    let (one, two) = (service.reader(), service.reader());
    let (one, two) = (one.key.expose_secret(), two.key.expose_secret());
    let call = Call::get("/orders").key(one);
    assert_eq!(call.send_both(&service.app).await.status, 200);
    for call in [call.clone().key(two), call.clone().key(one)] {
        let answer = call.send_both(&service.app).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"));
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_and_very_long_keys_are_invalid() {
    let service = Service::new();
    for key in [b"\xff\xfe\xfd".to_vec(), "k".repeat(100_000).into_bytes()] {
        let answer = Call::get("/orders").key(key).send_both(&service.app).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_api_key"));
    }
}

#[tokio::test]
async fn an_optional_key_may_be_missing_but_not_bad() {
    let service = Service::new();
    let reader = service.reader();
    assert_eq!(Call::get("/greet").send_both(&service.app).await.body, "hello");
    assert_eq!(Call::get("/greet").key(reader.key.expose_secret()).send_both(&service.app).await.body, "hello reader");
    assert_eq!(Call::get("/greet").key("bad").send_both(&service.app).await.status, 401);
}

#[tokio::test]
async fn without_a_store_the_service_is_closed_not_open() {
    let answer = Call::get("/orders").key("any").send_both(&routes()).await;
    check_problem(&answer, 503, "unavailable", "API keys cannot be checked");
    let service = Service::new();
    let reader = service.reader();
    service.store.close().unwrap();
    let answer = Call::get("/orders").key(reader.key.expose_secret()).send_both(&service.app).await;
    check_problem(&answer, 503, "unavailable", "API keys cannot be checked");
}

#[tokio::test]
async fn the_key_is_never_read_from_the_query_or_a_bearer_token() {
    let service = Service::new();
    let reader = service.reader();
    let bearer = format!("Bearer {}", reader.key.expose_secret());
    let answer = Call::get("/orders").header("authorization", bearer).send_both(&service.app).await;
    assert_eq!(answer.code(), "missing_api_key");
    let answer = Call::get("/orders?api_key=x&X-API-Key=y").send_both(&service.app).await;
    assert_eq!(answer.code(), "missing_api_key");
}
