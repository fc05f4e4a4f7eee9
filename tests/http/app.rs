//! The service under test.

use apikey::{ApiKeyLayer, CreatedKey, KeyStore, ManualClock, NewKey, VerifiedKey, require_api_key};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};

#[derive(serde::Deserialize)]
struct NewOrder {
    item: String,
}

#[require_api_key(perm = "orders:read")]
async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[require_api_key(perm = "orders:write")]
async fn place(Json(order): Json<NewOrder>) -> String {
    order.item
}

#[require_api_key]
async fn whoami(key: VerifiedKey) -> String {
    format!("{} {}", key.owner(), key.id())
}

#[require_api_key(optional)]
async fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or_else(|| "hello".into(), |key| format!("hello {}", key.owner()))
}

/// Handlers that the attribute guards, and open ones, without a store.
pub(crate) fn routes() -> Router {
    Router::new()
        .route("/orders", get(list).post(place))
        .route("/whoami", get(whoami))
        .route("/greet", get(greet))
        .route("/open", get(|| async { "open" }).post(|| async { "open" }))
        .route("/any", any(|| async { "any" }))
        .route("/cached", get(cached))
        .route("/echo", post(|body: String| async { body }))
}

#[require_api_key]
async fn cached() -> ([(&'static str, &'static str); 1], &'static str) {
    ([("cache-control", "max-age=60")], "cached")
}

pub(crate) struct Service {
    pub(crate) store: KeyStore,
    pub(crate) clock: ManualClock,
    pub(crate) app: Router,
}

impl Service {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new(now());
        let store = KeyStore::builder().clock(clock.clone()).temporary().unwrap();
        let app = routes().layer(ApiKeyLayer::supply(store.clone()));
        Self { store, clock, app }
    }

    pub(crate) fn reader(&self) -> CreatedKey {
        self.create(NewKey::for_owner("reader").permissions(["orders:read"]))
    }

    pub(crate) fn create(&self, key: NewKey) -> CreatedKey {
        self.store.create(key).unwrap()
    }
}

pub(crate) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(1_800_000_000_000).unwrap()
}
