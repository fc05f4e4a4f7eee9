//! `debug_handler` below the attribute says what is wrong with a handler that is none.

#![allow(unused)]

use apikey::{VerifiedKey, require_api_key};
use axum::{Router, routing::get};

struct Order;

#[require_api_key(perm = "orders:read")]
#[axum::debug_handler]
async fn with_debug_handler(key: VerifiedKey) -> Order {
    Order
}

#[require_api_key(perm = "orders:read")]
async fn without(key: VerifiedKey) -> Order {
    Order
}

fn main() {
    let _: Router = Router::new().route("/", get(without));
}
