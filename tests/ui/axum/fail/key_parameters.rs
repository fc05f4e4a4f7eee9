//! The key is bound once, by a parameter or by a name.

#![allow(unused)]

use apikey::{Rejection, VerifiedKey, require_api_key};

struct Shop;

impl Shop {
    #[require_api_key]
    fn method(&self, request: &str, key: VerifiedKey) -> Result<(), Rejection> {
        let _ = key.owner();
        Ok(())
    }
}

#[require_api_key(request = token)]
fn in_body(token: &str, key: VerifiedKey) -> Result<(), Rejection> {
    let _ = key.owner();
    Ok(())
}

#[require_api_key]
async fn two(first: VerifiedKey, second: VerifiedKey) -> String {
    format!("{} {}", first.owner(), second.owner())
}

#[require_api_key(key = who)]
async fn both(key: VerifiedKey) -> String {
    format!("{} {}", key.owner(), who.owner())
}

#[require_api_key(optional)]
async fn not_optional(key: VerifiedKey) {}

#[require_api_key]
async fn needlessly_optional(key: Option<VerifiedKey>) {}

fn main() {}
