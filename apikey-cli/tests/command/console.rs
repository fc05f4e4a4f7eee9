//! A link to the console of the running service.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use apikey::console::{Console, handle};
use apikey::management::Management;
use apikey::{EventFilter, KeyStore};
use serde_json::{Value, json};

use super::Place;

/// A store that this process has open, as a service does, and its console.
fn with_console() -> (Place, KeyStore, Console) {
    let place = Place::new();
    let store = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    let console = Console::new(Management::new(store.clone())).url("https://keys.example");
    (place, store, console)
}

/// Sends a request of the page; returns the status, the cookie and the document.
fn send(console: &Console, method: &str, path: &str, cookie: &str, body: &Value) -> (u16, String, Value) {
    let request = http::Request::builder().method(method).uri(path).header("sec-fetch-site", "same-origin");
    let request = request.header("content-type", "application/json").header("cookie", cookie);
    let body = if method == "GET" { String::new() } else { body.to_string() };
    let mut answer = pin!(handle(console, request.body(body).unwrap()));
    let response = loop {
        if let Poll::Ready(response) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            break response;
        }
        std::thread::yield_now();
    };
    let cookie = response.headers().get("set-cookie").map(|field| field.to_str().unwrap().to_owned());
    let cookie = cookie.unwrap_or_default().split(';').next().unwrap_or_default().to_owned();
    (response.status().as_u16(), cookie, serde_json::from_str(response.body()).unwrap_or_default())
}

fn code_of(url: &str) -> Value {
    json!({ "code": url.trim().strip_prefix("https://keys.example/#code=").unwrap() })
}

#[test]
fn a_link_signs_the_operator_in_once() {
    let (place, store, console) = with_console();
    let printed = place.run(&["console"]).ok().says("within 60 seconds");
    let code = code_of(&printed.out);
    let (status, cookie, session) = send(&console, "POST", "/session", "", &code);
    let user = rustix::process::geteuid().as_raw();
    assert_eq!((status, &session["name"]), (201, &json!(format!("uid:{user} console"))));
    assert_eq!(send(&console, "POST", "/session", "", &code).0, 401);
    assert_eq!(send(&console, "POST", "/api/keys", &cookie, &json!({ "owner": "alice" })).0, 201);
    let event = store.events(&EventFilter::default()).unwrap().events.remove(0);
    assert_eq!(event.actor().unwrap().to_string(), format!("uid:{user} console"));
    let quiet = place.run(&["--quiet", "console"]).ok();
    assert_eq!(
        (quiet.out.lines().count(), quiet.err.lines().filter(|line| line.contains("60 seconds")).count()),
        (1, 0)
    );
    let document = place.json(&["console"]);
    assert_eq!(send(&console, "POST", "/session", "", &code_of(document["url"].as_str().unwrap())).0, 201);
}

#[test]
fn all_sessions_and_links_end() {
    let (place, _store, console) = with_console();
    let session = || send(&console, "POST", "/session", "", &code_of(&place.run(&["console"]).ok().out)).1;
    let cookies = [session(), session()];
    let unused = code_of(&place.run(&["console"]).ok().out);
    place.run(&["console", "--end-all"]).ok().shows("ended 2 sessions");
    for cookie in &cookies {
        assert_eq!(send(&console, "GET", "/session", cookie, &Value::Null).0, 401);
    }
    assert_eq!(send(&console, "POST", "/session", "", &unused).0, 401);
    assert_eq!(place.json(&["console", "--end-all"]), json!({ "ended": 0 }));
}

#[test]
fn without_a_service_that_serves_one_there_is_no_link() {
    let place = Place::new();
    place.run(&["init", "--out", "admin.key"]).ok();
    for arguments in [&["console"][..], &["console", "--end-all"]] {
        place.run(arguments).with(4).says("no console is served here");
    }
    let store = KeyStore::builder().admin_socket(true).open(place.path("keys.db")).unwrap();
    place.run(&["console"]).with(4).says("no console is served here");
    let console = Console::new(Management::new(store));
    place.run(&["console"]).with(4).says("Console::url");
    drop(console);
    place.run(&["console"]).with(4).says("no console is served here");
}
