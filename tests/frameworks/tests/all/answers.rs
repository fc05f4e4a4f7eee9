//! What handlers that manage keys answer: the same problems and the same new secrets in every framework.

use std::io;
use std::sync::LazyLock;

use apikey::{
    CapViolation, Conflict, KeyStore, NewKey, PlainResponse, Problem, SecretResponse, StoreError, VerifiedKey,
    from_json,
};
use apikey_testkit::Answer;
use serde_json::Value;

static STORE: LazyLock<KeyStore> = LazyLock::new(|| KeyStore::temporary().unwrap());

/// One row of the table: a name, the status and the code of its answer. A row without a code is a secret.
const TABLE: &[(&str, u16, &str)] = &[
    ("created", 201, ""),
    ("rotated", 200, ""),
    ("unauthenticated", 401, "missing_api_key"),
    ("not-found", 404, "not_found"),
    ("bad-id", 404, "not_found"),
    ("exceeds", 403, "exceeds_actor"),
    ("invalid", 422, "invalid_field"),
    ("unknown", 422, "invalid_field"),
    ("no-json", 400, "invalid_json"),
    ("revoked", 409, "revoked_key"),
    ("held", 409, "digest_held"),
    ("tenant-ended", 409, "tenant_ended"),
    ("io", 503, "unavailable"),
    ("not-durable", 503, "unavailable"),
    ("rotator", 503, "unavailable"),
    ("rotator-waits", 503, "unavailable"),
];

