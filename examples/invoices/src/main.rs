//! Invoices: a whole service whose callers have API keys. The first key is in `admin.key`.
#![allow(clippy::unwrap_used, reason = "a thread that panics with the lock has lost its invoices anyway")]

use std::{net::SocketAddr, sync::Arc, sync::Mutex};

use apikey::{ApiKeyLayer, JsonBody, KeyStore, KeyStoreBuilder, NewKey, VerifiedKey, from_query, openapi};
use apikey::{KeyId, KeyInfo, KeyUpdate, Overlap, Page, Problem, SecretResponse, StoreError, require_api_key};
use axum::extract::{Path, RawQuery, Request, State};
use axum::routing::{delete, get, post};
use axum::{Json, Router, http::StatusCode};
use serde::{Deserialize, Serialize};
use tower_http::trace::{DefaultOnResponse, TraceLayer};
use tracing::{Level, field::Empty};
use utoipa::{OpenApi, ToSchema};

apikey::permissions! {
    enum Perm {
        InvoicesRead = "invoices:read",
        InvoicesWrite = "invoices:write",
        InvoicesExport = "invoices:export",
        Admin = "admin",
        KeysRead = "keys:read",
        KeysCreate = "keys:create",
        KeysUpdate = "keys:update",
        KeysRotate = "keys:rotate",
        KeysRevoke = "keys:revoke",
    }
}

#[derive(Clone, Deserialize, Serialize, ToSchema)]
struct Invoice {
    customer: String,
    cents: u64,
}

type Invoices = Arc<Mutex<Vec<(String, Invoice)>>>; // with their owners
type Keys = State<KeyStore>;
type Id = Path<String>;
type Answer<T> = Result<T, Problem>;

fn own(invoices: &Invoices, key: &VerifiedKey) -> Vec<Invoice> {
    let own = |(owner, invoice): &(String, Invoice)| (owner == key.owner()).then(|| invoice.clone());
    invoices.lock().unwrap().iter().filter_map(own).collect()
}

#[require_api_key(perm = Perm::InvoicesRead)]
#[utoipa::path(get, path = "/invoices", responses((status = 200, description = "Its invoices", body = [Invoice])))]
async fn list_invoices(key: VerifiedKey, State(invoices): State<Invoices>) -> Json<Vec<Invoice>> {
    Json(own(&invoices, &key))
}

#[require_api_key(any(Perm::InvoicesWrite, Perm::Admin))]
#[utoipa::path(post, path = "/invoices", request_body = Invoice, responses((status = 201, description = "Created")))]
async fn create_invoice(key: VerifiedKey, State(all): State<Invoices>, body: JsonBody<Invoice>) -> StatusCode {
    all.lock().unwrap().push((key.owner().to_owned(), body.0));
    StatusCode::CREATED
}

#[require_api_key(all(Perm::InvoicesRead, Perm::InvoicesExport))]
#[utoipa::path(get, path = "/invoices/export", responses((status = 200, description = "As text", body = String)))]
async fn export_invoices(key: VerifiedKey, State(invoices): State<Invoices>) -> String {
    own(&invoices, &key).iter().map(|invoice| format!("{},{}\n", invoice.customer, invoice.cents)).collect()
}

#[require_api_key(optional)]
#[utoipa::path(get, path = "/summary", responses((status = 200, description = "As text", body = String)))]
async fn summary(key: Option<VerifiedKey>, State(invoices): State<Invoices>) -> String {
    let all = invoices.lock().unwrap().len();
    key.map_or(format!("{all}\n"), |key| format!("{all}, {} yours\n", own(&invoices, &key).len()))
}

#[require_api_key(perm = Perm::KeysCreate)]
#[utoipa::path(post, path = "/keys", request_body = Object, responses((status = 201, description = "Created")))]
async fn create_key(caller: VerifiedKey, keys: Keys, JsonBody(new): JsonBody<NewKey>) -> Answer<SecretResponse> {
    Ok(SecretResponse::created(keys.create(new.within(&caller))?))
}

#[require_api_key(perm = Perm::KeysRead)]
#[utoipa::path(get, path = "/keys", responses((status = 200, description = "Done")))]
async fn list_keys(caller: VerifiedKey, keys: Keys, RawQuery(query): RawQuery) -> Answer<Json<Page>> {
    Ok(Json(keys.list_within(&from_query(query.unwrap_or_default())?, &caller)?))
}

