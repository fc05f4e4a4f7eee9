//! salvo: `cargo run -p apikey-frameworks --example salvo`, and send the requests that it prints.

use apikey::{KeyStore, Rejection, Requirement, VerifiedKey, require_api_key};
use apikey_frameworks::{Outcome, demo};
use salvo::oapi::extract::{JsonBody, PathParam};
use salvo::prelude::*;

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read")]
#[handler]
async fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

#[require_api_key(perm = "orders:write")]
#[handler]
async fn place(key: VerifiedKey, order: JsonBody<Order>) -> String {
    format!("{} for {}\n", order.item, key.owner())
}

#[require_api_key(optional)]
#[handler]
async fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner()))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = (&*request, &*depot), tenant = *tenant)]
#[handler]
async fn of_tenant(
    request: &mut Request,
    depot: &mut Depot,
    tenant: PathParam<String>,
    number: PathParam<u32>,
) -> Result<String, Rejection> {
    match *number {
        1 => Ok(format!("order 1 of {}\n", *tenant)),
        _ => Err(Rejection::not_found()),
    }
}

#[handler]
async fn health() -> &'static str {
    "ok\n"
}

/// No attribute: the hoop around it requires `admin`.
#[handler]
async fn stats() -> &'static str {
    "fine\n"
}

/// Requires more than the hoop around it.
#[require_api_key(perm = "audit:read")]
#[handler]
async fn audit(key: VerifiedKey) -> String {
    format!("read by {}\n", key.owner())
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5)]
#[handler]
async fn report(key: VerifiedKey) -> String {
    format!("report for {}\n", key.owner())
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let needed = Requirement::permission("admin")?;
    let admin = Router::with_path("admin")
        .hoop(apikey::salvo::require(store.clone(), needed))
        .push(Router::with_path("stats").get(stats))
        .push(Router::with_path("audit").get(audit))
        .push(Router::with_path("report").get(report));
    let app = Router::new()
        .hoop(apikey::salvo::supply(store))
        .push(Router::with_path("orders").get(list).post(place))
        .push(Router::with_path("greet").get(greet))
        .push(Router::with_path("tenants/{tenant}/orders/{number}").get(of_tenant))
        .push(Router::with_path("health").get(health))
        .push(admin);
    let listener = TcpListener::new(("127.0.0.1", port)).try_bind().await?;
    Server::new(listener).serve(app).await;
    Ok(())
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
