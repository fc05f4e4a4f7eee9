//! The console below paths, in axum and by the layer.

use apikey::KeyStore;
use apikey::console::Console;
use apikey::management::Management;
use axum::Router;
use axum::body::Body;
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt};

fn console() -> Console {
    Console::new(Management::new(KeyStore::temporary().unwrap()))
}

fn get<S>(service: S, path: &str) -> (u16, Option<String>, String)
where
    S: tower::Service<http::Request<Body>, Response = http::Response<Body>>,
    S::Error: std::fmt::Debug,
{
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let response = service.oneshot(http::Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, location, String::from_utf8(body.to_vec()).unwrap())
    })
}

#[test]
fn the_page_is_found_with_and_without_a_slash() {
    let other = || Router::new().route("/", axum::routing::get(|| async { "another page" }));
    let nested = || Router::new().nest_service("/console", console()).merge(other());
    let layered = || console().at("/console/").layer(other());
    for path in ["/console/", "/console/?node=a", "/console", "/console?node=a", "/", "/consoles"] {
        let (nested, layered) = (get(nested(), path), get(layered(), path));
        assert_eq!(nested, layered, "{path}");
        match path {
            "/" => assert_eq!(nested.2, "another page"),
            "/consoles" => assert_eq!(nested.0, 404),
            "/console" => assert_eq!((nested.0, nested.1.as_deref()), (308, Some("./console/"))),
            "/console?node=a" => assert_eq!((nested.0, nested.1.as_deref()), (308, Some("./console/?node=a"))),
            _ => assert!(nested.0 == 200 && nested.2.starts_with("<!doctype html>"), "{path}"),
        }
    }
    assert_eq!(get(nested(), "/console/session").0, 401);
    assert_eq!(get(nested(), "/console/api/keys").0, 401);
    // At the root, and in a path that looks like another host.
    let root = Router::new().fallback_service(console());
    assert_eq!(get(root, "/").0, 200);
    let strange = Router::new().nest_service("/a//evil.example", console());
    assert_eq!(get(strange, "/a//evil.example").1.as_deref(), Some("./evil.example/"));
}
