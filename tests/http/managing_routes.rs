use apikey::{ApiKeyLayer, JsonBody, KeyFilter, KeyId, KeyInfo, KeyStore, KeyUpdate, NewKey, Overlap, Page};
use apikey::{Problem, SecretResponse, StoreError, VerifiedKey, from_query, require_api_key};
use axum::{Json, Router, extract::{Path, RawQuery, State}, routing::{patch, post}};

/// The body is {"owner":"alice","permissions":["orders:read"],"expires_in_ms":86400000}.
#[require_api_key(perm = "keys:create")]
async fn create(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    JsonBody(new): JsonBody<NewKey>, // `axum::Json` would answer a bad body in its own form
) -> Result<SecretResponse, Problem> {
    // Nobody hands out more than they have, nor keys of another owner without `keys:any_owner`.
    Ok(SecretResponse::created(store.create(new.within(&caller))?))
}

/// The body is {"permissions":["orders:*"],"expires_at":null}.
#[require_api_key(perm = "keys:update")]
async fn update(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    Path(id): Path<String>,
    JsonBody(change): JsonBody<KeyUpdate>,
) -> Result<Json<KeyInfo>, Problem> {
    let id: KeyId = id.parse()?; // 404 for a text that is no id
    Ok(Json(store.update(id, change.within(&caller))?))
}

#[require_api_key(perm = "keys:rotate")]
async fn rotate(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    Path(id): Path<String>,
) -> Result<SecretResponse, Problem> {
    let rotated = store.rotate_within(id.parse()?, Overlap::UntilFirstUse, &caller)?;
    Ok(SecretResponse::rotated(rotated))
}

#[require_api_key(perm = "keys:revoke")]
async fn revoke(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    Path(id): Path<String>,
) -> Result<(), Problem> {
    // `false` if it was revoked before: fine, too
    store.revoke_within(id.parse()?, "by an admin", &caller)?;
    Ok(())
}

#[require_api_key] // ?state=active&limit=20
async fn list(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    RawQuery(query): RawQuery,
) -> Result<Json<Page>, Problem> {
    let filter: KeyFilter = from_query(query.unwrap_or_default())?;
    // Those of the caller's owner; with `keys:any_owner` those of all.
    Ok(Json(store.list_within(&filter, &caller)?))
}

#[require_api_key]
async fn show(
    caller: VerifiedKey,
    State(store): State<KeyStore>,
    Path(id): Path<String>,
) -> Result<Json<KeyInfo>, Problem> {
    let id: KeyId = id.parse()?;
    Ok(Json(store.get_within(id, &caller)?.ok_or(StoreError::NotFound(id))?))
}

fn router(store: KeyStore) -> Router {
    Router::new()
        .route("/keys", post(create).get(list))
        .route("/keys/{id}", patch(update).get(show).delete(revoke))
        .route("/keys/{id}/rotate", post(rotate))
        .with_state(store.clone())         // for the handlers
        .layer(ApiKeyLayer::supply(store)) // for the attribute
}
