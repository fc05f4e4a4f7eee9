//! The console that the example serves on a port of its own.

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::tempdir;

use crate::demo::Demo;

/// The origin and the code of a link.
fn split(link: &str) -> (&str, &str) {
    link.split_once("/#code=").unwrap_or_else(|| panic!("no link: {link}"))
}

/// Signs in from a page of this origin.
async fn sign_in(console: &str, code: &str, origin: &str) -> reqwest::Response {
    let request = Client::new().post(format!("{console}/session")).header("origin", origin);
    request.json(&json!({ "code": code })).send().await.unwrap()
}

#[tokio::test]
async fn the_link_of_the_welcome_leads_to_a_key_that_the_api_takes() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let (console, code) = split(&demo.console);
    let page = Client::new().get(format!("{console}/")).send().await.unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    let session = sign_in(console, code, console).await;
    assert_eq!(session.status(), StatusCode::CREATED);
    let cookie = session.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    assert_eq!(session.json::<Value>().await.unwrap()["name"], "terminal console");
    let send = |request: reqwest::RequestBuilder| {
        request.header("cookie", &cookie).header("sec-fetch-site", "same-origin").send()
    };
    let offered = send(Client::new().get(format!("{console}/api/permissions"))).await.unwrap();
    let offered: Value = offered.json().await.unwrap();
    let orders = offered["permissions"].as_array().unwrap().iter().find(|one| one["name"] == "orders:write").unwrap();
    assert_eq!(orders["handlers"], json!(["two_tier::api::place_order"]));
    let new = json!({ "owner": "carol", "permissions": ["orders:read"] });
    let created = send(Client::new().post(format!("{console}/api/keys")).json(&new)).await.unwrap();
    let created: Value = created.json().await.unwrap();
    let orders =
        Client::new().get(format!("{}/orders", demo.api)).header("X-API-Key", created["key"].as_str().unwrap());
    assert_eq!(orders.send().await.unwrap().status(), StatusCode::OK);
    let used = send(Client::new().get(format!("{console}/api/usage?owner=carol"))).await.unwrap();
    assert_eq!(used.json::<Value>().await.unwrap()["uses_total"], 1);
    // It signs in once, and no other page of this machine does anything with it.
    assert_eq!(sign_in(console, code, console).await.status(), StatusCode::UNAUTHORIZED);
    for other in [&demo.page, &demo.api] {
        assert_eq!(sign_in(console, code, other).await.status(), StatusCode::FORBIDDEN);
        let request = Client::new().post(format!("{console}/api/keys")).header("cookie", &cookie);
        let answer = request.header("origin", other).json(&new).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert!(answer.headers().keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

#[tokio::test]
async fn another_name_of_this_machine_leads_to_the_one_origin() {
    let dir = tempdir().unwrap();
    let demo = Demo::start(&dir.path().join("keys.db"));
    let (console, _) = split(&demo.console);
    let client = Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let answer = client.get(format!("{console}/")).header("host", "localhost:1").send().await.unwrap();
    assert_eq!(answer.headers()["location"].to_str().unwrap(), format!("{console}/"));
}
