//! OpenAPI documents of three generators: they contain what the attribute requires, and no operation is forgotten.

use std::path::Path;

use apikey::openapi::{Operation, assert_guarded, describe, describe_self_service, operations};
use apikey::{Guarded, GuardedTenant, KeyStore, VerifiedKey, require_api_key};
use apikey_testkit::Call;
use serde_json::{Value, json};

use crate::examples::ALL;

/// For `validate-openapi`, which reads the documents that the tests leave.
fn leave(name: &str, document: &Value) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openapi");
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), serde_json::to_string_pretty(document).unwrap()).unwrap();
}

fn config() -> apikey::HeaderConfig {
    KeyStore::builder().header("X-Shop-Key").temporary().unwrap().header_config().clone()
}

mod utoipa_shop {
    use super::*;

    #[require_api_key(perm = "orders:read")]
    #[utoipa::path(get, path = "/orders", responses((status = 200, description = "ok", body = String)))]
    pub(super) async fn list_orders(key: VerifiedKey) -> String {
        key.owner().to_owned()
    }

    #[utoipa::path(post, path = "/orders", responses((status = 200, description = "ok"), (status = 401, description = "my own words")))]
    #[require_api_key(any("admin", all("orders:write", "stock:write")))]
    pub(super) async fn place_order() {}

    #[require_api_key(optional)]
    #[utoipa::path(get, path = "/greet", responses((status = 200, description = "ok")))]
    pub(super) async fn greet_caller(key: Option<VerifiedKey>) -> String {
        key.map_or_else(String::new, |key| key.owner().to_owned())
    }

    #[utoipa::path(get, path = "/health", responses((status = 200, description = "ok")))]
    pub(super) async fn health() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(list_orders, place_order, greet_caller, health))]
    pub(super) struct Document;
}

