//! `tenant = ..`, and what it does not go with.

#![allow(unused)]

use apikey::{KeyStore, Rejection, VerifiedKey, require_api_key};

/// The framework runs the check before the function has its parameters.
#[require_api_key(perm = "orders:read", tenant = tenant)]
async fn in_the_signature(tenant: String, key: VerifiedKey) {}

#[require_api_key(tenant = "acme")]
async fn literal_in_the_signature() {}

#[require_api_key(optional, tenant = none)]
async fn no_key_has_no_tenant(key: Option<VerifiedKey>) {}

#[require_api_key(optional, request = token, store = store, tenant = tenant)]
fn optional(store: &KeyStore, token: &str, tenant: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant = "acme", tenant = none)]
fn twice(store: &KeyStore, token: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant)]
fn no_value(store: &KeyStore, token: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant = "Acme")]
fn no_name(store: &KeyStore, token: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant = 7)]
fn no_text(store: &KeyStore, token: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant = number)]
fn number(store: &KeyStore, token: &str, number: u64) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenant = tenant)]
fn perhaps(store: &KeyStore, token: &str, tenant: Option<String>) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = store, tenannt = tenant)]
fn slip(store: &KeyStore, token: &str, tenant: String) -> Result<(), Rejection> {
    Ok(())
}

fn main() {}
