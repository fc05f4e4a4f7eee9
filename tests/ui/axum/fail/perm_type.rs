//! The type of a requirement, written by hand.

#![allow(unused)]

use apikey::{RequireApiKey, perm};

async fn upper_case(key: RequireApiKey<perm!("Orders:read")>) {}

async fn nothing(key: RequireApiKey<perm!()>) {}

async fn several(key: RequireApiKey<perm!("a", "b")>) {}

struct NoRequirement;

async fn unknown(key: RequireApiKey<NoRequirement>) -> String {
    key.owner().to_owned()
}

fn main() {}
