//! Constant expressions are checked by the compiler, at the token.

#![allow(unused)]

use apikey::{permissions, require_api_key};

permissions! {
    pub enum Perm {
        OrdersRead = "orders:read",
        OrdersWrite = "orders:write",
    }
}

struct Loose(&'static str);

impl Loose {
    const BAD: Self = Self("Orders:read");

    const fn as_str(self) -> &'static str {
        self.0
    }
}

#[require_api_key(perm = Perm::OrdersRaed)]
async fn typo() {}

#[require_api_key(perm = "orders:raed", catalog = Perm)]
async fn typo_in_a_literal() {}

#[require_api_key(any("orders:read", "orders:wirte"), catalog = Perm)]
async fn typo_in_a_list() {}

#[require_api_key(perm = Loose::BAD)]
async fn no_permission() {}

const TEXT: &str = "orders:read";

#[require_api_key(perm = TEXT)]
async fn text() {}

#[require_api_key(perm = "orders:read", catalog = Loose)]
async fn no_catalogue() {}

trait Scope {
    const PERM: Perm;
}

#[require_api_key(perm = S::PERM)]
async fn generic<S: Scope>() {}

fn main() {}
