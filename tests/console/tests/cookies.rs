//! The cookie of a session, and the header fields of every answer.

use apikey::console::{Console, handle};
use apikey::management::Management;
use apikey::{KeyStore, NewKey};
use apikey_testkit::{Call, block_on};
use serde_json::json;

use crate::fixture::Site;

/// The attributes of a cookie, and what is left of it.
fn attributes(field: &str) -> (String, String) {
    let (pair, attributes) = field.split_once("; ").unwrap();
    let (name, value) = pair.split_once('=').unwrap();
    assert!(value.is_empty() || (value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit())), "{field}");
    (name.to_owned(), attributes.to_owned())
}

#[test]
fn the_cookie_is_for_this_host_and_https_alone() {
    let site = Site::new();
    let browser = site.browser();
    let answer = browser.post("/session", &json!({ "code": site.code(0) }));
    let expected = ("__Host-apikey-console".to_owned(), "Path=/; HttpOnly; Secure; SameSite=Strict".to_owned());
    assert_eq!(attributes(answer.header("set-cookie").unwrap()), expected);
    let gone = browser.delete("/session");
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    let expected = "Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Strict";
    assert_eq!(attributes(gone.header("set-cookie").unwrap()).1, expected);
    assert!(browser.cookies.borrow().is_empty() && !browser.is_signed_in());
}

#[test]
fn over_plain_http_on_this_machine_it_has_another_name() {
    let site = Site::new().with(|console| console.url("http://127.0.0.1:3001"));
    let browser = site.browser();
    let admin = site.key("root", &["*"]);
    let body = json!({ "key": admin.key.expose_secret() }).to_string();
    let sign_in = Call::post("/session", body).header("origin", "http://127.0.0.1:3001");
    let answer = browser.send(&sign_in.header("sec-fetch-site", "same-origin"));
    let expected = ("apikey-console".to_owned(), "Path=/; HttpOnly; SameSite=Strict".to_owned());
    assert_eq!(attributes(answer.header("set-cookie").unwrap()), expected);
    assert!(browser.is_signed_in());
    // The token of one is none in a cookie of the other: another host of the domain can set that one.
    let token = browser.cookies.borrow()["apikey-console"].clone();
    let other = site.browser();
    other.cookies.borrow_mut().insert("__Host-apikey-console".into(), token);
    assert!(!other.is_signed_in());
    let https = Site::new();
    let operator = https.operator();
    let token = operator.cookies.borrow()["__Host-apikey-console"].clone();
    let other = https.browser();
    other.cookies.borrow_mut().insert("apikey-console".into(), token);
    assert!(!other.is_signed_in());
}

/// Whoever has a key can send what a browser on this machine would, and another host of the domain can plant the cookie: whoever
/// visits the console would work in the session of somebody else.
#[test]
fn nobody_has_a_session_of_plain_http_elsewhere() {
    // No URL is said, so only the host of the request tells.
    let store = KeyStore::temporary().unwrap();
    let console = Console::new(Management::new(store.clone()));
    let key = store.create(NewKey::for_owner("mallory").permissions(["keys:read"])).unwrap();
    let send = |call: http::request::Builder, body: String| block_on(handle(&console, call.body(body).unwrap()));
    let sign_in = |host: &str| {
        let request = http::Request::post("/session").header("host", host).header("origin", "http://localhost:3001");
        let request = request.header("sec-fetch-site", "same-origin").header("content-type", "application/json");
        let answer = send(request, json!({ "key": key.key.expose_secret() }).to_string());
        let cookie = answer.headers()["set-cookie"].to_str().unwrap().to_owned();
        cookie.split(';').next().unwrap().to_owned()
    };
    let read = |host: &str, cookie: &str| {
        let request = http::Request::get("/api/keys").header("host", host).header("cookie", cookie);
        send(request.header("sec-fetch-site", "same-origin"), String::new()).status().as_u16()
    };
    assert!(sign_in("keys.example").starts_with("__Host-"));
    let plain = sign_in("localhost:3001");
    assert!(plain.starts_with("apikey-console="));
    assert_eq!(read("localhost:3001", &plain), 200);
    assert_eq!(read("keys.example", &plain), 401);
}

#[test]
fn every_answer_has_the_fields_that_bind_a_browser() {
    let site = Site::new();
    let (stranger, operator) = (site.browser(), site.operator());
    let policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
                  form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
    for answer in [
        stranger.get("/"),
        stranger.get("/nothing"),
        stranger.get("/session"),
        stranger.get("/api/keys"),
        stranger.send(&Call::post("/session", "{}")),
        stranger.post("/session", &json!({ "code": "wrong" })),
        stranger.page(Call::put("/sessions", "{}")),
        operator.get("/session"),
        operator.get("/sessions"),
        operator.get("/api/keys"),
        operator.get("/api/keys/nothing"),
        operator.get("/api/nothing"),
        operator.post("/api/keys", &json!({ "owner": "alice" })),
        operator.delete("/session"),
    ] {
        let status = answer.status;
        for (name, expected) in [
            ("content-security-policy", policy),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(expected), "{status} {name}");
        }
        let is_page = answer.header("content-type").is_some_and(|kind| kind.starts_with("text/html"));
        let cache = if is_page { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), Some(cache), "{status} {}", answer.body);
        assert!(answer.headers().all(|(name, _)| !name.starts_with("access-control-")));
    }
}

#[test]
fn the_page_is_the_same_for_everybody_and_is_not_sent_twice() {
    let site = Site::new();
    let (stranger, operator) = (site.browser(), site.operator());
    let page = stranger.get("/");
    assert_eq!((page.status, &page.body), (200, &operator.get("/").body));
    let tag = page.header("etag").unwrap().to_owned();
    let again = stranger.send(&Call::get("/").header("if-none-match", &tag));
    assert_eq!((again.status, again.body.as_str(), again.header("etag")), (304, "", Some(tag.as_str())));
    let head = stranger.send(&Call::new("HEAD", "/"));
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    // A link from another site leads to the page, which then asks for itself.
    assert_eq!(stranger.send(&Call::get("/").header("sec-fetch-site", "cross-site")).status, 200);
}
