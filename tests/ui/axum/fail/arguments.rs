//! What is no argument. Each mistake is one error, and the rest is still read.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};

#[require_api_key(perm = ["a", "b"])]
async fn list() {}

#[require_api_key(perm = 5)]
async fn number() {}

#[require_api_key(any())]
async fn of_nothing() {}

#[require_api_key(perm = "a", perm = "b")]
async fn perm_twice() {}

#[require_api_key(any("a", "b"), perm = "c")]
async fn two_requirements() {}

#[require_api_key("x")]
async fn bare() {}

#[require_api_key(permission = "a:b")]
async fn permission() {}

#[require_api_key(reqest = req)]
async fn slip() {}

#[require_api_key(colour = "red")]
async fn unknown() {}

#[require_api_key(perm)]
async fn no_value() {}

#[require_api_key(perm = , key = who)]
async fn half_typed() -> String {
    who.owner().to_owned()
}

#[require_api_key(optional = true)]
async fn optional_value() {}

#[require_api_key(key = "who")]
async fn key_literal() {}

#[require_api_key(key = a, key = b)]
async fn key_twice() -> String {
    a.owner().to_owned()
}

#[require_api_key(any = ["a", "b"])]
async fn no_parentheses() {}

#[require_api_key(any("a", perm = "b"))]
async fn name_in_list() {}

#[require_api_key(any("a" "b"))]
async fn no_comma() {}

#[require_api_key(perm = "a" key = who)]
async fn no_comma_between(key: VerifiedKey) {}

#[require_api_key(any("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13"))]
async fn thirteen() {}

#[require_api_key(prem = "a", stor = b, key = who)]
async fn all_are_reported() -> String {
    who.owner().to_owned()
}

fn main() {}
