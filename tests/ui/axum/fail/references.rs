//! A handler owns its key.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};

#[require_api_key(perm = "orders:read")]
async fn list(key: &VerifiedKey) -> String {
    owner(key)
}

fn owner(key: &VerifiedKey) -> String {
    key.owner().to_owned()
}

fn main() {}