#[test]
fn utoipa_documents_what_the_attribute_requires() {
    use utoipa::OpenApi;
    // The handlers are handlers, with the attribute above `utoipa::path` or below it.
    let _: axum::Router = axum::Router::new()
        .route("/orders", axum::routing::get(utoipa_shop::list_orders).post(utoipa_shop::place_order))
        .route("/greet", axum::routing::get(utoipa_shop::greet_caller))
        .route("/health", axum::routing::get(utoipa_shop::health));
    let mut document = serde_json::to_value(utoipa_shop::Document::openapi()).unwrap();
    let described = describe(&mut document, &config()).unwrap();
    assert_eq!(described.operations, ["GET /greet", "GET /orders", "POST /orders"]);
    let scheme = &document["components"]["securitySchemes"]["api_key"];
    assert_eq!(*scheme, json!({ "type": "apiKey", "in": "header", "name": "X-Shop-Key" }));
    let orders = &document["paths"]["/orders"];
    assert_eq!(orders["get"]["security"], json!([{ "api_key": ["orders:read"] }]));
    for status in ["401", "403", "429", "503"] {
        let refused = orders["get"]["responses"][status]["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        assert!(document.pointer(refused).unwrap()["description"].is_string(), "{status}");
    }
    let ways = json!([{ "api_key": ["admin"] }, { "api_key": ["orders:write", "stock:write"] }]);
    assert_eq!(orders["post"]["security"], ways);
    assert_eq!(orders["post"]["x-apikey-required"], "any(admin, all(orders:write, stock:write))");
    assert_eq!(orders["post"]["responses"]["401"]["description"], "my own words");
    assert_eq!(document["paths"]["/greet"]["get"]["security"], json!([{}, { "api_key": [] }]));
    assert!(document["paths"]["/health"]["get"].get("security").is_none());
    // The program has guarded functions that belong to other documents.
    assert!(described.without_operation.iter().any(|guarded| guarded.function() == "poem_list"));
    assert!(!described.without_operation.iter().any(|guarded| guarded.function() == "list_orders"));
    leave("utoipa.json", &document);
}

#[allow(dead_code, reason = "only the documentation of the handlers is read")]
mod utoipa_keys {
    use apikey::{KeyFilter, KeyId, KeyUpdate, NewKey, Page, Problem, SecretResponse};

    #[utoipa::path(post, path = "/keys", request_body = NewKey, responses((status = 201, description = "The new key", body = SecretResponse), (status = 422, description = "Not allowed", body = Problem)))]
    pub(super) async fn create_key() {}

    #[utoipa::path(get, path = "/keys", params(KeyFilter), responses((status = 200, description = "A page of keys", body = Page)))]
    pub(super) async fn list_keys() {}

    #[utoipa::path(patch, path = "/keys/{id}", params(("id" = KeyId, Path)), request_body = KeyUpdate, responses((status = 204, description = "Changed")))]
    pub(super) async fn update_key() {}

    #[derive(utoipa::OpenApi)]
    #[openapi(paths(create_key, list_keys, update_key), components(schemas(KeyId)))]
    pub(super) struct Document;
}

/// Every `$ref` in a value.
fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn utoipa_documents_keys_and_problems() {
    use utoipa::OpenApi;
    let mut document = serde_json::to_value(utoipa_keys::Document::openapi()).unwrap();
    let own = document["components"]["schemas"]["ApiKeyProblem"].clone();
    describe(&mut document, &config()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(found.contains(&"#/components/schemas/RevealedKey") && found.contains(&"#/components/schemas/KeyPage"));
    for reference in found {
        assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    assert_eq!(document["components"]["schemas"]["ApiKeyProblem"], own);
    leave("utoipa-keys.json", &document);

    let mut plain = json!({ "openapi": "3.1.0", "info": { "title": "shop", "version": "1" }, "paths": {} });
    describe(&mut plain, &config()).unwrap();
    let described = &plain["components"]["schemas"]["ApiKeyProblem"];
    let members = |schema: &Value| schema["properties"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((members(&own), &own["required"]), (members(described), &described["required"]));
}

struct PoemShop;

#[poem_openapi::OpenApi]
impl PoemShop {
    #[oai(path = "/orders", method = "get", operation_id = "poem_list")]
    #[require_api_key(perm = "orders:read", key = key)]
    async fn poem_list(&self, request: &poem::Request) -> poem::Result<poem_openapi::payload::PlainText<String>> {
        let _ = request;
        Ok(poem_openapi::payload::PlainText(key.owner().to_owned()))
    }

    #[oai(path = "/health", method = "get")]
    async fn health(&self) -> poem_openapi::payload::PlainText<&'static str> {
        poem_openapi::payload::PlainText("ok")
    }
}

#[test]
fn poem_openapi_documents_what_the_attribute_requires() {
    let service = poem_openapi::OpenApiService::new(PoemShop, "shop", "1");
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap();
    let described = describe(&mut document, &config()).unwrap();
    assert_eq!(described.operations, ["GET /orders"]);
    let list = &document["paths"]["/orders"]["get"];
    // OpenAPI 3.0 has no scopes for API keys.
    assert_eq!((&list["security"], &list["x-apikey-required"]), (&json!([{ "api_key": [] }]), &json!("orders:read")));
    assert!(list["responses"]["401"].is_object() && list["responses"]["403"].is_object());
    assert!(document["paths"]["/health"]["get"].get("security").is_none());
    leave("poem.json", &document);
}

/// The guide's way to serve the described document in place of poem-openapi's own.
#[tokio::test]
async fn poem_serves_the_described_document() {
    use poem::{EndpointExt, IntoResponse, Route, endpoint::make_sync, test::TestClient};

    let store = KeyStore::temporary().unwrap();
    let service = poem_openapi::OpenApiService::new(PoemShop, "shop", "1").server("/api");
    let mut document: Value = serde_json::from_str(&service.spec()).unwrap();
    describe(&mut document, store.header_config()).unwrap();
    let text = document.to_string();
    let app = Route::new()
        .nest("/api", service)
        .at("/openapi.json", make_sync(move |_| text.clone().with_content_type("application/json")))
        .with(apikey::poem::supply(store));
    let client = TestClient::new(app);
    let answer = client.get("/openapi.json").send().await;
    answer.assert_status_is_ok();
    answer.assert_content_type("application/json");
    let served: Value = answer.json().await.value().deserialize();
    assert_eq!(served["paths"]["/orders"]["get"]["x-apikey-required"], "orders:read");
    assert_eq!(served["servers"][0]["url"], "/api");
    client.get("/api/orders").send().await.assert_status(poem::http::StatusCode::UNAUTHORIZED);
}

/// What the document says of self-service is what it answers.
#[tokio::test]
async fn self_service_is_in_the_document() {
    use apikey::self_service::SelfService;

    let store = KeyStore::temporary().unwrap();
    let mut document = json!({ "openapi": "3.1.0", "info": { "title": "shop", "version": "1" }, "paths": {} });
    describe_self_service(&mut document, "/key", store.header_config()).unwrap();
    let app = axum::Router::new().nest_service("/key", SelfService::new(store.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let call = async |operation: &Operation, key: Option<&str>| {
        let call = match operation.method.as_str() {
            "DELETE" => Call::delete(&operation.path),
            _ => Call::post(&operation.path, ""),
        };
        let call = match key {
            Some(key) => call.key(key),
            None => call,
        };
        tokio::task::spawn_blocking(move || call.send(port)).await.unwrap()
    };
    assert_guarded(&document, &[], async |operation| call(operation, None).await.status).await;
    for operation in operations(&document) {
        let created = store.create(apikey::NewKey::for_owner("alice")).unwrap();
        let answer = call(&operation, Some(created.key.expose_secret())).await;
        let said = &document["paths"][&operation.template][operation.method.to_lowercase()]["responses"];
        let response = &said[answer.status.to_string()];
        assert!(response.is_object(), "{operation} answered {}", answer.status);
        if let Some(schema) = response.pointer("/content/application~1json/schema") {
            let body: Value = serde_json::from_str(&answer.body).unwrap();
            let names: Vec<&String> = body.as_object().unwrap().keys().collect();
            assert_eq!(names, schema["properties"].as_object().unwrap().keys().collect::<Vec<_>>());
        }
    }
    leave("self-service.json", &document);
}

mod salvo_shop {
    use super::*;
    use salvo::prelude::*;

    #[require_api_key(any("orders:read", "admin"))]
    #[endpoint]
    pub(super) async fn salvo_list(key: VerifiedKey) -> String {
        key.owner().to_owned()
    }

    #[require_api_key(optional)]
    #[endpoint]
    pub(super) async fn salvo_greet(key: Option<VerifiedKey>) -> String {
        key.map_or_else(String::new, |key| key.owner().to_owned())
    }

    #[require_api_key(perm = "keys:create")]
    #[endpoint]
    pub(super) async fn salvo_create(key: VerifiedKey) -> std::result::Result<apikey::SecretResponse, apikey::Problem> {
        Err(apikey::StoreError::NotFound(key.id()).into())
    }

    #[endpoint]
    pub(super) async fn salvo_health() -> &'static str {
        "ok"
    }
}

#[test]
fn salvo_oapi_documents_what_the_attribute_requires() {
    use salvo::Router;
    let routes = Router::new()
        .push(Router::with_path("orders").get(salvo_shop::salvo_list))
        .push(Router::with_path("greet").get(salvo_shop::salvo_greet))
        .push(Router::with_path("keys").post(salvo_shop::salvo_create))
        .push(Router::with_path("health").get(salvo_shop::salvo_health));
    let document = salvo::oapi::OpenApi::new("shop", "1").merge_router(&routes);
    let document = serde_json::to_value(document).unwrap();
    let scheme = &document["components"]["securitySchemes"]["api_key"];
    assert_eq!(
        (&scheme["type"], &scheme["in"], &scheme["name"]),
        (&json!("apiKey"), &json!("header"), &json!("X-API-Key"))
    );
    let list = &document["paths"]["/orders"]["get"];
    assert_eq!(list["security"], json!([{ "api_key": ["orders:read"] }, { "api_key": ["admin"] }]));
    assert_eq!(list["x-apikey-required"], "any(orders:read, admin)");
    assert!(list["responses"]["401"].is_object() && list["responses"]["403"].is_object());
    assert_eq!(document["paths"]["/greet"]["get"]["security"], json!([{}, { "api_key": [] }]));
    assert!(document["paths"]["/health"]["get"].get("security").is_none());
    let answers = &document["paths"]["/keys"]["post"]["responses"];
    for (status, kind) in
        [("2XX", "application/json"), ("4XX", "application/problem+json"), ("401", "application/problem+json")]
    {
        assert!(answers[status]["content"][kind].is_object(), "{status} {answers}");
    }
    leave("salvo.json", &document);
}

/// The document of the examples' service.
fn document() -> Value {
    let open = json!({ "responses": { "200": { "description": "ok" } } });
    let of = |function: &str| {
        let mut operation = open.clone();
        operation["operationId"] = format!("axum.{function}").into();
        operation
    };
    let mut place = of("place");
    let order = json!({ "type": "object", "required": ["item"], "properties": { "item": { "type": "string" } } });
    place["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": order } } });
    for status in ["400", "415", "422"] {
        place["responses"][status] = json!({ "description": "no order" });
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "shop", "version": "1" },
        "paths": {
            "/orders": { "get": of("list"), "post": place },
            "/greet": { "get": of("greet") },
            "/health": { "get": open },
            "/admin/stats": { "get": open },
            "/admin/audit": { "get": of("audit") },
        },
    })
}

