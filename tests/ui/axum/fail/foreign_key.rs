//! A type that only has the name is not the key.

#![allow(unused)]

use apikey::require_api_key;

mod other {
    pub struct VerifiedKey;
}

#[require_api_key]
async fn foreign(key: other::VerifiedKey) {}

fn main() {}
