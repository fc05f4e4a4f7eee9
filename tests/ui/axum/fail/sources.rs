//! The key must come from somewhere.

#![allow(unused)]

use apikey::{KeyStore, Rejection, require_api_key};

#[require_api_key(request = n)]
fn no_source(n: u32) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = rq)]
fn typo(req: &str) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(request = token, store = number)]
fn no_store(token: &str, number: u32) -> Result<(), Rejection> {
    Ok(())
}

struct Shop {
    keys: KeyStore,
}

impl Shop {
    #[require_api_key(perm = "orders:read", store = self.keys)]
    fn nothing_to_read(&self) -> Result<(), Rejection> {
        Ok(())
    }

    #[require_api_key(perm = "orders:read", store = self.keys, key = who)]
    fn pattern(&self, (left, _): (&str, &str)) -> Result<String, Rejection> {
        Ok(format!("{left} {}", who.owner()))
    }
}

fn main() {}
