//! poem: the handler macro has read the parameters already; and a key without the attribute is no extractor.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};

#[poem::handler]
#[require_api_key(perm = "orders:read")]
fn below() -> &'static str {
    "below"
}

#[poem::handler]
fn without_the_attribute(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

fn main() {}
