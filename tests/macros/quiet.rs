//! Generated code causes no warning, however strict its surroundings are.

#![deny(warnings)]
#![allow(dead_code, reason = "nobody calls these handlers")]
#![deny(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_parens,
    unused_qualifications,
    single_use_lifetimes,
    elided_lifetimes_in_paths,
    let_underscore_drop,
    unused_results,
    non_ascii_idents,
    unsafe_code
)]

use apikey::{KeyStore, Rejection, VerifiedKey, permissions, require_api_key};

permissions! {
    /// What a key may do.
    pub enum Perm {
        /// Read orders.
        OrdersRead = "orders:read",
    }
}

/// A handler.
#[require_api_key(any("orders:write", Perm::OrdersRead), catalog = AllPerms)]
pub async fn handler(_: u8, _: u8, _: u8, _: u8, _: u8, _: u8, _: u8) -> &'static str {
    "fine"
}

permissions! {
    enum AllPerms {
        Write = "orders:write",
    }
}

/// A handler with its key.
#[require_api_key(perm = Perm::OrdersRead)]
pub async fn with_key(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

/// A function.
///
/// # Errors
/// The key is refused.
#[require_api_key(perm = "orders:read", request = (token), store = (keys), key = who)]
pub fn function(token: &str, keys: &KeyStore) -> Result<String, Rejection> {
    Ok(who.owner().to_owned())
}

/// A function without a name for the key.
///
/// # Errors
/// The key is refused.
#[require_api_key(optional, request = token, store = keys, on_reject = |rejection| Err(rejection.status()))]
pub fn without_name(token: &str, keys: &KeyStore) -> Result<(), u16> {
    Ok(())
}

#[test]
fn it_compiles() {
    assert_eq!(Perm::ALL.len() + AllPerms::ALL.len(), 2);
    assert_eq!(Perm::named("orders:read").map(Perm::as_str), Some("orders:read"));
    assert!(AllPerms::named("orders:read").is_none());
}