#[require_api_key(perm = Perm::KeysRead)]
#[utoipa::path(get, path = "/keys/{id}", params(("id", Path)), responses((status = 200, description = "Done")))]
async fn get_key(caller: VerifiedKey, keys: Keys, Path(id): Id) -> Answer<Json<KeyInfo>> {
    let id: KeyId = id.parse()?;
    Ok(Json(keys.get_within(id, &caller)?.ok_or(StoreError::NotFound(id))?))
}

#[require_api_key(perm = Perm::KeysUpdate)]
#[utoipa::path(patch, path = "/keys/{id}", params(("id", Path)), request_body = Object, responses((status = 200, description = "Done")))]
async fn update_key(caller: VerifiedKey, keys: Keys, id: Id, body: JsonBody<KeyUpdate>) -> Answer<Json<KeyInfo>> {
    Ok(Json(keys.update(id.parse()?, body.0.within(&caller))?))
}

#[require_api_key(perm = Perm::KeysRotate)]
#[utoipa::path(post, path = "/keys/{id}/rotate", params(("id", Path)), responses((status = 200, description = "Done")))]
async fn rotate_key(caller: VerifiedKey, keys: Keys, id: Id) -> Answer<SecretResponse> {
    Ok(SecretResponse::rotated(keys.rotate_within(id.parse()?, Overlap::UntilFirstUse, &caller)?))
}

#[require_api_key(perm = Perm::KeysRevoke)]
#[utoipa::path(delete, path = "/keys/{id}", params(("id", Path)), responses((status = 200, description = "Done")))]
async fn revoke_key(caller: VerifiedKey, keys: Keys, id: Id) -> Answer<Json<bool>> {
    Ok(Json(keys.revoke_within(id.parse()?, "by an administrator", &caller)?))
}

#[require_api_key(perm = Perm::KeysRead)]
#[utoipa::path(get, path = "/owners/{owner}/keys", params(("owner", Path)), responses((status = 200, description = "Done")))]
async fn list_owner(caller: VerifiedKey, keys: Keys, owner: Path<String>, query: RawQuery) -> Answer<Json<Page>> {
    Ok(Json(keys.of_owner(&*owner).list_within(&from_query(query.0.unwrap_or_default())?, &caller)?))
}

#[require_api_key(perm = Perm::KeysRevoke)]
#[utoipa::path(delete, path = "/owners/{owner}/keys", params(("owner", Path)), responses((status = 200, description = "Done")))]
async fn revoke_owner(caller: VerifiedKey, keys: Keys, Path(owner): Path<String>) -> Answer<Json<usize>> {
    Ok(Json(keys.of_owner(owner).revoke_all_within("by an administrator", &caller)?))
}

