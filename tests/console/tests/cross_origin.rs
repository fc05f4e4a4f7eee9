//! Requests that another site makes a browser send.

use apikey_testkit::Call;
use serde_json::json;

use crate::fixture::{Site, URL};

/// The field values, and whether a read and a change are let through.
type Row = (&'static [(&'static str, &'static str)], bool, bool);

const ROWS: &[Row] = &[
    (&[], true, false),
    (&[("sec-fetch-site", "same-origin")], true, true),
    (&[("sec-fetch-site", "same-origin"), ("origin", URL)], true, true),
    (&[("origin", URL)], true, true),
    (&[("sec-fetch-site", "none")], true, false),
    (&[("sec-fetch-site", "same-site")], false, false),
    (&[("sec-fetch-site", "same-site"), ("origin", URL)], false, false),
    (&[("sec-fetch-site", "cross-site")], false, false),
    (&[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")], false, false),
    (&[("origin", "https://evil.example")], false, false),
    (&[("origin", "http://keys.example")], false, false),
    (&[("origin", "https://keys.example:8443")], false, false),
    (&[("origin", "null")], false, false),
    (&[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")], false, false),
];

#[test]
fn a_change_of_another_site_is_none() {
    let site = Site::new();
    let operator = site.operator();
    let send = |call: Call, fields: &[(&str, &str)]| {
        let call = fields.iter().fold(call, |call, (name, value)| call.header(name, value));
        operator.send(&call.header("host", "keys.example"))
    };
    let mut created = 0;
    for (fields, reads, changes) in ROWS {
        for path in ["/session", "/sessions", "/api/keys", "/api/openapi.json"] {
            let answer = send(Call::get(path), fields);
            assert_eq!(answer.status, if *reads { 200 } else { 403 }, "{path} {fields:?}");
        }
        assert_eq!(send(Call::get("/"), fields).status, 200, "{fields:?}");
        let body = json!({ "owner": "alice" }).to_string();
        let answer = send(Call::post("/api/keys", body), fields);
        assert_eq!(answer.status, if *changes { 201 } else { 403 }, "{fields:?}");
        created += usize::from(*changes);
        if !changes {
            assert_eq!(answer.code(), "cross_origin", "{fields:?}");
            for call in [
                Call::post("/session", json!({ "code": site.code(0) }).to_string()),
                Call::post("/session/confirm", json!({ "code": site.code(1000) }).to_string()),
                Call::delete("/session"),
                Call::delete("/sessions"),
                Call::delete("/api/keys/01931a4e-7c3b-7def-8123-456789abcdef"),
                Call::put("/api/roles/mine", r#"{"permissions":["orders:read"]}"#),
                // What a form of another site can send.
                Call::with_body("POST", "/api/keys", "text/plain", r#"{"owner":"alice"}"#),
            ] {
                let text = format!("{} {} {fields:?}", call.method(), call.path());
                assert_eq!(send(call, fields).code(), "cross_origin", "{text}");
            }
        }
    }
    assert!(operator.is_signed_in());
    assert_eq!(site.store.list(&apikey::KeyFilter::owner("alice")).unwrap().keys.len(), created);
    assert!(site.store.roles().unwrap().is_empty());
}

#[test]
fn only_json_is_read() {
    let site = Site::new();
    let operator = site.operator();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/jsonp"] {
        for path in ["/api/keys", "/api/introspect", "/session", "/session/confirm"] {
            let call = Call::with_body("POST", path, media_type, r#"{"owner":"alice"}"#);
            assert_eq!(operator.page(call).status, 415, "{media_type} {path}");
        }
    }
    assert_eq!(operator.page(Call::new("POST", "/api/introspect")).status, 415, "it takes forms alone");
}

#[test]
fn a_preflight_is_no_answer_for_another_site() {
    let site = Site::new();
    for path in ["/session", "/api/keys", "/api/keys/1"] {
        let answer = site.operator().send(&Call::preflight(path, "POST"));
        assert!(answer.status >= 400, "{path}");
        assert!(answer.headers().all(|(name, _)| !name.starts_with("access-control")));
    }
}

#[test]
fn a_long_body_is_refused() {
    let site = Site::new();
    let operator = site.operator();
    let long = format!(r#"{{"owner":"{}"}}"#, "x".repeat(70_000));
    for path in ["/session", "/session/confirm", "/api/keys"] {
        assert_eq!(operator.page(Call::post(path, long.clone())).status, 413, "{path}");
        let announced = Call::post(path, "{}").header("content-length", "10000000000");
        assert_eq!(operator.page(announced).status, 413, "{path}");
    }
}
