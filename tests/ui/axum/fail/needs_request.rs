//! A framework has its own store and its own way to refuse.

#![allow(unused)]

use apikey::{KeyStore, Rejection, require_api_key};

#[require_api_key(perm = "orders:read", store = keys)]
async fn store(keys: KeyStore) {}

#[require_api_key(perm = "orders:read", on_reject = |rejection: Rejection| rejection.status())]
async fn on_reject() -> u16 {
    200
}

fn main() {}
