//! OpenAPI documents of three generators: they contain what the attribute requires, and no operation is forgotten.

use std::path::Path;

use apikey::openapi::{assert_guarded, describe, operations};
use apikey::{Guarded, KeyStore, VerifiedKey, require_api_key};
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
    assert!(orders["get"]["responses"]["401"].is_object() && orders["get"]["responses"]["403"].is_object());
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
    assert!(of("greet").iter().all(|guarded| guarded.optional()));
    let methods = of("generic_method");
    assert_eq!(methods.len(), 1);
    assert_eq!((methods[0].module(), methods[0].requirement().as_str()), ("all::documents", "methods:write"));
    // A constant of `Self` cannot be named in the list: the function is listed without its requirement.
    assert_eq!((of("by_own_constant").len(), of("by_own_constant")[0].need()), (1, None));
    let store = KeyStore::temporary().unwrap();
    assert_eq!(Methods::by_own_constant("", &store).unwrap_err().status(), 401);
    assert_eq!(Methods.generic_method("", &store, 1).unwrap_err().status(), 401);
}
