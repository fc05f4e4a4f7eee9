//! actix-web: `cargo run -p apikey-frameworks --example actix_web`, and send the requests that it prints.

use actix_web::{App, HttpRequest, HttpServer, get, post, web};
use apikey::{KeyStore, Rejection, Requirement, VerifiedKey, require_api_key};
use apikey_frameworks::{Outcome, demo};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read")]
#[get("/orders")]
async fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

#[require_api_key(perm = "orders:write")]
#[post("/orders")]
async fn place(key: VerifiedKey, order: web::Json<Order>) -> String {
    format!("{} for {}\n", order.item, key.owner())
}

#[require_api_key(optional)]
#[get("/greet")]
async fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner()))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = request, tenant = path.0)]
#[get("/tenants/{tenant}/orders/{number}")]
async fn of_tenant(request: HttpRequest, path: web::Path<(String, u32)>) -> Result<String, Rejection> {
    let (tenant, number) = path.into_inner();
    match number {
        1 => Ok(format!("order 1 of {tenant}\n")),
        _ => Err(Rejection::not_found()),
    }
}

#[get("/health")]
async fn health() -> &'static str {
    "ok\n"
}

/// No attribute: the middleware around it requires `admin`.
#[get("/stats")]
async fn stats() -> &'static str {
    "fine\n"
}

/// Requires more than the middleware around it.
#[require_api_key(perm = "audit:read")]
#[get("/audit")]
async fn audit(key: VerifiedKey) -> String {
    format!("read by {}\n", key.owner())
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5)]
#[get("/report")]
async fn report(key: VerifiedKey) -> String {
    format!("report for {}\n", key.owner())
}

#[actix_web::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let needed = Requirement::permission("admin")?;
    let app = move || {
        let admin = web::scope("/admin")
            .service(stats)
            .service(audit)
            .service(report)
            .wrap(apikey::actix_web::require(store.clone(), needed.clone()));
        App::new()
            .service(list)
            .service(place)
            .service(greet)
            .service(of_tenant)
            .service(health)
            .service(admin)
            .wrap(apikey::actix_web::supply(store.clone()))
    };
    Ok(HttpServer::new(app).workers(2).disable_signals().bind(("127.0.0.1", port))?.run().await?)
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
