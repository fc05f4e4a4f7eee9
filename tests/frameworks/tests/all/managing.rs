//! The API for managing keys in every framework: one table of requests, and the same answers to all of them.

use std::convert::Infallible;
use std::thread;

use apikey::KeyStore;
use apikey::management::Management;
use apikey_testkit::{free_port, is_up, management};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::{Layer, service_fn};

const MOUNT: &str = "/admin/v1";

fn api(store: &KeyStore) -> Management {
    Management::new(store.clone()).offer(["orders:read", "orders:write"])
}

type Serve = fn(Management, u16);

const FRAMEWORKS: [(&str, Serve); 9] = [
    ("actix-web", actix),
    ("axum", axum),
    ("hyper", hyper),
    ("poem", poem),
    ("rocket", rocket),
    ("salvo", salvo),
    ("tonic", tonic),
    ("tower", tower_alone),
    ("warp", warp),
];

#[actix_web::main]
async fn actix(api: Management, port: u16) {
    let app = move || actix_web::App::new().service(apikey::actix_web::manage(MOUNT, api.clone()));
    actix_web::HttpServer::new(app).workers(1).bind(("127.0.0.1", port)).unwrap().run().await.unwrap();
}

#[tokio::main]
async fn axum(api: Management, port: u16) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    axum::serve(listener, axum::Router::new().nest_service(MOUNT, api)).await.unwrap();
}

/// Serves a tower service by hyper.
async fn serve<S, C>(service: S, port: u16)
where
    S: tower::Service<http::Request<hyper::body::Incoming>, Response = http::Response<C>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    C: http_body_util::BodyExt + Send + 'static,
    C::Data: Send,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(service.clone());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

#[tokio::main]
async fn hyper(api: Management, port: u16) {
    let other = service_fn(async |_| Ok::<_, Infallible>(http::Response::new("other".to_owned())));
    serve(api.at(MOUNT).layer(other), port).await;
}

/// The service alone, whose path is the mount's.
#[tokio::main]
async fn tower_alone(api: Management, port: u16) {
    let strip = tower::util::MapRequestLayer::new(|mut request: http::Request<hyper::body::Incoming>| {
        let target = request.uri().path_and_query().unwrap().as_str().strip_prefix(MOUNT).unwrap().parse().unwrap();
        *request.uri_mut() = target;
        request
    });
    serve(strip.layer(api), port).await;
}

#[tokio::main]
async fn poem(api: Management, port: u16) {
    let app = poem::Route::new().nest(MOUNT, api);
    poem::Server::new(poem::listener::TcpListener::bind(("127.0.0.1", port))).run(app).await.unwrap();
}

fn rocket(api: Management, port: u16) {
    rocket::execute(async move {
        let config = rocket::Config { port, log_level: rocket::config::LogLevel::Off, ..rocket::Config::default() };
        rocket::custom(config).mount(MOUNT, apikey::rocket::manage(api)).launch().await.unwrap();
    });
}

#[tokio::main]
async fn salvo(api: Management, port: u16) {
    use salvo::prelude::*;
    let router = Router::with_path("admin/v1/{**path}").goal(api);
    let acceptor = salvo::conn::TcpListener::new(format!("127.0.0.1:{port}")).bind().await;
    Server::new(acceptor).serve(router).await;
}

#[tokio::main]
async fn tonic(api: Management, port: u16) {
    let routes = tonic::service::Routes::from(axum::Router::new().nest_service(MOUNT, api));
    let server = tonic::transport::Server::builder().accept_http1(true).add_routes(routes);
    server.serve(([127, 0, 0, 1], port).into()).await.unwrap();
}

#[tokio::main]
async fn warp(api: Management, port: u16) {
    use warp::Filter;
    let other = warp::service(warp::path("other").map(|| "other"));
    serve(api.at(MOUNT).layer(other), port).await;
}

#[test]
fn every_framework_answers_every_row_of_the_table() {
    let mut expected: Option<Vec<String>> = None;
    for (name, serve) in FRAMEWORKS {
        let store = KeyStore::builder().count_use(true).temporary().unwrap();
        let port = start(serve, &store);
        let rows = management::run(&store, |call| call.below(MOUNT).send(port));
        assert!(rows.len() >= 120, "{name}");
        let expected = expected.get_or_insert_with(|| rows.clone());
        let other = rows.iter().zip(expected.iter()).find(|(row, expected)| row != expected);
        assert!(other.is_none() && rows.len() == expected.len(), "{name}: {other:?}");
    }
}

fn start(serve: Serve, store: &KeyStore) -> u16 {
    for _ in 0..10 {
        let port = free_port();
        let api = api(store);
        let server = thread::spawn(move || serve(api, port));
        while !server.is_finished() {
            if is_up(port) {
                return port;
            }
            thread::yield_now();
        }
    }
    panic!("it does not start");
}
