//! What the API of two_tier lacks: an administrator revokes a key, and a load balancer learns whether the node serves.

use apikey::{ApiKeyLayer, KeyStore, Problem, VerifiedKey, require_api_key};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{delete, get};
use tokio::task::spawn_blocking;

pub(crate) fn router(store: KeyStore) -> Router {
    Router::new()
        .route("/keys/{id}", delete(revoke))
        .route("/ready", get(ready))
        .with_state(store.clone())
        .layer(ApiKeyLayer::supply(store))
}

/// It answers once no node accepts the key any more: in a few milliseconds, or, if a node does not answer, after
/// `max_staleness`. So it must not block a thread that serves requests.
#[require_api_key(perm = "keys:revoke")]
async fn revoke(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let id = id.parse()?;
    let revoked = spawn_blocking(move || store.revoke_within(id, "by an administrator", &caller)).await;
    revoked.map_err(|_| Problem::custom(500, "internal", "The revocation was interrupted"))??;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the replica is fresh enough to serve. Without a key: a probe has none.
async fn ready(State(store): State<KeyStore>) -> StatusCode {
    if store.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}
