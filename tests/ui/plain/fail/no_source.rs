//! No framework is on, so a function has to say where its key comes from.

#![allow(unused)]

use apikey::{KeyStore, Rejection, VerifiedKey, require_api_key};
use http::HeaderMap;

#[require_api_key(perm = "orders:read")]
fn headers(headers: &HeaderMap) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(perm = "orders:read", key = key)]
async fn nothing_to_read() -> Result<String, Rejection> {
    Ok(key.owner().to_owned())
}

fn main() {}
