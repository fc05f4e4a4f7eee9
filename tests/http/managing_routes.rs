use apikey::{ApiKeyLayer, KeyFilter, KeyId, KeyStore, NewKey, Overlap, StoreError, VerifiedKey, require_api_key};
use axum::{Router, extract::{Path, State}, http::StatusCode, routing::{delete, post}};

/// The status says not found, conflict, not allowed or out of bounds; the text says which, and never a secret.
fn refused(error: StoreError) -> (StatusCode, String) {
    (StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_string())
}

#[require_api_key(perm = "keys:manage")]
async fn create(caller: VerifiedKey, State(store): State<KeyStore>, owner: String) -> Result<String, (StatusCode, String)> {
    // `within`: nobody hands out more than they have, nor keys of another owner without `keys:any_owner`.
    let new = NewKey::for_owner(owner).permissions(["orders:read"]).within(&caller);
    Ok(store.create(new).map_err(refused)?.key.expose_secret().to_owned())
}

#[require_api_key(perm = "keys:manage")]
async fn rotate(caller: VerifiedKey, State(store): State<KeyStore>, Path(id): Path<KeyId>) -> Result<String, (StatusCode, String)> {
    let new = store.rotate_within(id, Overlap::UntilFirstUse, &caller).map_err(refused)?;
    Ok(new.key.expose_secret().to_owned())
}

#[require_api_key(perm = "keys:manage")]
async fn revoke(caller: VerifiedKey, State(store): State<KeyStore>, Path(id): Path<KeyId>) -> Result<(), (StatusCode, String)> {
    store.revoke_within(id, "by an admin", &caller).map_err(refused)?; // `false` if it was revoked before: fine, too
    Ok(())
}

#[require_api_key]
async fn mine(caller: VerifiedKey, State(store): State<KeyStore>) -> Result<String, (StatusCode, String)> {
    let mine = store.of_owner(caller.owner()); // the same calls; keys of other owners are not found
    let page = mine.list(&KeyFilter::default()).map_err(refused)?;
    Ok(page.keys.iter().map(|key| format!("{} {}\n", key.id(), key.hint())).collect())
}

fn router(store: KeyStore) -> Router {
    Router::new()
        .route("/keys", post(create).get(mine))
        .route("/keys/{id}/rotate", post(rotate))
        .route("/keys/{id}", delete(revoke))
        .with_state(store.clone())         // for the handlers
        .layer(ApiKeyLayer::supply(store)) // for the attribute
}
