//! Clippy's strictest lints find nothing in generated code: `.ci/run` lints this file, and
//! its test runs them.
//!
//! The lints that are allowed here concern the lines of this file itself.

#![deny(clippy::all, clippy::pedantic, clippy::restriction, clippy::nursery)]
#![allow(
    clippy::blanket_clippy_restriction_lints,
    clippy::implicit_return,
    clippy::missing_docs_in_private_items,
    clippy::single_call_fn,
    clippy::tests_outside_test_module,
    clippy::unwrap_used,
    clippy::too_many_arguments,
    clippy::unused_async,
    clippy::missing_errors_doc,
    clippy::needless_pass_by_value,
    clippy::exhaustive_enums,
    clippy::arbitrary_source_item_ordering,
    reason = "the author of this file does so"
)]

use axum::Router;
use axum::routing::get;

use apikey::{KeyStore, NewKey, Rejection, VerifiedKey, permissions, require_api_key};

permissions! {
    /// What a key may do.
    enum Perm {
        /// Read orders.
        OrdersRead = "orders:read",
        /// Change orders.
        OrdersWrite = "orders:write",
    }
}

#[require_api_key(any("orders:write", Perm::OrdersRead), catalog = Perm)]
async fn handler(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> &'static str {
    "fine"
}

#[require_api_key(perm = Perm::OrdersRead)]
async fn with_key(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

#[require_api_key(optional)]
async fn with_or_without(key: Option<VerifiedKey>) -> String {
    key.is_some().to_string()
}

#[require_api_key(perm = "orders:read", request = token, store = keys, key = who)]
fn function(token: &str, keys: &KeyStore) -> Result<String, Rejection> {
    Ok(who.owner().to_owned())
}

#[require_api_key(optional, request = token, store = keys, on_reject = |rejection| Err(rejection.status()))]
fn without_name(token: Option<&str>, keys: &KeyStore) -> Result<(), u16> {
    Ok(())
}

struct Shop {
    keys: KeyStore,
}

impl Shop {
    #[require_api_key(perm = "orders:read", store = self.keys)]
    fn method(&self, token: &str) -> Result<(), Rejection> {
        Ok(())
    }
}

#[test]
fn clippy_has_seen_functions_that_work() {
    let keys = KeyStore::temporary().unwrap();
    let created = keys.create(NewKey::for_owner("alice").permissions(Perm::ALL)).unwrap();
    let token = created.key.expose_secret();
    assert_eq!(function(token, &keys).unwrap(), "alice", "its own key");
    assert_eq!(without_name(None, &keys), Ok(()), "no key");
    assert_eq!(without_name(Some("bad"), &keys), Err(401), "a bad key");
    let shop = Shop { keys };
    assert!(shop.method(token).is_ok(), "its own key");
    let router: Router = Router::new().route("/a", get(with_key)).route("/b", get(with_or_without));
    assert!(router.has_routes(), "handlers are handlers");
    assert_eq!(size_of_val(&handler), 0, "a function");
}
