//! A guarded function has one parameter more.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};

#[require_api_key(perm = "orders:read")]
async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[axum::debug_handler]
#[require_api_key(perm = "orders:read")]
async fn below() {}

#[axum::debug_handler]
#[require_api_key(perm = "orders:read")]
async fn below_with_key(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

async fn caller() {
    list().await;
}

fn main() {}
