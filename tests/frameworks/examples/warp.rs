//! warp: `cargo run -p apikey-frameworks --example warp`, and send the requests that it prints.

use apikey::warp::{Head, head, recover, require};
use apikey::{ApiKeyLayer, KeyStore, PeerAddr, Rejection, Requirement, require_api_key};
use apikey_frameworks::{Outcome, demo};
use hyper::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::{Layer, ServiceExt};
use warp::reply::{Reply, Response};
use warp::{Filter, get, path, post};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

#[require_api_key(perm = "orders:read", request = head, key = key)]
async fn list(head: Head) -> Response {
    format!("orders of {}\n", key.owner()).into_response()
}

#[require_api_key(perm = "orders:write", request = head, key = key)]
async fn place(head: Head, order: Order) -> Response {
    format!("{} for {}\n", order.item, key.owner()).into_response()
}

#[require_api_key(optional, request = head, key = key)]
async fn greet(head: Head) -> Response {
    key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner())).into_response()
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = head, tenant = tenant)]
async fn of_tenant(tenant: String, number: u32, head: Head) -> Response {
    match number {
        1 => format!("order 1 of {tenant}\n").into_response(),
        _ => Rejection::not_found().into_response(),
    }
}

/// Requires more than the filter before it.
#[require_api_key(perm = "audit:read", request = head, key = key)]
async fn audit(head: Head) -> Response {
    format!("read by {}\n", key.owner()).into_response()
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5, request = head, key = key)]
async fn report(head: Head) -> Response {
    format!("report for {}\n", key.owner()).into_response()
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    // The guard comes before the body: it refuses a bad key before anything reads the JSON.
    let writes = require(store.clone(), Requirement::permission("orders:write")?);
    let orders = path!("orders").and(get().and(head()).then(list));
    let place = path!("orders").and(post()).and(writes).and(warp::body::json()).then(place);
    let greet = path!("greet").and(get()).and(head()).then(greet);
    let of_tenant = path!("tenants" / String / "orders" / u32).and(get()).and(head()).then(of_tenant);
    let health = path!("health").and(get()).map(|| "ok\n");
    // Everything under this path requires `admin`.
    let admin = path("admin").and(require(store.clone(), Requirement::permission("admin")?));
    let stats = admin.clone().and(path!("stats")).and(get()).map(|_| "fine\n");
    let audit = admin.clone().and(path!("audit")).and(get()).then(audit);
    let report = admin.and(path!("report")).and(get()).then(report);
    let routes = orders.or(place).or(greet).or(of_tenant).or(health).or(stats).or(audit).or(report).recover(recover);

    // With `supply(store)` instead of `head()`, `warp::serve(routes)` is enough: see docs/guides/frameworks.md.
    let app = ApiKeyLayer::supply(store).layer(warp::service(routes));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        // For keys with networks: hyper does not store the caller's address.
        let with_peer = app.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr::from(peer));
            request
        });
        let service = TowerToHyperService::new(with_peer);
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

pub(crate) fn main() -> Outcome {
    let (store, port) = demo()?;
    run(store, port)
}
