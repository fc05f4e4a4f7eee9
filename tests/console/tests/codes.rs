//! The links of operators.

use apikey::KeyStore;
use apikey::admin::{Answer, Request};
use apikey::console::Console;
use apikey::management::Management;
use apikey_testkit::Call;
use chrono::TimeDelta;
use serde_json::json;

use crate::fixture::Site;

#[test]
fn a_code_signs_in_once() {
    let site = Site::new();
    let code = site.code(1000);
    assert!(code.len() == 32 && code.bytes().all(|byte| byte.is_ascii_hexdigit()), "128 bits");
    let body = json!({ "code": code });
    let (first, second) = (site.browser(), site.browser());
    let answer = first.post("/session", &body);
    assert_eq!(answer.status, 201);
    let session = answer.json();
    let said = ["kind", "name", "permissions", "owner", "tenant", "max_keys", "fresh", "node", "idle_ms"]
        .map(|field| session[field].clone());
    let expected = json!(["operator", "uid:1000 console", ["*"], null, null, null, true, null, 900_000]);
    assert_eq!(json!(said), expected);
    let again = second.post("/session", &body);
    assert_eq!((again.status, again.code().as_str()), (401, "invalid_code"));
    assert!(second.cookies.borrow().is_empty() && first.is_signed_in());
}

#[test]
fn a_code_is_good_for_sixty_seconds() {
    for (seconds, status) in [(59, 201), (60, 401), (3600, 401)] {
        let site = Site::new();
        let code = site.code(0);
        site.advance(TimeDelta::seconds(seconds));
        assert_eq!(site.browser().post("/session", &json!({ "code": code })).status, status, "{seconds}");
    }
}

#[test]
fn each_link_has_another_code_and_an_old_one_goes_when_there_are_many() {
    let site = Site::new();
    let codes: Vec<String> = (0..17).map(|uid| site.code(uid)).collect();
    let sign_in = |code: &String| site.browser().post("/session", &json!({ "code": code }));
    assert_eq!(sign_in(&codes[0]).status, 401);
    for (uid, code) in codes.iter().enumerate().skip(1) {
        assert_eq!(sign_in(code).json()["name"], format!("uid:{uid} console"));
    }
}

#[test]
fn what_is_no_code_is_none() {
    let site = Site::new();
    let code = site.code(0);
    let browser = site.browser();
    for wrong in [
        String::new(),
        code[1..].to_owned(),
        format!("{code}0"),
        code.to_uppercase() + " ",
        "0".repeat(32),
        "ü".repeat(1000),
    ] {
        let answer = browser.post("/session", &json!({ "code": wrong }));
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_code"), "{wrong}");
    }
    for body in ["{}", r#"{"code":7}"#, r#"{"code":null}"#, r#"{"code":"a","key":"b"}"#, r#"{"code":"a","x":1}"#, "[]"]
    {
        let answer = browser.page(Call::post("/session", body.to_owned()));
        assert_eq!(answer.status, 422, "{body}: {}", answer.body);
    }
    for body in ["", "{", "code=abc"] {
        assert_eq!(browser.page(Call::post("/session", body.to_owned())).status, 400, "{body}");
    }
    // None of these has used it up.
    assert_eq!(browser.post("/session", &json!({ "code": code })).status, 201);
}

#[test]
fn a_code_comes_in_json_and_no_form() {
    let site = Site::new();
    let body = json!({ "code": site.code(0) }).to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""] {
        let call = Call::with_body("POST", "/session", media_type, body.clone());
        assert_eq!(site.browser().page(call).status, 415, "{media_type}");
    }
    let call = Call::with_body("POST", "/session", "application/json; charset=utf-8", body);
    assert_eq!(site.browser().page(call).status, 201);
}

#[test]
fn guesses_are_charged_to_their_address() {
    let site = Site::of(KeyStore::builder().failed_attempts(3, TimeDelta::hours(1)));
    let guess = |address: [u8; 4], body: serde_json::Value| {
        let mut browser = site.browser();
        browser.address = address;
        browser.post("/session", &body)
    };
    let code = site.code(0);
    let one = [192, 0, 2, 1];
    for body in [json!({ "code": "a" }), json!({ "key": "b" }), json!({ "code": "c" })] {
        assert_eq!(guess(one, body).status, 401);
    }
    for body in [json!({ "code": code }), json!({ "key": site.key("root", &["*"]).key.expose_secret() })] {
        let answer = guess(one, body);
        assert_eq!((answer.status, answer.code().as_str()), (429, "rate_limited"));
        assert!(answer.header("retry-after").is_some());
    }
    // Nobody else waits, and the code is still there.
    assert_eq!(guess([192, 0, 2, 2], json!({ "code": code })).status, 201);
}

#[test]
fn a_code_and_all_sessions_end_when_the_operator_says_so() {
    let site = Site::new();
    let (operator, admin) = (site.operator(), site.signed_in(&site.key("root", &["*"])));
    let code = site.code(0);
    assert!(matches!(site.ask(0, Request::EndConsoleSessions), Answer::Count(2)));
    assert!(!operator.is_signed_in() && !admin.is_signed_in());
    assert_eq!(site.browser().post("/session", &json!({ "code": code })).status, 401);
}

#[test]
fn without_a_console_or_its_url_there_is_no_link() {
    let site = Site::new();
    let told = |site: &Site| match site.ask(0, Request::ConsoleLink) {
        Answer::Fault(fault) => fault.text,
        answer => panic!("{answer:?}"),
    };
    let Site { store, clock, console } = site;
    drop(console);
    let console = Console::new(Management::new(store.clone()));
    let without = Site { store, clock, console };
    assert!(told(&without).contains("Console::url"), "the console that came last makes the links: {}", told(&without));
    let strange = without.with(|console| console.url("keys.example"));
    assert!(told(&strange).contains("https://keys.example"), "{}", told(&strange));
    let Site { store, console, .. } = strange;
    drop(console);
    for request in [Request::ConsoleLink, Request::EndConsoleSessions] {
        let none = apikey::admin::Session::new(store.clone()).ask(request);
        assert!(matches!(&none, Answer::Fault(fault) if fault.text.contains("no console")), "{none:?}");
    }
}
