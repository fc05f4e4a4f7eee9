//! A handler that names the key and lacks the attribute is not open: it does not compile.

#![allow(unused)]

use apikey::VerifiedKey;

#[axum::debug_handler]
async fn forgotten(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

fn main() {}
