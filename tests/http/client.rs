//! The key of a client, which rotates, and goes to no other origin.

use apikey::client::{ClientError, ClientKey, same_origin};
use axum::Router;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::app::Service;

/// Serves a router; returns its origin.
async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    origin
}

async fn status(client: &reqwest::Client, key: &ClientKey, url: String) -> u16 {
    let mut request = client.get(url).build().unwrap();
    key.put(&mut request).unwrap();
    client.execute(request).await.unwrap().status().as_u16()
}

#[tokio::test]
async fn a_rotated_key_in_a_file_is_used_at_once() {
    let service = Service::new();
    let old = service.reader();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, old.key.expose_secret()).unwrap();
    let key = ClientKey::from_file(&file).unwrap();
    let (origin, client) = (serve(service.app.clone()).await, reqwest::Client::new());
    assert_eq!(status(&client, &key, format!("{origin}/orders")).await, 200);
    let new = service.store.rotate(old.info.id(), apikey::Overlap::None).unwrap();
    assert_eq!(status(&client, &key, format!("{origin}/orders")).await, 401);
    // Another length, so that the file has changed whatever its time says.
    std::fs::write(&file, format!("{}\n", new.key.expose_secret())).unwrap();
    assert_eq!(status(&client, &key, format!("{origin}/orders")).await, 200);
}

#[tokio::test]
async fn a_key_does_not_follow_a_redirect_to_another_origin() {
    let service = Service::new();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, service.reader().key.expose_secret()).unwrap();
    let key = ClientKey::from_file(&file).unwrap();
    let there = serve(service.app.clone()).await;
    let away = format!("{there}/orders");
    let redirects = Router::new()
        .route("/away", get(move || async move { Redirect::temporary(&away) }))
        .route("/here", get(|| async { Redirect::temporary("/found") }))
        .route("/found", get(|| async { "found" }));
    let here = serve(redirects).await;
    let client = reqwest::Client::builder().redirect(same_origin()).build().unwrap();
    assert_eq!(status(&client, &key, format!("{here}/away")).await, 307);
    assert_eq!(status(&client, &key, format!("{here}/here")).await, 200);
}

/// Why `same_origin` is needed: what reqwest's own policy does.
#[tokio::test]
async fn reqwest_removes_authorization_from_a_redirect_and_not_the_key() {
    let seen = |headers: HeaderMap| {
        let names = ["authorization", "x-api-key"].map(|name| headers.contains_key(name));
        async move { format!("{names:?}") }
    };
    // Another host, by its name: another port alone would do, too.
    let there = serve(Router::new().route("/", get(seen))).await.replace("127.0.0.1", "localhost");
    let here = serve(Router::new().route("/", get(move || async move { Redirect::temporary(&there) }))).await;
    let sent = |client: reqwest::Client| client.get(&here).bearer_auth("token").header("x-api-key", "ak_0").send();
    let text = sent(reqwest::Client::new()).await.unwrap().text().await.unwrap();
    assert_eq!(text, "[false, true]");
    let safe = reqwest::Client::builder().redirect(same_origin()).build().unwrap();
    assert_eq!(sent(safe).await.unwrap().status(), 307);
}

#[test]
fn a_key_is_not_sent_in_the_clear() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "ak_0").unwrap();
    let key = ClientKey::from_file(&file).unwrap().header(http::HeaderName::from_static("x-shop-key"));
    let client = reqwest::Client::new();
    let mut plain = client.get("http://shop.example/").build().unwrap();
    assert!(matches!(key.put(&mut plain), Err(ClientError::Plain { host }) if host == "shop.example"));
    assert!(plain.headers().is_empty());
    let mut secure = client.get("https://shop.example/").header("x-shop-key", "another").build().unwrap();
    key.put(&mut secure).unwrap();
    let values: Vec<_> = secure.headers().get_all("x-shop-key").iter().collect();
    assert_eq!(values, ["ak_0"]);
    assert!(values[0].is_sensitive() && !format!("{secure:?}").contains("ak_0"));
}
