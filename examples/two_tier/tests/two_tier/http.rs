//! What both tiers answer over HTTP: CORS, refusals, input, and the page's headers.

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Client, Method, Response, redirect};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::demo::Demo;

/// A client without redirects and without a proxy from the environment.
pub(crate) fn client() -> Client {
    Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn preflight(demo: &Demo, origin: &str, path: &str, method: &str) -> Response {
    client()
        .request(Method::OPTIONS, format!("{}{path}", demo.api))
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "content-type,x-api-key")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn cors_lets_the_page_in_and_no_other_origin() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    for (path, method) in [("/orders", "GET"), ("/orders", "POST"), ("/whoami", "GET")] {
        let response = preflight(&demo, &demo.page, path, method).await;
        assert_eq!(response.status(), 200);
        let headers = response.headers();
        assert_eq!(text(headers, "access-control-allow-origin"), demo.page);
        assert!(text(headers, "access-control-allow-methods").split(',').any(|allowed| allowed == method));
        assert_eq!(
            text(headers, "access-control-allow-headers"),
            "x-api-key,authorization,idempotency-key,content-type"
        );
        assert_eq!(headers.get("access-control-allow-credentials"), None);
    }
    let page_port = demo.page.rsplit(':').next().unwrap();
    let others = [format!("http://localhost:{page_port}"), "http://evil.example".to_owned(), "null".to_owned()];
    for origin in others {
        let response = preflight(&demo, &origin, "/orders", "GET").await;
        let allowed = text(response.headers(), "access-control-allow-origin");
        assert!(allowed != origin && allowed != "*", "{origin} is let in by {allowed:?}");
    }
}

#[tokio::test]
async fn a_page_can_read_why_it_was_refused() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let orders = format!("{}/orders", demo.api);

    let missing = client().get(&orders).header("Origin", &demo.page).send().await.unwrap();
    assert_eq!(missing.status(), 401);
    assert_eq!(text(missing.headers(), "access-control-allow-origin"), demo.page);
    let exposed = text(missing.headers(), "access-control-expose-headers");
    assert_eq!(exposed, "x-api-key-superseded,www-authenticate,retry-after,location,ratelimit-policy,ratelimit");
    assert!(text(missing.headers(), "www-authenticate").starts_with("ApiKey "));
    let problem: Value = missing.json().await.unwrap();
    assert_eq!(problem["code"], "missing_api_key");

    // The guard answers 403 before anything reads the body, which is not even JSON.
    let post = client().post(&orders).header("Origin", &demo.page).header("X-API-Key", demo.key("reader"));
    let forbidden = post.body("{").send().await.unwrap();
    assert_eq!(forbidden.status(), 403);
    assert_eq!(text(forbidden.headers(), "access-control-allow-origin"), demo.page);
    let problem: Value = forbidden.json().await.unwrap();
    assert_eq!(problem["code"], "insufficient_permission");
    assert_eq!(problem["required"], "orders:write");
}

#[tokio::test]
async fn answers_to_a_key_are_kept_apart_by_caches() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let request = client().get(format!("{}/orders", demo.api)).header("X-API-Key", demo.key("reader"));
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    let vary: Vec<_> = response.headers().get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
    assert!(vary.join(",").to_ascii_lowercase().contains("x-api-key"), "{vary:?}");
    assert!(text(response.headers(), "cache-control").contains("private"));
    assert_eq!(text(response.headers(), "x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn bad_orders_are_explained_and_good_ones_are_kept() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let orders = format!("{}/orders", demo.api);
    let writer = demo.key("writer");
    let bad = [
        (json!({ "item": " ", "quantity": 1 }).to_string(), 422, "item must"),
        (json!({ "item": "x".repeat(81), "quantity": 1 }).to_string(), 422, "item must"),
        (json!({ "item": "tea\nfree", "quantity": 1 }).to_string(), 422, "item must"),
        (json!({ "item": "tea", "quantity": 0 }).to_string(), 422, "quantity must"),
        (json!({ "item": "tea", "quantity": 1, "placed_by": "alice" }).to_string(), 422, "placed_by"),
        ("{".to_owned(), 400, "JSON"),
        ("x".repeat(20_000), 413, ""),
    ];
    for (body, status, detail) in bad {
        let post = client().post(&orders).header("X-API-Key", &writer).header("Content-Type", "application/json");
        let response = post.body(body.clone()).send().await.unwrap();
        assert_eq!(response.status(), status, "{body:.60}");
        assert_eq!(text(response.headers(), "content-type"), "application/problem+json");
        let problem: Value = response.json().await.unwrap();
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{problem}");
    }
    let item = "<img src=x onerror=alert(1)>";
    let post = client().post(&orders).header("X-API-Key", &writer).json(&json!({ "item": item, "quantity": 3 }));
    let placed: Value = post.send().await.unwrap().json().await.unwrap();
    assert_eq!(placed, json!({ "id": 4, "item": item, "quantity": 3, "placed_by": "bob" }));
    let get = client().get(&orders).header("X-API-Key", demo.key("reader"));
    let listed: Value = get.send().await.unwrap().json().await.unwrap();
    assert_eq!(listed[3], placed);
}

#[tokio::test]
async fn the_page_is_protected_by_its_headers() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let policy = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src {}; form-action 'none'; \
         base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
        demo.api
    );
    let files = [
        ("/", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/favicon.svg", "image/svg+xml"),
    ];
    for (path, content_type) in files {
        let response = client().get(format!("{}{path}", demo.page)).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let headers = response.headers();
        assert_eq!(text(headers, "content-type"), content_type);
        assert_eq!(text(headers, "content-security-policy"), policy);
        assert_eq!(text(headers, "x-content-type-options"), "nosniff");
        assert_eq!(text(headers, "referrer-policy"), "no-referrer");
        assert_eq!(text(headers, "x-frame-options"), "DENY");
        assert_eq!(text(headers, "cross-origin-opener-policy"), "same-origin");
        assert_eq!(text(headers, "cache-control"), "no-store");
    }
}

#[tokio::test]
async fn another_name_of_the_page_leads_to_its_one_origin() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let port = demo.page.rsplit(':').next().unwrap();
    for host in [format!("localhost:{port}"), "evil.example".to_owned()] {
        let host = HeaderValue::from_str(&host).unwrap();
        let response = client().get(&demo.page).header("Host", host).send().await.unwrap();
        assert_eq!(response.status(), 307);
        assert_eq!(text(response.headers(), "location"), format!("{}/", demo.page));
    }
}
