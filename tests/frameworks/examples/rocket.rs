//! rocket: `cargo run -p apikey-frameworks --example rocket`, and send the requests that it prints.

use apikey::{KeyStore, Rejection, Requirement, VerifiedKey, require_api_key};
use apikey_frameworks::{Outcome, demo};
use rocket::serde::json::Json;
use rocket::{Config, get, post, routes};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read")]
#[get("/orders")]
fn list(key: VerifiedKey) -> String {
    format!("orders of {}\n", key.owner())
}

#[require_api_key(perm = "orders:write")]
#[post("/orders", data = "<order>")]
async fn place(key: VerifiedKey, order: Json<Order>) -> String {
    format!("{} for {}\n", order.item, key.owner())
}

#[require_api_key(optional)]
#[get("/greet")]
fn greet(key: Option<VerifiedKey>) -> String {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner()))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read")]
#[get("/tenants/<tenant>/orders/<number>")]
fn of_tenant(key: VerifiedKey, tenant: &str, number: u32) -> Result<String, Rejection> {
    key.in_tenant(tenant)?;
    match number {
        1 => Ok(format!("order 1 of {tenant}\n")),
        _ => Err(Rejection::not_found()),
    }
}

#[get("/health")]
fn health() -> &'static str {
    "ok\n"
}

/// No attribute: the guard around it requires `admin`.
#[get("/stats")]
fn stats() -> &'static str {
    "fine\n"
}

/// Requires more than the guard around it.
#[require_api_key(perm = "audit:read")]
#[get("/audit")]
fn audit(key: VerifiedKey) -> String {
    format!("read by {}\n", key.owner())
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5)]
#[get("/report")]
fn report(key: VerifiedKey) -> String {
    format!("report for {}\n", key.owner())
}

pub(crate) fn run(store: KeyStore, port: u16) -> Outcome {
    let admin = Requirement::permission("admin")?;
    let app = rocket::custom(Config::figment().merge(("port", port)).merge(("log_level", "critical")))
        .attach(apikey::rocket::supply(store))
        .register("/", apikey::rocket::catchers())
        .mount("/", routes![list, place, greet, of_tenant, health])
        .mount("/admin", apikey::rocket::require(admin, routes![stats, audit, report]));
    rocket::execute(app.launch())?;
    Ok(())
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
