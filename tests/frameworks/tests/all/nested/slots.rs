//! Frameworks that have one place for a store, in the request or in the program.

use std::convert::Infallible;
use std::net::SocketAddr;

use apikey::{ApiKeyLayer, KeyStore, Rejection, VerifiedKey, require_api_key};
use axum::{Extension, Router};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use poem::EndpointExt;
use poem::endpoint::BoxEndpoint;
use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::request::{FromRequest, Outcome};
use tokio::net::TcpListener;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt, service_fn};
use warp::Filter;

use super::{INNER, Row, any_key, inner, outer};

pub(super) async fn rows() -> Vec<Row> {
    let mut rows = axum_rows().await;
    rows.extend(poem_rows().await);
    rows.extend(hyper_rows().await);
    rows.extend(warp_rows().await);
    rows.push(rocket_row());
    rows
}

async fn bind() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[require_api_key(perm = "orders:read")]
async fn by_axum(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

async fn axum_rows() -> Vec<Row> {
    const FORMS: [&str; 3] = ["supply", "extension", "require"];
    let with = |router: Router, form, store: KeyStore| match form {
        "supply" => router.layer(ApiKeyLayer::supply(store)),
        "extension" => router.layer(Extension(store)),
        _ => router.layer(ApiKeyLayer::require(store, any_key())),
    };
    let (mut app, mut paths) = (Router::new(), Vec::new());
    for around in ["supply", "extension"] {
        for within in FORMS {
            let innermost = with(Router::new().route("/", axum::routing::get(by_axum)), within, inner());
            let path = format!("/{around}-{within}");
            app = app.nest(&path, with(Router::new().nest("/in", innermost), around, outer()));
            paths.push(path);
        }
    }
    let (listener, port) = bind().await;
    tokio::spawn(async move { axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await });
    paths.into_iter().map(|path| Row::http(format!("axum, {path}"), port, format!("{path}/in"))).collect()
}

#[require_api_key(perm = "orders:read")]
#[poem::handler]
fn by_poem(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

async fn poem_rows() -> Vec<Row> {
    let with = |route: poem::Route, form, store: KeyStore| -> BoxEndpoint<'static, poem::Response> {
        match form {
            "supply" => route.with(apikey::poem::supply(store)).boxed(),
            "data" => route.data(store).map_to_response().boxed(),
            _ => route.with(apikey::poem::require(store, any_key())).boxed(),
        }
    };
    let (mut app, mut paths) = (poem::Route::new(), Vec::new());
    for around in ["supply", "data"] {
        for within in ["supply", "data", "require"] {
            let innermost = with(poem::Route::new().at("/", poem::get(by_poem)), within, inner());
            let path = format!("/{around}-{within}");
            app = app.nest(&path, with(poem::Route::new().nest("/in", innermost), around, outer()));
            paths.push(path);
        }
    }
    let (listener, port) = bind().await;
    let acceptor = poem::listener::TcpAcceptor::from_tokio(listener).unwrap();
    tokio::spawn(poem::Server::new_with_acceptor(acceptor).run(app));
    paths.into_iter().map(|path| Row::http(format!("poem, {path}"), port, format!("{path}/in"))).collect()
}

type Answer = Response<Full<Bytes>>;

#[require_api_key(perm = "orders:read", request = request, key = key)]
async fn by_hyper(request: Request<Incoming>) -> Result<Answer, Infallible> {
    Ok(Response::new(key.owner().to_owned().into()))
}

async fn hyper_rows() -> Vec<Row> {
    let handler = || service_fn(by_hyper);
    let supplied = ApiKeyLayer::supply(outer()).layer(ApiKeyLayer::supply(inner()).layer(handler()));
    let required = ApiKeyLayer::supply(outer()).layer(ApiKeyLayer::require(inner(), any_key()).layer(handler()));
    let left = handler().map_request(|mut request: Request<Incoming>| {
        request.extensions_mut().insert(inner());
        request
    });
    let left = ApiKeyLayer::supply(outer()).layer(left);
    vec![
        Row::http("hyper, supply", serve(supplied).await, "/"),
        Row::http("hyper, require", serve(required).await, "/"),
        Row::http("hyper, extension", serve(left).await, "/"),
    ]
}

/// Serves with hyper; returns the port.
async fn serve<S, B>(service: S) -> u16
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let service = BoxCloneSyncService::new(service);
    let (listener, port) = bind().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(connection);
        }
    });
    port
}

#[require_api_key(perm = "orders:read", request = head, key = key)]
async fn by_warp(head: apikey::warp::Head) -> warp::reply::Response {
    warp::reply::Reply::into_response(key.owner().to_owned())
}

async fn warp_rows() -> Vec<Row> {
    let supplied = warp::path!("supply").and(apikey::warp::supply(inner())).then(by_warp);
    let required = warp::path!("require").and(apikey::warp::require(inner(), any_key())).then(by_warp);
    let routes = supplied.or(required).recover(apikey::warp::recover);
    let port = serve(ApiKeyLayer::supply(outer()).layer(warp::service(routes))).await;
    ["/supply", "/require"].map(|path| Row::http(format!("warp, {path}"), port, path)).into()
}

/// A rocket has one store, and does not launch with two. A request guard of the application's own names another one.
struct Caller(String);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Caller {
    type Error = Rejection;

    async fn from_request(request: &'r rocket::Request<'_>) -> Outcome<Self, Rejection> {
        match caller(request) {
            Ok(owner) => Outcome::Success(Self(owner)),
            Err(rejection) => Outcome::Error((Status::new(rejection.status()), rejection)),
        }
    }
}

#[require_api_key(perm = "orders:read", request = request, store = INNER.store, key = key)]
fn caller(request: &rocket::Request<'_>) -> Result<String, Rejection> {
    Ok(key.owner().to_owned())
}

#[rocket::get("/")]
fn by_rocket(caller: Caller) -> String {
    caller.0
}

fn rocket_row() -> Row {
    let (sender, port) = std::sync::mpsc::channel();
    let config = rocket::Config::figment().merge(("log_level", "off")).merge(("port", 0));
    let app = rocket::custom(config)
        .attach(apikey::rocket::supply(outer()))
        .attach(AdHoc::on_liftoff("port", move |rocket| {
            Box::pin(async move { sender.send(rocket.config().port).unwrap() })
        }))
        .mount("/", rocket::routes![by_rocket]);
    std::thread::spawn(move || rocket::execute(app.launch()).map(drop).unwrap());
    Row::http("rocket, the store of a guard", port.recv().unwrap(), "/")
}