/// 503 while the disk refuses changes; verification goes on meanwhile.
async fn health(keys: Keys) -> StatusCode {
    if keys.health().is_good() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// Refusals since the start, as Prometheus reads them.
async fn metrics(keys: Keys) -> String {
    let line = |code| format!("apikey_refusals_total{{code=\"{code}\"}} {}\n", keys.refusals().with_code(code));
    ["missing_api_key", "invalid_api_key", "insufficient_permission"].map(line).concat()
}

#[derive(OpenApi)]
#[openapi(paths(list_invoices, create_invoice, export_invoices, summary), nest((path = "/admin", api = Admin)))]
struct Api;

#[derive(OpenApi)]
#[openapi(paths(create_key, list_keys, get_key, update_key, revoke_key, rotate_key, list_owner, revoke_owner))]
struct Admin;

/// What every store of this service has, in production and in tests.
fn builder() -> KeyStoreBuilder {
    KeyStore::builder().catalog(Perm::ALL).trusted_proxies(["127.0.0.1"])
}

fn app(store: KeyStore) -> Result<Router, Box<dyn std::error::Error>> {
    let admin = Router::new()
        .route("/keys", post(create_key).get(list_keys))
        .route("/keys/{id}", get(get_key).patch(update_key).delete(revoke_key))
        .route("/keys/{id}/rotate", post(rotate_key))
        .route("/owners/{owner}/keys", delete(revoke_owner).get(list_owner));
    let keys = Router::new().route("/health", get(health)).route("/metrics", get(metrics)).nest("/admin", admin);
    let invoices = Router::new()
        .route("/invoices", get(list_invoices).post(create_invoice))
        .route("/invoices/export", get(export_invoices))
        .route("/summary", get(summary));
    let mut document = serde_json::to_value(Api::openapi())?;
    openapi::describe(&mut document, store.header_config())?;
    openapi::describe_self_service(&mut document, "/key", store.header_config())?;
    let span = |request: &Request| tracing::info_span!("request", path = request.uri().path(), apikey.id = Empty);
    Ok(keys
        .with_state(store.clone())
        .merge(invoices.with_state(Invoices::default()))
        .nest_service("/key", apikey::self_service::SelfService::new(store.clone()))
        .route("/openapi.json", get(async move || Json(document)))
        .layer(ApiKeyLayer::supply(store))
        .layer(
            TraceLayer::new_for_http().make_span_with(span).on_response(DefaultOnResponse::new().level(Level::INFO)),
        ))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt::init();
    let store = builder().first_key(NewKey::for_owner("admin").permissions(["*"]), "admin.key").open("keys.db")?;
    let app = app(store.clone())?.into_make_service_with_connect_info::<SocketAddr>();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    axum::serve(listener, app).with_graceful_shutdown(async { drop(tokio::signal::ctrl_c().await) }).await?;
    Ok(tokio::task::spawn_blocking(move || store.close()).await??)
}

#[cfg(test)]
mod tests {
    use super::Router;
    use apikey::test_util::TestKeys;
    use axum::body::{Body, to_bytes};
    use serde_json::{Value, json};
    use tower::ServiceExt;

    struct Service(TestKeys, Router);

    impl Service {
        fn new() -> Self {
            let keys = TestKeys::with(super::builder());
            let app = super::app(keys.store().clone()).unwrap();
            Self(keys, app)
        }

        async fn call(&self, token: &str, line: &str, body: Value) -> (u16, Value) {
            let (method, path) = line.split_once(' ').unwrap();
            let request = if token.is_empty() { Default::default() } else { self.0.request(token) };
            let request = request.method(method).uri(path).body(Body::from(body.to_string())).unwrap();
            let response = self.1.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            (
                status,
                serde_json::from_slice(&to_bytes(response.into_body(), 1 << 20).await.unwrap()).unwrap_or_default(),
            )
        }
    }

    #[tokio::test]
    async fn a_handler_needs_its_permission() {
        let service = Service::new();
        assert_eq!(service.call("", "GET /invoices", Value::Null).await.0, 401);
        let (admin, invoice) = (service.0.token("alice", ["admin"]), json!({ "customer": "acme", "cents": 1 }));
        assert_eq!(service.call(&admin, "POST /invoices", invoice.clone()).await.0, 201);
        let (status, refusal) = service.call(&admin, "GET /invoices", Value::Null).await;
        assert_eq!((status, &refusal["required"]), (403, &json!("invoices:read")));
        let reader = &service.0.token("alice", ["invoices:read"]);
        assert_eq!(service.call(reader, "GET /invoices", Value::Null).await, (200, json!([invoice])));
    }

    #[tokio::test]
    async fn keys_are_created_used_and_revoked() {
        let service = Service::new();
        let admin = service.0.token("alice", ["invoices:read", "keys:*"]);
        let read = json!({ "owner": "bob", "permissions": ["invoices:read"] });
        let created = service.call(&admin, "POST /admin/keys", read).await.1;
        let token = created["key"].as_str().unwrap();
        assert_eq!(service.call(token, "GET /invoices", Value::Null).await.0, 200);
        assert_eq!(service.call(&admin, "DELETE /admin/owners/bob/keys", Value::Null).await, (200, json!(1)));
        assert_eq!(service.call(token, "GET /invoices", Value::Null).await.1["code"], "revoked_api_key");
        let (status, problem) = service.call(&admin, "POST /admin/keys", json!({ "owner": "o".repeat(129) })).await;
        assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("#/owner")));
        let (status, problem) =
            service.call(&admin, "POST /admin/keys", json!({ "owner": "bob", "permissions": ["admin"] })).await;
        assert_eq!((status, &problem["code"]), (403, &json!("exceeds_actor")));
    }

    #[tokio::test]
    async fn every_operation_is_guarded() {
        let service = Service::new();
        let document = service.call("", "GET /openapi.json", Value::Null).await.1;
        apikey::openapi::assert_guarded(&document, &["GET /summary"], async |operation| {
            service.call("", &format!("{} {}", operation.method, operation.path), Value::Null).await.0
        })
        .await;
    }
}
