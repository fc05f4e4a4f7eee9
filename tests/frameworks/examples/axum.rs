//! axum: `cargo run -p apikey-frameworks --example axum`, and send the requests that it prints.

use std::net::SocketAddr;

use apikey::{ApiKeyLayer, KeyStore, Rejection, Requirement, VerifiedKey, require_api_key};
use apikey_frameworks::{Outcome, demo};
use axum::extract::Path;
use axum::http::request::Parts;
use axum::routing::get;
use axum::{Json, Router};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read")]
async fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

#[require_api_key(perm = "orders:write")]
async fn place(key: VerifiedKey, Json(order): Json<Order>) -> String {
    format!("{} for {}\n", order.item, key.owner())
}

#[require_api_key(optional)]
async fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner()))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = request, tenant = tenant)]
async fn of_tenant(Path((tenant, number)): Path<(String, u32)>, request: Parts) -> Result<String, Rejection> {
    match number {
        1 => Ok(format!("order 1 of {tenant}\n")),
        _ => Err(Rejection::not_found()),
    }
}

async fn health() -> &'static str {
    "ok\n"
}

/// No attribute: the layer around it requires `admin`.
async fn stats() -> &'static str {
    "fine\n"
}

/// Requires more than the layer around it.
#[require_api_key(perm = "audit:read")]
async fn audit(key: VerifiedKey) -> String {
    format!("read by {}\n", key.owner())
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5)]
async fn report(key: VerifiedKey) -> String {
    format!("report for {}\n", key.owner())
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let admin = Router::new()
        .route("/stats", get(stats))
        .route("/audit", get(audit))
        .route("/report", get(report))
        .layer(ApiKeyLayer::require(store.clone(), Requirement::permission("admin")?));
    let app = Router::new()
        .route("/orders", get(list).post(place))
        .route("/greet", get(greet))
        .route("/tenants/{tenant}/orders/{number}", get(of_tenant))
        .route("/health", get(health))
        .nest("/admin", admin)
        .layer(ApiKeyLayer::supply(store));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    // With the caller's address, for keys with networks.
    Ok(axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?)
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
