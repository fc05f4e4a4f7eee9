//! Tenants: one service for several customers. Each has its own orders, and an administrator for its own keys.
#![allow(clippy::unwrap_used, reason = "a thread that panics with the lock has lost its orders anyway")]

use std::{collections::BTreeMap, sync::Arc, sync::Mutex};

use apikey::{ApiKeyLayer, JsonBody, KeyFilter, KeyStore, NewKey, Page, Problem, Rejection, Requirement, Role};
use apikey::{SecretResponse, StoreError, VerifiedKey, from_query, require_api_key};
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, request::Parts};
use axum::{Json, Router, routing::delete, routing::get};

type Orders = Arc<Mutex<BTreeMap<String, Vec<String>>>>; // by tenant
type Keys = State<KeyStore>;
type Tenant = Path<String>;
type Answer<T> = Result<T, Problem>;

#[require_api_key(perm = "orders:read", request = request, tenant = tenant)]
async fn list_orders(Path(tenant): Tenant, all: State<Orders>, request: Parts) -> Answer<Json<Vec<String>>> {
    Ok(Json(all.lock().unwrap().get(&tenant).cloned().unwrap_or_default()))
}

/// The answer for an order that does not exist is that for one of another tenant.
#[require_api_key(perm = "orders:read", request = request, tenant = path.0.0)]
async fn get_order(path: Path<(String, usize)>, all: State<Orders>, request: Parts) -> Answer<String> {
    let orders = all.lock().unwrap();
    Ok(orders.get(&path.0.0).and_then(|orders| orders.get(path.0.1)).cloned().ok_or_else(Rejection::not_found)?)
}

#[require_api_key(perm = "orders:write", request = request, tenant = tenant)]
async fn place_order(Path(tenant): Tenant, all: State<Orders>, request: Parts, order: String) -> Answer<StatusCode> {
    all.lock().unwrap().entry(tenant).or_default().push(order);
    Ok(StatusCode::CREATED)
}

/// The handle of the tenant bounds whose keys an administrator manages, and `within` what these keys may do.
#[require_api_key(perm = "keys:create", request = request, tenant = tenant.0, key = admin)]
async fn create_key(tenant: Tenant, keys: Keys, request: Parts, new: JsonBody<NewKey>) -> Answer<SecretResponse> {
    Ok(SecretResponse::created(keys.tenant(tenant.0)?.create(new.0.within(&admin))?))
}

#[require_api_key(perm = "keys:read", request = request, tenant = tenant.0, key = admin)]
async fn list_keys(tenant: Tenant, keys: Keys, request: Parts, query: RawQuery) -> Answer<Json<Page>> {
    let filter: KeyFilter = from_query(query.0.unwrap_or_default())?;
    Ok(Json(keys.tenant(tenant.0)?.list_within(&filter, &admin)?))
}

#[require_api_key(perm = "keys:revoke", request = request, tenant = path.0.0, key = admin)]
async fn revoke_key(path: Path<(String, String)>, keys: Keys, request: Parts) -> Answer<Json<bool>> {
    let (tenant, id) = &*path;
    Ok(Json(keys.tenant(tenant)?.revoke_within(id.parse()?, "by the administrator", &admin)?))
}

/// For those who run the service: their keys are of no tenant.
#[require_api_key(perm = "tenants:end", tenant = none)]
async fn end_tenant(operator: VerifiedKey, Path(tenant): Tenant, keys: Keys) -> Answer<Json<bool>> {
    Ok(Json(keys.end_tenant_within(&tenant, "by the operator", &operator)?))
}

fn app(store: KeyStore) -> Router {
    let keys = Router::new()
        .route("/{tenant}", delete(end_tenant))
        .route("/{tenant}/keys", get(list_keys).post(create_key))
        .route("/{tenant}/keys/{id}", delete(revoke_key));
    let orders = Router::new()
        .route("/{tenant}/orders", get(list_orders).post(place_order))
        .route("/{tenant}/orders/{number}", get(get_order));
    let guard = ApiKeyLayer::require(store.clone(), Requirement::authenticated());
    // The guard refuses callers without a valid key before axum reads a path or a body.
    keys.with_state(store).merge(orders.with_state(Orders::default())).layer(guard)
}

/// Makes a role and the first keys of a new store, and returns their tokens.
fn first_keys(store: &KeyStore) -> Result<Vec<(&'static str, String)>, StoreError> {
    if !store.list(&KeyFilter::default().limit(1))?.keys.is_empty() {
        return Ok(Vec::new());
    }
    store.put_role(Role::new("reader").permissions(["orders:read"]))?;
    let operator = store.create(NewKey::for_owner("operator").permissions(["*"]))?;
    let mut tokens = vec![("operator", operator.key.expose_secret().to_owned())];
    for tenant in ["acme", "apex", "zenith"] {
        let admin = NewKey::for_owner("admin").permissions(["orders:*", "keys:*"]);
        tokens.push((tenant, store.tenant(tenant)?.create(admin)?.key.expose_secret().to_owned()));
    }
    Ok(tokens)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = KeyStore::open("keys.db")?;
    for (name, token) in first_keys(&store)? {
        println!("{name}: {token}");
    }
    println!("try: curl -iH 'X-API-Key: ..' http://127.0.0.1:3000/acme/orders");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
    Ok(axum::serve(listener, app(store)).await?)
}

#[cfg(test)]
mod tests;
