//! Where each framework finds the store: its own ways, and what happens without a store.

use std::error::Error;
use std::sync::LazyLock;

use actix_web::web;
use apikey::{KeyStore, NewKey, Rejection, VerifiedKey, require_api_key};
use apikey_testkit::Call;
use poem::EndpointExt;
use salvo::Writer;
use warp::Filter;

/// A store, and a key in it.
static KEYS: LazyLock<(KeyStore, String)> = LazyLock::new(|| {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
    let key = created.key.expose_secret().to_owned();
    (store, key)
});

#[require_api_key(perm = "orders:read")]
#[actix_web::get("/")]
async fn by_actix(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

/// In the body, and below the route: both work in actix-web.
#[actix_web::get("/body")]
#[require_api_key(perm = "orders:read", request = request, key = key)]
async fn by_actix_in_body(request: actix_web::HttpRequest) -> actix_web::HttpResponse {
    actix_web::HttpResponse::Ok().body(key.owner().to_owned())
}

#[actix_web::get("/result")]
#[require_api_key(perm = "orders:read", request = request, key = key)]
async fn by_actix_in_body_with_result(request: actix_web::HttpRequest) -> actix_web::Result<String> {
    Ok(key.owner().to_owned())
}

#[actix_web::test]
async fn actix_web_takes_app_data() {
    use actix_web::test::{TestRequest, call_service, init_service};
    let (store, key) = &*KEYS;
    macro_rules! status {
        ($app:expr, $path:expr, $key:expr) => {{
            let app =
                init_service($app.service(by_actix).service(by_actix_in_body).service(by_actix_in_body_with_result));
            let request = TestRequest::get().uri($path).insert_header(("X-API-Key", $key));
            call_service(&app.await, request.to_request()).await.status().as_u16()
        }};
    }
    for path in ["/", "/body", "/result"] {
        assert_eq!(status!(actix_web::App::new().app_data(store.clone()), path, key.as_str()), 200);
        assert_eq!(status!(actix_web::App::new().app_data(web::Data::new(store.clone())), path, key.as_str()), 200);
        assert_eq!(status!(actix_web::App::new().app_data(store.clone()), path, "bad"), 401);
        assert_eq!(status!(actix_web::App::new(), path, key.as_str()), 503);
    }
}

#[require_api_key(perm = "orders:read")]
#[poem::handler]
fn by_poem(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

struct Api;

#[poem_openapi::OpenApi]
impl Api {
    #[oai(path = "/api", method = "get")]
    #[require_api_key(perm = "orders:read", key = key)]
    async fn list(&self, request: &poem::Request) -> poem::Result<poem_openapi::payload::PlainText<String>> {
        let _ = request;
        Ok(poem_openapi::payload::PlainText(key.owner().to_owned()))
    }
}

#[tokio::test]
async fn poem_takes_data() {
    let (store, key) = &*KEYS;
    let app = || {
        let api = poem_openapi::OpenApiService::new(Api, "test", "1");
        poem::Route::new().at("/", poem::get(by_poem)).nest("/v1", api)
    };
    for path in ["/", "/v1/api"] {
        let with = poem::test::TestClient::new(app().data(store.clone()));
        with.get(path).header("X-API-Key", key).send().await.assert_status_is_ok();
        let refused = with.get(path).send().await;
        refused.assert_status(poem::http::StatusCode::UNAUTHORIZED);
        refused.assert_header_exist("www-authenticate");
        let without = poem::test::TestClient::new(app());
        let refused = without.get(path).header("X-API-Key", key).send().await;
        refused.assert_status(poem::http::StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn poem_shows_a_refusal_to_a_handler_of_errors() {
    let app = poem::Route::new().at("/", poem::get(by_poem)).catch_error(|rejection: Rejection| async move {
        poem::Response::builder().status(poem::http::StatusCode::IM_A_TEAPOT).body(rejection.to_string())
    });
    let client = poem::test::TestClient::new(app.with(apikey::poem::supply(KEYS.0.clone())));
    let answer = client.get("/").send().await;
    answer.assert_status(poem::http::StatusCode::IM_A_TEAPOT);
    answer.assert_text("API key missing").await;
}

#[require_api_key(perm = "orders:read")]
#[rocket::get("/")]
fn by_rocket(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[rocket::catch(401)]
fn plain() -> &'static str {
    "who are you?"
}

fn bare_rocket() -> rocket::Rocket<rocket::Build> {
    let config = rocket::Config::figment().merge(("log_level", "off"));
    rocket::custom(config).mount("/", rocket::routes![by_rocket])
}

#[test]
fn a_rocket_without_a_store_does_not_launch() {
    use rocket::local::blocking::Client;
    let error = Client::untracked(bare_rocket()).unwrap_err();
    assert!(matches!(error.kind(), rocket::error::ErrorKind::SentinelAborts(_)), "{error}");
    let (store, key) = &*KEYS;
    for app in [bare_rocket().manage(store.clone()), bare_rocket().attach(apikey::rocket::supply(store.clone()))] {
        let client = Client::untracked(app).unwrap();
        let request = client.get("/").header(rocket::http::Header::new("X-API-Key", key.as_str()));
        assert_eq!(request.dispatch().into_string().unwrap(), "alice");
    }
    // Two stores in one rocket are ambiguous.
    let twice = bare_rocket().manage(store.clone()).attach(apikey::rocket::supply(store.clone()));
    assert!(matches!(Client::untracked(twice).unwrap_err().kind(), rocket::error::ErrorKind::FailedFairings(_)));
}

#[test]
fn rocket_adds_the_challenge_to_a_catcher_without_one() {
    let app = bare_rocket().attach(apikey::rocket::supply(KEYS.0.clone())).register("/", rocket::catchers![plain]);
    let client = rocket::local::blocking::Client::untracked(app).unwrap();
    let response = client.get("/").dispatch();
    let header = |name: &str| response.headers().get(name).collect::<Vec<_>>().join("|");
    assert_eq!(header("www-authenticate"), "ApiKey realm=\"api\", header=\"X-API-Key\"");
    assert_eq!((header("cache-control").as_str(), header("vary").as_str()), ("no-store", "X-API-Key"));
    assert_eq!(response.into_string().unwrap(), "who are you?");
}

#[require_api_key(perm = "orders:read")]
#[salvo::handler]
async fn by_salvo(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[require_api_key(perm = "orders:read", request = req, store = depot.get_typed::<KeyStore>().unwrap(), key = key, on_reject = |rejection| res.render(rejection))]
#[salvo::handler]
async fn by_salvo_in_body(req: &mut salvo::Request, depot: &mut salvo::Depot, res: &mut salvo::Response) {
    res.render(key.owner().to_owned());
}

/// Serves these routes; returns the port.
pub(crate) async fn serve(routes: salvo::Router) -> u16 {
    use salvo::conn::{Acceptor, Listener, TcpListener};
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let port = acceptor.holdings()[0].local_addr.clone().into_std().unwrap().port();
    tokio::spawn(salvo::Server::new(acceptor).serve(routes));
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn salvo_takes_the_store_in_the_depot() {
    use salvo::Router;
    let (store, key) = &*KEYS;
    let app = || Router::new().get(by_salvo).push(Router::with_path("body").get(by_salvo_in_body));
    let with = serve(app().hoop(salvo::affix_state::inject(store.clone()))).await;
    for path in ["/", "/body"] {
        assert_eq!(Call::get(path).key(key).send(with).body, "alice", "{path}");
        let refused = Call::get(path).send(with);
        assert_eq!(refused.status, 401, "{path}");
        assert_eq!(refused.all("www-authenticate").len(), 1, "{path}");
    }
    let without = serve(app()).await;
    assert_eq!(Call::get("/").key(key).send(without).status, 503);
}

#[require_api_key(perm = "orders:read", request = head, key = key)]
async fn by_warp(head: apikey::warp::Head) -> Result<String, warp::Rejection> {
    Ok(key.owner().to_owned())
}

#[tokio::test]
async fn warp_takes_a_store_in_a_filter() {
    let (store, key) = &*KEYS;
    let with = warp::path!("with").and(apikey::warp::supply(store.clone())).and_then(by_warp);
    let without = warp::path!("without").and(apikey::warp::head()).and_then(by_warp);
    let routes = with.or(without).recover(apikey::warp::recover);
    let get = |path: &str| warp::test::request().path(path);
    assert_eq!(get("/with").header("x-api-key", key).reply(&routes).await.body(), "alice");
    let refused = get("/with").reply(&routes).await;
    assert_eq!(refused.status(), 401);
    assert!(refused.headers().contains_key("www-authenticate"));
    assert_eq!(get("/without").header("x-api-key", key).reply(&routes).await.status(), 503);
    // Another rejection stays as it is.
    assert_eq!(get("/nowhere").reply(&routes).await.status(), 404);
    // Without `recover`, warp answers 500.
    let bare = warp::any().and(apikey::warp::supply(store.clone())).and_then(by_warp);
    assert_eq!(get("/").reply(&bare).await.status(), 500);
}

/// The source is the request's metadata, not the request.
#[require_api_key(perm = "orders:read", request = request.metadata(), store = KEYS.0, key = key)]
async fn by_tonic(request: tonic::Request<()>) -> Result<String, Box<dyn Error>> {
    Ok(key.owner().to_owned())
}

#[tokio::test]
async fn tonic_takes_metadata_and_a_store() {
    let mut request = tonic::Request::new(());
    assert_eq!(by_tonic(tonic::Request::new(())).await.unwrap_err().to_string(), "API key missing");
    request.metadata_mut().insert("x-api-key", KEYS.1.parse().unwrap());
    assert_eq!(by_tonic(request).await.unwrap(), "alice");
}

/// A handler for every method answers a preflight too; `preflight(false)` refuses it.
#[tokio::test(flavor = "multi_thread")]
async fn preflights_can_be_refused() {
    #[poem::handler]
    fn poem_any() -> &'static str {
        "any"
    }
    #[salvo::handler]
    async fn salvo_any() -> &'static str {
        "any"
    }
    let (store, needed) = (&KEYS.0, apikey::Requirement::authenticated());
    for (passes, status) in [(true, 200), (false, 401)] {
        let guard = apikey::poem::require(store.clone(), needed.clone()).preflight(passes);
        let client = poem::test::TestClient::new(poem::Route::new().at("/", poem_any).with(guard));
        let request = client.options("/").header("origin", "http://page.test");
        let answer = request.header("access-control-request-method", "GET").send().await;
        assert_eq!(answer.0.status().as_u16(), status);

        let guard = apikey::salvo::require(store.clone(), needed.clone()).preflight(passes);
        let port = serve(salvo::Router::new().hoop(guard).goal(salvo_any)).await;
        assert_eq!(Call::preflight("/", "GET").send(port).status, status);
    }
}

#[actix_web::test]
async fn preflights_can_be_refused_in_actix_web() {
    use actix_web::test::{TestRequest, call_service, init_service};
    let (store, needed) = (&KEYS.0, apikey::Requirement::authenticated());
    for (passes, status) in [(true, 200), (false, 401)] {
        let guard = apikey::actix_web::require(store.clone(), needed.clone()).preflight(passes);
        let any = web::route().to(|| async { "any" });
        let app = init_service(actix_web::App::new().route("/", any).wrap(guard)).await;
        let request = TestRequest::default().method(actix_web::http::Method::OPTIONS).uri("/");
        let request = request.insert_header(("origin", "http://page.test"));
        let request = request.insert_header(("access-control-request-method", "GET"));
        assert_eq!(call_service(&app, request.to_request()).await.status().as_u16(), status);
    }
}
