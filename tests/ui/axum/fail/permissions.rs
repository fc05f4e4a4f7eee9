//! What is no permission.

#![allow(unused)]

use apikey::require_api_key;

#[require_api_key(perm = "Orders:read")]
async fn upper_case() {}

#[require_api_key(perm = "a::b")]
async fn empty_segment() {}

#[require_api_key(perm = "a b")]
async fn space() {}

#[require_api_key(perm = "a:*")]
async fn wildcard() {}

#[require_api_key(perm = "")]
async fn empty() {}

#[require_api_key(perm = "aaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaa:aaaaaaaaaaaaaaaa:aaaaaaaaaaaaa1")]
async fn too_long() {}

#[require_api_key(perm = "a:b:c:d:e:f:g:h:i")]
async fn too_many_segments() {}

#[require_api_key(any("orders:read", all("orders:write.", "stock:read"), "Stock"))]
async fn inside() {}

fn main() {}
