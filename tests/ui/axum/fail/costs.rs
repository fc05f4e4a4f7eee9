//! `cost = n`, and what is no cost.

#![allow(unused)]

use apikey::{KeyStore, Rejection, VerifiedKey, require_api_key};

const COST: u32 = 5;

#[require_api_key(perm = "reports:run", cost = 0)]
async fn nothing() {}

#[require_api_key(perm = "reports:run", cost = -5)]
async fn negative() {}

#[require_api_key(perm = "reports:run", cost = 1_000_001)]
async fn too_much(key: VerifiedKey) {}

#[require_api_key(perm = "reports:run", cost = 1.5)]
async fn a_part() {}

#[require_api_key(perm = "reports:run", cost = "5")]
async fn a_text() {}

#[require_api_key(perm = "reports:run", cost = COST)]
async fn a_constant() {}

#[require_api_key(request = token, store = store, cost = units)]
fn a_parameter(store: &KeyStore, token: &str, units: u32) -> Result<(), Rejection> {
    Ok(())
}

#[require_api_key(perm = "reports:run", cost)]
async fn no_value() {}

#[require_api_key(perm = "reports:run", cost = 5, cost = 6)]
async fn twice() {}

#[require_api_key(perm = "reports:run", costs = 5)]
async fn slip() {}

#[require_api_key(perm = "reports:run", weight = 5)]
async fn another_name() {}

fn main() {}