#[test]
fn the_services_have_a_document_to_test_them_with() {
    let mut document = document();
    let described = describe(&mut document, &apikey::HeaderConfig::default()).unwrap();
    assert_eq!(described.operations, ["GET /admin/audit", "GET /greet", "GET /orders", "POST /orders"]);
    // The layer around it guards this one, and the attribute does not know of that.
    let stats = &mut document["paths"]["/admin/stats"]["get"];
    stats["security"] = json!([{ "api_key": ["admin"] }]);
    for status in ["401", "403"] {
        stats["responses"][status] = json!({ "description": "refused" });
    }
    leave("services.json", &document);
}

#[tokio::test]
async fn every_operation_requires_a_key_except_the_named_ones() {
    let store = KeyStore::temporary().unwrap();
    for example in ALL {
        let port = example.start(&store);
        let open = ["GET /greet", "GET /health"];
        assert_guarded(&document(), &open, async |operation| match operation.method.as_str() {
            "POST" => Call::post(&operation.path, "{}").send(port).status,
            _ => Call::get(&operation.path).send(port).status,
        })
        .await;
    }
    assert_eq!(operations(&document()).len(), 6);
}

struct Methods;

impl Methods {
    const WRITE: Permission = Permission::Write;

    #[require_api_key(perm = Self::WRITE, request = token, store = store)]
    fn by_own_constant(token: &str, store: &KeyStore) -> Result<(), apikey::Rejection> {
        Ok(())
    }

