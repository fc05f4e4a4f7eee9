//! A macro sees names: a renamed key is an ordinary parameter, which the framework refuses. So it fails closed.

#![allow(unused)]

use apikey::{VerifiedKey as Renamed, require_api_key};

#[require_api_key]
#[axum::debug_handler]
async fn renamed(key: Renamed) {}

fn main() {}
