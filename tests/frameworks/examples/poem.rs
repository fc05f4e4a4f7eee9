//! poem: `cargo run -p apikey-frameworks --example poem`, and send the requests that it prints.

use apikey::{KeyStore, Rejection, Requirement, VerifiedKey, require_api_key};
use apikey_frameworks::{Outcome, demo};
use poem::listener::TcpListener;
use poem::web::{Json, Path};
use poem::{EndpointExt, Request, Route, Server, get, handler};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read")]
#[handler]
fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

#[require_api_key(perm = "orders:write")]
#[handler]
async fn place(key: VerifiedKey, Json(order): Json<Order>) -> String {
    format!("{} for {}\n", order.item, key.owner())
}

#[require_api_key(optional)]
#[handler]
fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner()))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = request, tenant = tenant)]
#[handler]
fn of_tenant(request: &Request, Path((tenant, number)): Path<(String, u32)>) -> Result<String, Rejection> {
    match number {
        1 => Ok(format!("order 1 of {tenant}\n")),
        _ => Err(Rejection::not_found()),
    }
}

#[handler]
fn health() -> &'static str {
    "ok\n"
}

/// No attribute: the middleware around it requires `admin`.
#[handler]
fn stats() -> &'static str {
    "fine\n"
}

/// Requires more than the middleware around it.
#[require_api_key(perm = "audit:read")]
#[handler]
fn audit(key: VerifiedKey) -> String {
    format!("read by {}\n", key.owner())
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5)]
#[handler]
fn report(key: VerifiedKey) -> String {
    format!("report for {}\n", key.owner())
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let admin = Route::new()
        .at("/stats", get(stats))
        .at("/audit", get(audit))
        .at("/report", get(report))
        .with(apikey::poem::require(store.clone(), Requirement::permission("admin")?));
    let app = Route::new()
        .at("/orders", get(list).post(place))
        .at("/greet", get(greet))
        .at("/tenants/:tenant/orders/:number", get(of_tenant))
        .at("/health", get(health))
        .nest("/admin", admin)
        .with(apikey::poem::supply(store));
    Ok(Server::new(TcpListener::bind(("127.0.0.1", port))).run(app).await?)
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
