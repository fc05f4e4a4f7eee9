//! A store with one key, and requests that carry it.

use apikey::{ApiKeyLayer, KeyStore, NewKey};
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use axum::routing::MethodRouter;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// A store, and a key in it.
pub(crate) struct Keys {
    pub(crate) store: KeyStore,
    pub(crate) key: String,
}

impl Keys {
    /// A key of alice's with these grants.
    pub(crate) fn granting(grants: &[&str]) -> Self {
        Self::in_store(KeyStore::temporary().unwrap(), grants)
    }

    pub(crate) fn in_store(store: KeyStore, grants: &[&str]) -> Self {
        let created = store.create(NewKey::for_owner("alice").permissions(grants)).unwrap();
        Self { store, key: created.key.expose_secret().to_owned() }
    }

    /// Another key in the store.
    pub(crate) fn another(&self, owner: &str, grants: &[&str]) -> String {
        let created = self.store.create(NewKey::for_owner(owner).permissions(grants)).unwrap();
        created.key.expose_secret().to_owned()
    }

    /// A request with the key, and the store in its extensions.
    pub(crate) fn request(&self) -> Request<()> {
        let mut request = self.bare();
        request.headers_mut().insert("X-API-Key", HeaderValue::from_str(&self.key).unwrap());
        request
    }

    /// A request without a key, and the store in its extensions.
    pub(crate) fn bare(&self) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(self.store.clone());
        request
    }

    pub(crate) fn headers(&self) -> HeaderMap {
        self.request().headers().clone()
    }
}

/// A service with one route at `/`, and the store.
pub(crate) fn serve(keys: &Keys, handler: MethodRouter) -> Router {
    Router::new().route("/", handler).layer(ApiKeyLayer::supply(keys.store.clone()))
}

/// A router's answer to `GET` with this key.
pub(crate) async fn get(router: &Router, path: &str, key: Option<&str>) -> (StatusCode, String) {
    let response = respond(router, path, key).await;
    read(response).await
}

/// The response of a router to `GET` with this key.
pub(crate) async fn respond(router: &Router, path: &str, key: Option<&str>) -> Response {
    let mut request = Request::get(path);
    if let Some(key) = key {
        request = request.header("X-API-Key", key);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

/// A router's answer to a request.
pub(crate) async fn answer(router: &Router, request: Request<Body>) -> (StatusCode, String) {
    read(router.clone().oneshot(request).await.unwrap()).await
}

async fn read(response: Response) -> (StatusCode, String) {
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

pub(crate) fn owned(text: &str) -> String {
    text.to_owned()
}
