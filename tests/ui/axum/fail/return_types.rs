//! The function must be able to return a refusal.

#![allow(unused)]

use apikey::{Rejection, require_api_key};
use std::future::Future;

struct MyError;

#[require_api_key(request = token)]
fn nothing(token: &str) {}

#[require_api_key(request = token)]
async fn number(token: &str) -> u32 {
    1
}

#[require_api_key(request = token)]
fn own_error(token: &str) -> Result<u32, MyError> {
    Ok(1)
}

#[require_api_key(request = token)]
async fn hidden(token: &str) -> impl Iterator<Item = u8> {
    [1].into_iter()
}

#[require_api_key(request = token)]
fn hidden_future(token: &str) -> impl Future<Output = Result<u32, Rejection>> {
    async { Ok(1) }
}

#[require_api_key(request = token, on_reject = |rejection| rejection.status())]
fn other_type(token: &str) -> u32 {
    1
}

fn main() {}
