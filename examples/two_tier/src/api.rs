//! The application tier: an HTTP API whose handlers say what key they need.

use apikey::{ApiKeyLayer, KeyStore, REQUEST_HEADERS, RESPONSE_HEADERS, VerifiedKey, require_api_key};
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use serde_json::json;
use tower_http::cors::CorsLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::Failure;
use crate::orders::{NewOrder, Order, Orders, Report};

#[derive(Clone)]
struct App {
    store: KeyStore,
    orders: Orders,
}

/// Returns the API, for a page that is served from `page_origin`.
///
/// # Errors
/// The origin cannot be in a header.
pub fn router(store: KeyStore, page_origin: &str) -> Result<Router, Failure> {
    let app = App { store: store.clone(), orders: Orders::sample() };
    Ok(Router::new()
        .route("/health", get(health))
        .route("/whoami", get(whoami))
        .route("/orders", get(list_orders).post(place_order))
        .route("/reports", get(report))
        .with_state(app)
        .layer(DefaultBodyLimit::max(16 * 1024))
        // Supplies the store to the handlers. It requires nothing by itself: `/health` stays open.
        .layer(ApiKeyLayer::supply(store))
        // Added last, so outermost: a preflight carries no key and is answered here, and a refusal gets the CORS
        // headers too, without which the page could not read why it was refused.
        .layer(cors(page_origin)?)
        .layer(SetResponseHeaderLayer::if_not_present(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        )))
}

/// Exactly one origin may read the answers: the page. No `*`, and no origin echoed back.
fn cors(page_origin: &str) -> Result<CorsLayer, Failure> {
    Ok(CorsLayer::new()
        .allow_origin(HeaderValue::from_str(page_origin)?)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(REQUEST_HEADERS.into_iter().chain([header::CONTENT_TYPE]).collect::<Vec<_>>())
        // What a page may read beside the body, such as a hint that its key was rotated.
        .expose_headers(RESPONSE_HEADERS))
}

/// Open: no attribute, no key.
async fn health() -> &'static str {
    "ok"
}

/// Any valid key. The attribute supplies `key`, the verified key.
#[require_api_key]
async fn whoami(key: VerifiedKey, State(app): State<App>) -> Result<Json<Caller>, Problem> {
    let info = app.store.of_owner_of(&key).get(key.id()).map_err(|error| {
        eprintln!("two_tier: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The key store cannot be read")
    })?;
    let info = info.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "This key was deleted a moment ago"))?;
    Ok(Json(Caller {
        owner: key.owner().to_owned(),
        key_id: key.id().to_string(),
        key_name: info.name().map(str::to_owned),
        key_hint: info.hint().to_owned(),
        permissions: info.permissions().to_vec(),
        expires_at: info.expires_at().map(|at| at.to_rfc3339()),
    }))
}

/// What a caller may know about its own key.
#[derive(Serialize)]
struct Caller {
    owner: String,
    key_id: String,
    key_name: Option<String>,
    key_hint: String,
    permissions: Vec<String>,
    expires_at: Option<String>,
}

#[require_api_key(perm = "orders:read")]
async fn list_orders(State(app): State<App>) -> Json<Vec<Order>> {
    Json(app.orders.all())
}

/// The guard checks the key before anything reads the body: a caller that may not write learns nothing about orders.
#[require_api_key(perm = "orders:write")]
async fn place_order(
    key: VerifiedKey,
    State(app): State<App>,
    new: Result<Json<NewOrder>, JsonRejection>,
) -> Result<(StatusCode, Json<Order>), Problem> {
    let Json(new) = new.map_err(|rejection| Problem::new(rejection.status(), &rejection.body_text()))?;
    let placed = app.orders.place(&new, key.owner());
    let order = placed.map_err(|wrong| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, wrong))?;
    Ok((StatusCode::CREATED, Json(order)))
}

/// Two alternatives: the permission for reports, or those for everything in a report.
#[require_api_key(any("reports:read", all("orders:read", "customers:read")))]
async fn report(State(app): State<App>) -> Json<Report> {
    Json(app.orders.report())
}

/// An error of the API itself, in the form that refusals have too (RFC 9457): a client needs one parser.
struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    fn new(status: StatusCode, detail: &str) -> Self {
        Self { status, detail: detail.to_owned() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("Error");
        let body = json!({ "title": title, "status": self.status.as_u16(), "detail": self.detail });
        (self.status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
    }
}
