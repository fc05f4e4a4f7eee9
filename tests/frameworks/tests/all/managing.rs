//! The API for managing keys, and the console, in every framework: one table of requests, and the same answers to all of them.

use std::convert::Infallible;
use std::thread;

use apikey::console::Console;
use apikey::management::Management;
use apikey::{KeyStore, NewKey};
use apikey_testkit::{Answer, Call, free_port, is_up, management};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tower::{Layer, service_fn};

const MOUNT: &str = "/admin/v1";

fn api(store: &KeyStore) -> Management {
    Management::new(store.clone()).offer(["orders:read", "orders:write"])
}

/// Every framework, with the function that serves this service below the mount.
macro_rules! frameworks {
    ($service:ty) => {
        [
            ("actix-web", actix as fn($service, u16)),
            ("axum", axum),
            ("hyper", hyper),
            ("poem", poem),
            ("rocket", rocket),
            ("salvo", salvo),
            ("tonic", tonic),
            ("tower", tower_alone),
            ("warp", warp),
        ]
    };
}

/// What a service is in each framework.
trait Service:
    apikey::management::Served
    + poem::Endpoint
    + salvo::Handler
    + tower::Service<
        http::Request<hyper::body::Incoming>,
        Response = http::Response<String>,
        Error = Infallible,
        Future = apikey::management::ServiceFuture,
    > + tower::Service<
        http::Request<axum::body::Body>,
        Response = http::Response<String>,
        Error = Infallible,
        Future = apikey::management::ServiceFuture,
    >
{
    fn at(self, path: &str) -> apikey::management::Mount<Self>;
}

impl Service for Management {
    fn at(self, path: &str) -> apikey::management::Mount<Self> {
        Management::at(self, path)
    }
}

impl Service for Console {
    fn at(self, path: &str) -> apikey::management::Mount<Self> {
        Console::at(self, path)
    }
}

#[actix_web::main]
async fn actix<S: Service>(api: S, port: u16) {
    let app = move || actix_web::App::new().service(apikey::actix_web::manage(MOUNT, api.clone()));
    actix_web::HttpServer::new(app).workers(1).bind(("127.0.0.1", port)).unwrap().run().await.unwrap();
}

