//! The code around the attribute does not change what it does.

use apikey::{KeyStore, Rejection, require_api_key};
use axum::routing::get as on_get;
use http::{HeaderMap, StatusCode};

use crate::support::{Keys, get, owned, serve};

macro_rules! handler {
    ($vis:vis $name:ident, $permission:literal, $key:ident, $result:ty, $body:block) => {
        #[require_api_key(perm = $permission, key = $key)]
        $vis async fn $name() -> $result $body
    };
}

handler!(pub(crate) passed, "orders:read", who, String, { who.owner().to_owned() });

macro_rules! checked {
    ($source:expr, $store:expr, $permission:expr, $reject:expr, $($item:tt)*) => {
        #[require_api_key(any($permission, "z"), request = $source, store = $store, on_reject = $reject)]
        $($item)*
    };
}

checked! {
    headers, &keys, crate::axum_handlers::Perm::Read, |_| 401,
    fn fragments(headers: &HeaderMap, keys: KeyStore) -> u16 { 200 }
}

macro_rules! whole {
    ($source:ident, $store:ident, $item:item) => {
        #[require_api_key(perm = "orders:read", request = $source, store = $store)]
        $item
    };
}

whole! {
    headers, keys,
    fn item(headers: &HeaderMap, keys: &KeyStore) -> Result<u8, Rejection> { Ok(7) }
}

macro_rules! typed {
    ($($parameter:ident: $ty:ty),* => $body:expr) => {
        #[require_api_key(perm = "orders:read")]
        async fn typed($($parameter: $ty),*) -> String {
            $body
        }
    };
}

mod types {
    use super::*;
    typed!(key: apikey::VerifiedKey => key.owner().to_owned());
    pub(super) fn route() -> axum::routing::MethodRouter {
        on_get(typed)
    }
}

#[tokio::test]
async fn fragments_of_macro_rules() {
    let keys = Keys::granting(&["orders:read"]);
    for handler in [on_get(passed), types::route()] {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
        assert_eq!(get(&router, "/", None).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(fragments(&keys.headers(), keys.store.clone()), 200);
    assert_eq!(fragments(&HeaderMap::new(), keys.store.clone()), 401);
    assert_eq!(item(&keys.headers(), &keys.store).unwrap(), 7);
    assert!(item(&HeaderMap::new(), &keys.store).is_err());
}

/// Names that generated code must not use.
#[allow(dead_code, unused_macros, non_upper_case_globals, reason = "they are there to be in the way")]
mod shadowed {
    use ::apikey::require_api_key;

    pub(super) struct Ok;
    pub(super) struct Err;
    pub(super) struct Result;
    pub(super) struct Option;
    mod core {}
    mod std {}
    mod apikey {}
    const __apikey_k: u8 = 0;
    const key: u8 = 0;
    macro_rules! assert {
        ($($any:tt)*) => {
            compile_error!("not this one")
        };
    }

    #[require_api_key(perm = "orders:read", catalog = crate::axum_handlers::Perm, request = headers, store = keys, key = who)]
    pub(super) fn body(
        headers: &http::HeaderMap,
        keys: &::apikey::KeyStore,
    ) -> ::core::result::Result<::std::string::String, ::apikey::Rejection> {
        ::core::result::Result::Ok(::std::string::ToString::to_string(who.owner()))
    }

    #[require_api_key(perm = crate::axum_handlers::Perm::Read, key = who)]
    pub(super) async fn handler() -> ::std::string::String {
        ::std::string::ToString::to_string(who.owner())
    }
}

mod bare {
    #![no_implicit_prelude]

    #[::apikey::require_api_key(any("orders:read", self::Perm::Read), key = who)]
    pub(super) async fn handler() -> ::std::string::String {
        ::std::string::ToString::to_string(who.owner())
    }

    #[::apikey::require_api_key(perm = "orders:read", optional, request = headers, store = keys, key = who)]
    pub(super) fn body(
        headers: &::http::HeaderMap,
        keys: &::apikey::KeyStore,
    ) -> ::core::result::Result<bool, ::apikey::Rejection> {
        ::core::result::Result::Ok(who.is_some())
    }

    ::apikey::permissions! {
        pub(super) enum Perm {
            Read = "orders:read",
        }
    }
}

#[tokio::test]
async fn shadowed_names_and_no_prelude() {
    let keys = Keys::granting(&["orders:read"]);
    for handler in [on_get(shadowed::handler), on_get(bare::handler)] {
        let router = serve(&keys, handler);
        assert_eq!(get(&router, "/", Some(&keys.key)).await, (StatusCode::OK, owned("alice")));
    }
    assert_eq!(shadowed::body(&keys.headers(), &keys.store).unwrap(), "alice");
    assert!(bare::body(&keys.headers(), &keys.store).unwrap());
    assert!(!bare::body(&HeaderMap::new(), &keys.store).unwrap());
    assert_eq!(bare::Perm::named("orders:read"), Some(bare::Perm::Read));
}

/// Generated code does not use a local variable of the author by mistake.
#[test]
fn names_of_the_author() {
    const __APIKEY: u8 = 1;
    #[require_api_key(request = __apikey_key, store = __apikey_rejection, key = k)]
    fn same_names(__apikey_key: &str, __apikey_rejection: &KeyStore) -> Result<String, Rejection> {
        Ok(format!("{} {}", k.owner(), __apikey_key.len() + usize::from(__APIKEY)))
    }
    let keys = Keys::granting(&[]);
    let length = keys.key.len() + 1;
    assert_eq!(same_names(&keys.key, &keys.store).unwrap(), format!("alice {length}"));
}