    #[require_api_key(perm = Permission::Write, store = store)]
    fn generic_method<T>(&self, token: &str, store: &KeyStore, _: T) -> Result<(), apikey::Rejection> {
        Ok(())
    }
}

apikey::permissions! {
    enum Permission {
        Write = "methods:write",
    }
}

#[test]
fn the_program_lists_what_is_guarded() {
    let all = Guarded::all();
    let of = |name: &str| all.iter().filter(|guarded| guarded.function() == name).collect::<Vec<_>>();
    // One for each example, in the module of its framework, and the documented ones here.
    let audits: Vec<String> = of("audit").iter().map(|guarded| guarded.to_string()).collect();
    for framework in ["actix_web", "axum", "hyper", "poem", "rocket", "salvo", "tonic", "warp"] {
        let line = format!("all::examples::{framework}::audit requires audit:read");
        assert!(audits.contains(&line), "{line} is missing from {audits:?}");
    }
    let line = "all::examples::axum::of_tenant requires orders:read of a key of the tenant";
    assert!(of("of_tenant").iter().any(|guarded| guarded.to_string() == line));
    assert!(of("of_tenant").iter().any(|guarded| guarded.tenant() == GuardedTenant::Named));
    assert!(of("of_no_tenant").iter().all(|guarded| guarded.tenant() == GuardedTenant::None));
    assert!(of("greet").iter().all(|guarded| guarded.optional() && guarded.tenant() == GuardedTenant::Any));
    let methods = of("generic_method");
    assert_eq!(methods.len(), 1);
    assert_eq!((methods[0].module(), methods[0].requirement().as_str()), ("all::documents", "methods:write"));
    // A constant of `Self` cannot be named in the list: the function is listed without its requirement.
    assert_eq!((of("by_own_constant").len(), of("by_own_constant")[0].need()), (1, None));
    let store = KeyStore::temporary().unwrap();
    assert_eq!(Methods::by_own_constant("", &store).unwrap_err().status(), 401);
    assert_eq!(Methods.generic_method("", &store, 1).unwrap_err().status(), 401);
}
