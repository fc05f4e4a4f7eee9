//! No secret and no token of a session is logged, shown by `Debug`, or in an answer that does not give it.

use apikey::admin::Request;
use apikey_testkit::{Log, block_on};
use serde_json::json;

use crate::fixture::Site;

#[test]
fn nothing_that_signs_in_is_logged_or_shown() {
    let log = Log::global();
    let site = Site::new();
    let key = site.key("root", &["*"]);
    let code = site.code(1000);
    let mut secrets = vec![key.key.expose_secret().to_owned(), code.clone()];
    let mut answers = String::new();
    let (browser, operator) = (site.browser(), site.browser());
    for answer in [
        browser.sign_in(&key),
        operator.post("/session", &json!({ "code": code })),
        operator.post("/session", &json!({ "code": code })),
        operator.post("/session", &json!({ "key": code })),
        browser.get("/session"),
        operator.get("/sessions"),
        browser.post("/session/confirm", &json!({ "key": key.key.expose_secret() })),
        browser.post("/session/confirm", &json!([key.key.expose_secret()])),
    ] {
        answers += &answer.body;
    }
    for jar in [&browser.cookies, &operator.cookies] {
        secrets.extend(jar.borrow().values().cloned());
    }
    answers += &operator.get("/sessions").body;
    site.store.revoke(key.info.id(), "left").unwrap();
    answers += &browser.get("/session").body;
    site.ask(0, Request::EndConsoleSessions);
    let shown = format!("{:?} {:?}", site.console, site.ask(0, Request::ConsoleLink));
    assert_eq!(secrets.len(), 4);
    let lines: Vec<String> = log.lines().iter().map(|line| format!("{line:?}")).collect();
    for text in ["signed in to the console", "made a link", "a session of the console ended", "ended all sessions"] {
        assert!(lines.iter().any(|line| line.contains(text)), "{text}: {lines:?}");
    }
    for secret in &secrets {
        assert!(!lines.iter().any(|line| line.contains(secret)), "{lines:?}");
        assert!(!shown.contains(secret) && !answers.contains(secret));
    }
    // The future and the state of the console, too.
    let request = http::Request::get("/session").body(Vec::new()).unwrap();
    let future = apikey::console::handle(&site.console, request);
    assert_eq!(format!("{future:?}"), "AnswerFuture");
    assert_eq!(block_on(future).status(), 401);
}
