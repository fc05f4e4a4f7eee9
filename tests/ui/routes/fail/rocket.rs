//! rocket: the route macro has read the parameters already; and a key without the attribute is no request guard.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};

#[rocket::get("/below")]
#[require_api_key(perm = "orders:read")]
fn below() -> &'static str {
    "below"
}

#[rocket::get("/without")]
fn without_the_attribute(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

fn main() {}
