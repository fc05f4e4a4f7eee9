//! A layer outside of the store's finds the verified key with the response, in every framework that has a place for it.

use apikey::{KeyStore, NewKey, VerifiedKey, require_api_key};
use apikey_testkit::Call;

/// A store, and the token of a key of `alice`.
fn keys() -> (KeyStore, String) {
    let store = KeyStore::temporary().unwrap();
    let created = store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap();
    (store, created.key.expose_secret().to_owned())
}

fn owner(key: Option<&VerifiedKey>) -> String {
    key.map_or_else(|| "nobody".to_owned(), |key| key.owner().to_owned())
}

#[tokio::test]
async fn poem() {
    use poem::{EndpointExt, IntoResponse, Route, get, handler, test::TestClient};

    #[require_api_key(perm = "orders:read")]
    #[handler]
    fn list() -> &'static str {
        "orders"
    }

    let (store, token) = keys();
    let app = Route::new().at("/", get(list)).with(apikey::poem::supply(store)).after(|answer| async {
        let answer: poem::Response = answer?;
        let owner = owner(answer.extensions().get::<VerifiedKey>());
        poem::Result::Ok(answer.with_header("x-owner", owner))
    });
    let client = TestClient::new(app);
    client.get("/").header("x-api-key", &token).send().await.assert_header("x-owner", "alice");
    client.get("/").send().await.assert_header("x-owner", "nobody");
}

#[tokio::test]
async fn salvo() {
    use salvo::conn::{Acceptor, Listener, TcpListener};
    use salvo::{Depot, FlowCtrl, Request, Response, Router, Server, Writer, handler};

    #[require_api_key(perm = "orders:read")]
    #[handler]
    async fn list() -> &'static str {
        "orders"
    }

    #[handler]
    async fn log(request: &mut Request, depot: &mut Depot, response: &mut Response, flow: &mut FlowCtrl) {
        flow.call_next(request, depot, response).await;
        let owner = owner(response.extensions.get::<VerifiedKey>());
        response.headers_mut().insert("x-owner", owner.parse().unwrap());
    }

    let (store, token) = keys();
    let routes = Router::new().hoop(log).hoop(apikey::salvo::supply(store)).get(list);
    let acceptor = TcpListener::new("127.0.0.1:0").bind().await;
    let port = acceptor.holdings()[0].local_addr.clone().into_std().unwrap().port();
    tokio::spawn(Server::new(acceptor).serve(routes));
    let answers =
        tokio::task::spawn_blocking(move || [Call::get("/").key(token), Call::get("/")].map(|call| call.send(port)));
    let [with, without] = answers.await.unwrap();
    assert_eq!((with.header("x-owner"), without.header("x-owner")), (Some("alice"), Some("nobody")));
}

#[actix_web::test]
async fn actix() {
    use actix_web::dev::Service;
    use actix_web::{App, test, web};

    #[require_api_key(perm = "orders:read")]
    async fn list() -> &'static str {
        "orders"
    }

    let (store, token) = keys();
    let app =
        App::new().route("/", web::get().to(list)).wrap(apikey::actix_web::supply(store)).wrap_fn(|request, next| {
            let answer = next.call(request);
            async {
                let mut answer = answer.await?;
                let owner = owner(answer.response().extensions().get::<VerifiedKey>());
                let name = actix_web::http::header::HeaderName::from_static("x-owner");
                answer.headers_mut().insert(name, owner.parse().unwrap());
                Ok(answer)
            }
        });
    let app = test::init_service(app).await;
    let request = test::TestRequest::get().insert_header(("x-api-key", token.as_str())).to_request();
    assert_eq!(test::call_service(&app, request).await.headers().get("x-owner").unwrap(), "alice");
}

#[tokio::test]
async fn rocket() {
    use rocket::fairing::AdHoc;
    use rocket::http::Header;
    use rocket::local::asynchronous::Client;

    #[require_api_key(perm = "orders:read")]
    #[rocket::get("/")]
    fn list() -> &'static str {
        "orders"
    }

    let (store, token) = keys();
    let log = AdHoc::on_response("log", |request, response| {
        Box::pin(async move {
            let owner = owner(apikey::rocket::verified_key(request).as_ref());
            response.set_raw_header("x-owner", owner);
        })
    });
    let service = rocket::build().mount("/", rocket::routes![list]).attach(apikey::rocket::supply(store)).attach(log);
    let client = Client::tracked(service).await.unwrap();
    let answer = client.get("/").header(Header::new("x-api-key", token)).dispatch().await;
    assert_eq!(answer.headers().get_one("x-owner"), Some("alice"));
    let answer = client.get("/").dispatch().await;
    assert_eq!(answer.headers().get_one("x-owner"), Some("nobody"));
}