/// What a handler does in each row; `?` makes the problem of each error.
fn answer(row: &str) -> Result<SecretResponse, Problem> {
    let key = || NewKey::for_owner("alice");
    let disk = || io::Error::other("/var/lib/acme/keys.db: no space left on the device");
    match row {
        "created" => return Ok(SecretResponse::created(STORE.create(key())?).location("/keys/1")),
        "rotated" => {
            let id = STORE.create(key())?.info.id();
            return Ok(SecretResponse::rotated(STORE.rotate(id, apikey::Overlap::None)?));
        }
        "unauthenticated" => {
            refuse()?;
        }
        "not-found" => drop(STORE.rotate("01931a4e-7c3b-7def-8123-456789abcdef".parse()?, apikey::Overlap::None)?),
        "bad-id" => drop("17".parse::<apikey::KeyId>()?),
        "exceeds" => Err(StoreError::Exceeds(CapViolation::Grant("orders:*".into())))?,
        "invalid" => drop(STORE.create(key().permissions(["a:b", "A:B"]))?),
        "unknown" => drop(from_json::<NewKey>(r#"{"owner":"alice","colour":"blue"}"#)?),
        "no-json" => drop(from_json::<NewKey>("owner=alice")?),
        "revoked" => {
            let id = STORE.create(key())?.info.id();
            STORE.revoke(id, "test")?;
            STORE.rotate(id, apikey::Overlap::None)?;
        }
        "held" => Err(StoreError::Conflict(Conflict::DigestTwice))?,
        "tenant-ended" => {
            STORE.end_tenant("ended", "test")?;
            STORE.tenant("ended")?.create(key())?;
        }
        "io" => Err(StoreError::Io { source: disk() })?,
        "not-durable" => Err(StoreError::NotDurable { source: disk() })?,
        "rotator-waits" => Err(StoreError::Conflict(Conflict::RotatorWaits))?,
        "rotator" => Err(StoreError::Conflict(Conflict::Rotator))?,
        _ => panic!("no row {row}"),
    }
    panic!("{row} is an error")
}

fn refuse() -> Result<VerifiedKey, apikey::Rejection> {
    Err(apikey::Rejection::of(&STORE, apikey::AuthError::Missing))
}

/// Sends every row to a framework, whose handlers answer with [`answer`].
async fn check(who: &str, send: impl AsyncFn(&'static str) -> Answer) {
    for (row, status, code) in TABLE {
        let answer = send(row).await;
        let who = format!("{who} {row}: {}", answer.status);
        assert_eq!(answer.status, *status, "{who}");
        assert_eq!(answer.all("cache-control"), ["no-store"], "{who}");
        let body = answer.json();
        if code.is_empty() {
            assert_eq!(answer.all("content-type"), ["application/json"], "{who}");
            assert_eq!(answer.header("location"), (*row == "created").then_some("/keys/1"), "{who}");
            let verified = STORE.verify(body["key"].as_str().unwrap()).unwrap();
            assert_eq!((&body["id"], &body["state"]), (&verified.id().to_string().into(), &"active".into()), "{who}");
            continue;
        }
        assert_eq!(answer.all("content-type"), ["application/problem+json"], "{who}");
        assert_eq!(answer.all("www-authenticate").len(), usize::from(*status == 401), "{who}");
        assert_eq!((&body["status"], &body["code"]), (&(*status).into(), &(*code).into()), "{who}");
        assert!(!answer.body.contains("acme") && !answer.body.contains("space"), "{who}");
        let member = match *row {
            "exceeds" => (&body["violation"]["grant"], Value::from("orders:*")),
            "invalid" => (&body["errors"][0]["pointer"], "#/permissions/1".into()),
            "unknown" => (&body["errors"][0]["pointer"], "#/colour".into()),
            "not-durable" => (&body["in_force"], true.into()),
            _ => continue,
        };
        assert_eq!(member.0, &member.1, "{who}");
    }
}

fn of_http(response: http::Response<String>) -> Answer {
    let (parts, body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    Answer::new(parts.status.as_u16(), headers.collect(), body)
}

#[tokio::test]
async fn axum_and_http_answer_alike() {
    use axum::response::IntoResponse;
    async fn handler(row: &str) -> Result<SecretResponse, Problem> {
        answer(row)
    }
    check("axum", async |row| {
        let (parts, body) = handler(row).await.into_response().into_parts();
        let body = http_body_util::BodyExt::collect(body).await.unwrap().to_bytes();
        of_http(http::Response::from_parts(parts, String::from_utf8(body.into()).unwrap()))
    })
    .await;
    check("http", async |row| of_http(answer(row).map_or_else(http::Response::from, http::Response::from))).await;
    check("plain", async |row| {
        let answer = answer(row).map_or_else(PlainResponse::from, PlainResponse::from);
        Answer::new(answer.status, answer.headers, answer.body)
    })
    .await;
}

#[actix_web::get("/{row}")]
async fn by_actix(row: actix_web::web::Path<String>) -> Result<SecretResponse, Problem> {
    answer(&row)
}

#[actix_web::test]
async fn actix_web_answers_alike() {
    use actix_web::test::{TestRequest, call_service, init_service, read_body};
    let app = init_service(actix_web::App::new().service(by_actix)).await;
    check("actix-web", async |row| {
        let response = call_service(&app, TestRequest::get().uri(&format!("/{row}")).to_request()).await;
        let (status, fields) = (response.status().as_u16(), response.headers().clone());
        let headers = fields.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer::new(status, headers.collect(), String::from_utf8(read_body(response).await.into()).unwrap())
    })
    .await;
}

#[poem::handler]
fn by_poem(poem::web::Path(row): poem::web::Path<String>) -> Result<SecretResponse, Problem> {
    answer(&row)
}

struct Api;

#[poem_openapi::OpenApi]
impl Api {
    /// Of poem-openapi, whose own payloads are answers where nothing fails: the problem comes by `?`.
    #[oai(path = "/:row", method = "get")]
    async fn row(
        &self,
        row: poem_openapi::param::Path<String>,
    ) -> poem::Result<poem_openapi::payload::PlainText<String>> {
        let _ = answer(&row)?;
        Ok(poem_openapi::payload::PlainText(row.0))
    }
}

#[tokio::test]
async fn poem_answers_alike() {
    use poem::Endpoint;
    let api = poem_openapi::OpenApiService::new(Api, "test", "1");
    let app = poem::Route::new().at("/:row", poem::get(by_poem)).nest("/v1", api);
    let send = async |path: String| {
        let request = poem::Request::builder().uri(path.parse().unwrap()).finish();
        let (parts, body) = app.get_response(request).await.into_parts();
        let headers = parts.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
        Answer::new(parts.status.as_u16(), headers.collect(), body.into_string().await.unwrap())
    };
    check("poem", async |row| send(format!("/{row}")).await).await;
    for (row, status, code) in TABLE.iter().filter(|(_, status, _)| *status >= 400) {
        let answer = send(format!("/v1/{row}")).await;
        assert_eq!((answer.status, answer.code().as_str()), (*status, *code), "poem-openapi {row}");
    }
}

#[rocket::get("/<row>")]
fn by_rocket(row: &str) -> Result<SecretResponse, Problem> {
    answer(row)
}

#[rocket::async_test]
async fn rocket_answers_alike() {
    let config = rocket::Config::figment().merge(("log_level", "off"));
    let app = rocket::custom(config).mount("/", rocket::routes![by_rocket]).register("/", apikey::rocket::catchers());
    let client = rocket::local::asynchronous::Client::untracked(app).await.unwrap();
    check("rocket", async |row| {
        let response = client.get(format!("/{row}")).dispatch().await;
        let headers =
            response.headers().iter().map(|field| (field.name.to_string().to_lowercase(), field.value.into()));
        let headers = headers.collect();
        Answer::new(response.status().code, headers, response.into_string().await.unwrap())
    })
    .await;
}

#[apikey::require_api_key(tenant = none)]
#[rocket::get("/all")]
fn of_no_tenant(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[rocket::catch(404)]
fn no_page() -> &'static str {
    "no such page"
}

/// Rocket's guards answer by a catcher, and an application has its own for 404.
#[rocket::async_test]
async fn the_404_of_a_guard_of_rocket_is_the_refusal_and_others_are_the_applications() {
    let store = KeyStore::temporary().unwrap();
    let acme = store.tenant("acme").unwrap().create(NewKey::for_owner("alice")).unwrap();
    let none = store.create(NewKey::for_owner("root")).unwrap();
    let app = rocket::custom(rocket::Config::figment().merge(("log_level", "off")))
        .attach(apikey::rocket::supply(store))
        .register("/", apikey::rocket::catchers())
        .register("/", rocket::catchers![no_page])
        .mount("/", rocket::routes![of_no_tenant]);
    let client = rocket::local::asynchronous::Client::untracked(app).await.unwrap();
    for (path, key, status, body) in [
        ("/all", &none, 200, "root"),
        ("/all", &acme, 404, "\"code\":\"not_found\""),
        ("/nothing", &acme, 404, "no such page"),
    ] {
        let header = rocket::http::Header::new("x-api-key", key.key.expose_secret().to_owned());
        let response = client.get(path).header(header).dispatch().await;
        assert_eq!(response.status().code, status, "{path}");
        let content_type = response.headers().get_one("content-type").unwrap().to_owned();
        assert_eq!(content_type == "application/problem+json", body.contains("code"), "{path} {content_type}");
        let text = response.into_string().await.unwrap();
        assert!(text.contains(body), "{path} {text}");
    }
}

#[salvo::handler]
async fn by_salvo(request: &mut salvo::Request) -> Result<SecretResponse, Problem> {
    answer(&request.param::<String>("row").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn salvo_answers_alike() {
    let port = crate::stores::serve(salvo::Router::with_path("{row}").get(by_salvo)).await;
    check("salvo", async |row| apikey_testkit::Call::get(format!("/{row}")).send(port)).await;
}

#[tokio::test]
async fn warp_answers_alike() {
    use warp::{Filter, Reply};
    let replies = warp::path!("reply" / String).map(|row: String| match answer(&row) {
        Ok(response) => response.into_response(),
        Err(problem) => problem.into_response(),
    });
    let rejects = warp::path!("reject" / String)
        .and_then(async |row: String| answer(&row).map_err(warp::reject::custom))
        .recover(apikey::warp::recover);
    let routes = replies.or(rejects);
    for path in ["reply", "reject"] {
        check("warp", async |row| {
            let response = warp::test::request().path(&format!("/{path}/{row}")).reply(&routes).await;
            of_http(response.map(|body| String::from_utf8(body.into()).unwrap()))
        })
        .await;
    }
}

/// warp goes on to the next branch after a rejection, and its guard refuses the request, too.
#[tokio::test]
async fn the_refusal_of_another_branch_of_warp_does_not_hide_a_problem() {
    use warp::Filter;
    let store = KeyStore::temporary().unwrap();
    let key = store.create(NewKey::for_owner("alice").permissions(["orders:read"])).unwrap().key;
    let guard = |permission| {
        let requirement = apikey::Requirement::permission(permission).unwrap();
        apikey::warp::require(store.clone(), requirement)
    };
    let handler = async |_| answer("revoked").map_err(warp::reject::custom);
    let before = guard("admin").and_then(handler).or(guard("orders:read").and_then(handler));
    let after = guard("orders:read").and_then(handler).or(guard("admin").and_then(handler));
    let routes = warp::path("before").and(before).or(warp::path("after").and(after)).recover(apikey::warp::recover);
    for path in ["/before", "/after"] {
        let request = warp::test::request().path(path).header("x-api-key", key.expose_secret());
        let answer = of_http(request.reply(&routes).await.map(|body| String::from_utf8(body.into()).unwrap()));
        assert_eq!((answer.status, answer.code().as_str()), (409, "revoked_key"), "{path}: {}", answer.body);
    }
}

/// What a method of tonic returns.
fn by_tonic(row: &str) -> Result<(), tonic::Status> {
    let _ = answer(row)?;
    Ok(())
}

#[test]
fn tonic_has_a_status_for_each_problem() {
    use tonic::Code;
    for (row, _, code) in TABLE {
        let expected = match *row {
            "created" | "rotated" => continue,
            "unauthenticated" => Code::Unauthenticated,
            "not-found" | "bad-id" => Code::NotFound,
            "exceeds" => Code::PermissionDenied,
            "invalid" | "unknown" | "no-json" => Code::InvalidArgument,
            "revoked" | "tenant-ended" => Code::FailedPrecondition,
            "held" => Code::AlreadyExists,
            _ => Code::Unavailable,
        };
        let status = by_tonic(row).unwrap_err();
        assert_eq!(status.code(), expected, "{row}: {status:?}");
        assert_eq!(status.metadata().get("apikey-code").unwrap().to_str().unwrap(), *code, "{row}");
        assert!(!format!("{status:?}").contains("acme"), "{row}: {status:?}");
    }
}