#[tokio::main]
async fn axum<S: Service>(api: S, port: u16) {
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
async fn hyper<S: Service>(api: S, port: u16) {
    let other = service_fn(async |_| Ok::<_, Infallible>(http::Response::new("other".to_owned())));
    serve(api.at(MOUNT).layer(other), port).await;
}

/// The service alone, whose path is the mount's.
#[tokio::main]
async fn tower_alone<S: Service>(api: S, port: u16) {
    let strip = tower::util::MapRequestLayer::new(|mut request: http::Request<hyper::body::Incoming>| {
        let target = request.uri().path_and_query().unwrap().as_str().strip_prefix(MOUNT).unwrap().parse().unwrap();
        *request.uri_mut() = target;
        request
    });
    serve(strip.layer(api), port).await;
}

#[tokio::main]
async fn poem<S: Service>(api: S, port: u16) {
    let app = poem::Route::new().nest(MOUNT, api);
    poem::Server::new(poem::listener::TcpListener::bind(("127.0.0.1", port))).run(app).await.unwrap();
}

fn rocket<S: Service>(api: S, port: u16) {
    rocket::execute(async move {
        let config = rocket::Config { port, log_level: rocket::config::LogLevel::Off, ..rocket::Config::default() };
        rocket::custom(config).mount(MOUNT, apikey::rocket::manage(api)).launch().await.unwrap();
    });
}

#[tokio::main]
async fn salvo<S: Service>(api: S, port: u16) {
    use salvo::prelude::*;
    let router = Router::new()
        .push(Router::with_path("admin/v1").goal(api.clone()))
        .push(Router::with_path("admin/v1/{**path}").goal(api));
    let acceptor = salvo::conn::TcpListener::new(format!("127.0.0.1:{port}")).bind().await;
    Server::new(acceptor).serve(router).await;
}

#[tokio::main]
async fn tonic<S: Service>(api: S, port: u16) {
    let routes = tonic::service::Routes::from(axum::Router::new().nest_service(MOUNT, api));
    let server = tonic::transport::Server::builder().accept_http1(true).add_routes(routes);
    server.serve(([127, 0, 0, 1], port).into()).await.unwrap();
}

#[tokio::main]
async fn warp<S: Service>(api: S, port: u16) {
    use warp::Filter;
    let other = warp::service(warp::path("other").map(|| "other"));
    serve(api.at(MOUNT).layer(other), port).await;
}

#[test]
fn every_framework_answers_every_row_of_the_table() {
    let mut expected: Option<Vec<String>> = None;
    for (name, serve) in frameworks!(Management) {
        let store = KeyStore::builder().count_use(true).temporary().unwrap();
        let port = start(serve, || api(&store));
        let rows = management::run(&store, |call| call.below(MOUNT).send(port));
        assert!(rows.len() >= 120, "{name}");
        let expected = expected.get_or_insert_with(|| rows.clone());
        let other = rows.iter().zip(expected.iter()).find(|(row, expected)| row != expected);
        assert!(other.is_none() && rows.len() == expected.len(), "{name}: {other:?}");
    }
}

#[test]
fn every_framework_serves_the_console() {
    for (name, serve) in frameworks!(Console) {
        let store = KeyStore::temporary().unwrap();
        let admin = store.create(NewKey::for_owner("root").permissions(["*"])).unwrap();
        let port = start(serve, || Console::new(api(&store)));
        let send = |call: Call| call.below(MOUNT).send(port);
        let own = |call: Call| send(call.header("sec-fetch-site", "same-origin"));
        let page = send(Call::get("/"));
        assert!(page.status == 200 && page.body.starts_with("<!doctype html>"), "{name}");
        let tag = page.header("etag").unwrap();
        assert_eq!(send(Call::get("/").header("if-none-match", tag)).status, 304, "{name}");
        let is_bound = |answer: &Answer| {
            answer.header("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none';"))
        };
        // A browser finds the files of the page below it. The service alone does not see what is before its own path.
        let path = if name == "tower" { "/nothing" } else { "?node=a" };
        let slash = send(Call::get(path));
        let expected = if name == "tower" { (404, None) } else { (308, Some("./v1/?node=a")) };
        assert_eq!((slash.status, slash.header("location")), expected, "{name}");
        let stranger = own(Call::get("/session"));
        assert_eq!((stranger.status, stranger.code().as_str()), (401, "no_session"), "{name}");
        let key = || format!(r#"{{"key":"{}"}}"#, admin.key.expose_secret());
        let foreign = send(Call::post("/session", key()).header("sec-fetch-site", "cross-site"));
        assert_eq!((foreign.status, foreign.code().as_str()), (403, "cross_origin"), "{name}");
        assert!(is_bound(&page) && is_bound(&slash) && is_bound(&stranger) && is_bound(&foreign), "{name}");
        let signed_in = own(Call::post("/session", key()));
        assert_eq!(signed_in.status, 201, "{name}: {}", signed_in.body);
        let cookie = signed_in.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
        let with = |call: Call| own(call.header("cookie", &cookie));
        let created = with(Call::post("/api/keys", r#"{"owner":"a/b","permissions":["orders:read"]}"#));
        assert_eq!(created.status, 201, "{name}: {}", created.body);
        assert_eq!(with(Call::post("/api/owners/a%2Fb/revoke", "{}")).json()["count"], 1, "{name}");
        assert_eq!(with(Call::get("/api/keys?owner=a%2Fb")).json()["keys"].as_array().unwrap().len(), 1, "{name}");
        let sessions = with(Call::get("/sessions")).json();
        assert_eq!(sessions["sessions"].as_array().unwrap().len(), 1, "{name}");
        assert_eq!(with(Call::delete("/session")).status, 204, "{name}");
        assert_eq!(with(Call::get("/api/keys")).status, 401, "{name}");
    }
}

fn start<S: Send + 'static>(serve: fn(S, u16), service: impl Fn() -> S) -> u16 {
    for _ in 0..10 {
        let port = free_port();
        let service = service();
        let server = thread::spawn(move || serve(service, port));
        while !server.is_finished() {
            if is_up(port) {
                return port;
            }
            thread::yield_now();
        }
    }
    panic!("it does not start");
}
