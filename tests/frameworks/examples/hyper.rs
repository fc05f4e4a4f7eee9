//! hyper, with tower's layers: `cargo run -p apikey-frameworks --example hyper`, and send the requests that it prints.

use std::convert::Infallible;

use apikey::{ApiKeyLayer, KeyStore, PeerAddr, Rejection, Requirement, require_api_key};
use apikey_frameworks::{Outcome, demo};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::{Layer, ServiceExt, service_fn};

#[derive(serde::Deserialize)]
struct Order {
    item: String,
}

type Answer = Result<Response<Full<Bytes>>, Infallible>;

fn text(text: impl Into<Bytes>) -> Answer {
    Ok(Response::new(Full::new(text.into())))
}

fn status(status: StatusCode) -> Answer {
    let mut response = Response::default();
    *response.status_mut() = status;
    Ok(response)
}

#[require_api_key(perm = "orders:read", request = request, key = key)]
async fn list(request: Request<Incoming>) -> Answer {
    text(format!("orders of {}\n", key.owner()))
}

#[require_api_key(perm = "orders:write", request = request, key = key)]
async fn place(request: Request<Incoming>) -> Answer {
    let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
    let Ok(order) = serde_json::from_slice::<Order>(&body.to_bytes()) else { return status(StatusCode::BAD_REQUEST) };
    text(format!("{} for {}\n", order.item, key.owner()))
}

#[require_api_key(optional, request = request, key = key)]
async fn greet(request: Request<Incoming>) -> Answer {
    text(key.map_or("hello, stranger\n".to_owned(), |key| format!("hello, {}\n", key.owner())))
}

/// The orders of a tenant, for its keys: one that does not exist is answered as those of another tenant are.
#[require_api_key(perm = "orders:read", request = request, tenant = tenant)]
async fn of_tenant(request: Request<Incoming>, tenant: &str, number: &str) -> Answer {
    match number {
        "1" => text(format!("order 1 of {tenant}\n")),
        _ => Ok(Rejection::not_found().into()),
    }
}

/// Requires more than the layer around it.
#[require_api_key(perm = "audit:read", request = request, key = key)]
async fn audit(request: Request<Incoming>) -> Answer {
    text(format!("read by {}\n", key.owner()))
}

/// Takes five uses of the key's quota.
#[require_api_key(perm = "audit:read", cost = 5, request = request, key = key)]
async fn report(request: Request<Incoming>) -> Answer {
    text(format!("report for {}\n", key.owner()))
}

/// The layer around these requires `admin`.
async fn admin(request: Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/admin/stats") => text("fine\n"),
        (&Method::GET, "/admin/audit") => audit(request).await,
        (&Method::GET, "/admin/report") => report(request).await,
        _ => status(StatusCode::NOT_FOUND),
    }
}

async fn open(request: Request<Incoming>) -> Answer {
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/orders") => list(request).await,
        (&Method::POST, "/orders") => place(request).await,
        (&Method::GET, "/greet") => greet(request).await,
        (&Method::GET, "/health") => text("ok\n"),
        (&Method::GET, path) => {
            let path = path.to_owned();
            match path.split('/').collect::<Vec<_>>()[..] {
                ["", "tenants", tenant, "orders", number] => of_tenant(request, tenant, number).await,
                _ => status(StatusCode::NOT_FOUND),
            }
        }
        _ => status(StatusCode::NOT_FOUND),
    }
}

#[tokio::main]
pub(crate) async fn run(store: KeyStore, port: u16) -> Outcome {
    let guarded = ApiKeyLayer::require(store.clone(), Requirement::permission("admin")?).layer(service_fn(admin));
    let app = ApiKeyLayer::supply(store).layer(service_fn(move |request: Request<Incoming>| {
        let guarded = guarded.clone();
        async move {
            if request.uri().path().starts_with("/admin/") {
                guarded.oneshot(request).await
            } else {
                open(request).await
            }
        }
    }));
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
