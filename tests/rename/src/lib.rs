//! Uses `apikey` under another name: there is no crate `::apikey` here, so every path of an expansion that forgets
//! `crate = ..` is a compile error.

use keys::{KeyStore, Rejection, RequireApiKey, VerifiedKey, perm, permissions, require_api_key};

/// The facade, as another framework re-exports it.
pub mod web {
    pub use keys as api_keys;

    /// The framework's name for the attribute.
    #[macro_export]
    macro_rules! guarded {
        ($name:ident, $permission:literal) => {
            /// A guarded handler.
            #[$crate::web::api_keys::require_api_key(perm = $permission, key = who, crate = $crate::web::api_keys)]
            pub async fn $name() -> String {
                who.owner().to_owned()
            }
        };
    }
}

permissions! {
    /// What a key may do.
    pub enum Perm {
        /// Run reports.
        Run = "reports:run",
    }
}

/// In the signature.
#[require_api_key(any("reports:read", Perm::Run), catalog = AllPerms, crate = keys)]
pub async fn list(key: VerifiedKey) -> String {
    key.owner().to_owned()
}

permissions! {
    /// Every literal of this file.
    pub enum AllPerms {
        /// Read reports.
        Read = "reports:read",
    }
}

/// In the signature, and with perhaps no key.
#[require_api_key(optional, crate = web::api_keys)]
pub async fn greet(key: Option<VerifiedKey>) -> bool {
    key.is_some()
}

/// In the body, with the process's default store.
///
/// # Errors
/// The caller may not.
#[require_api_key(perm = Perm::Run, request = token, key = who, crate = keys)]
pub fn run(token: Option<&str>) -> Result<String, Rejection> {
    Ok(who.owner().to_owned())
}

/// In the body, with a store.
///
/// # Errors
/// The caller may not.
#[require_api_key(perm = "reports:run", request = token, store = store, crate = ::keys)]
pub fn run_with(store: &KeyStore, token: &str) -> Result<(), Rejection> {
    Ok(())
}

/// With the extractor instead of the attribute.
pub async fn extracted(key: RequireApiKey<perm!(all("reports:run", Perm::Run), crate = keys)>) -> String {
    key.owner().to_owned()
}

guarded!(by_macro, "reports:run");

#[cfg(test)]
mod tests {
    use super::*;
    use keys::{AuthError, NewKey, OptionalApiKey};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// The futures here are ready at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    fn store_with_key(grants: &[&str]) -> (KeyStore, String) {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner("alice").permissions(grants)).unwrap();
        (store, created.key.expose_secret().to_owned())
    }

    #[test]
    fn every_mode_finds_the_facade() {
        let (store, token) = store_with_key(&["reports:*"]);
        let key = store.verify(&token).unwrap();
        assert_eq!(now(list(RequireApiKey::assume(key.clone()))), "alice");
        assert_eq!(now(extracted(RequireApiKey::assume(key.clone()))), "alice");
        assert_eq!(now(by_macro(RequireApiKey::assume(key.clone()))), "alice");
        assert!(now(greet(OptionalApiKey::assume(Some(key)))));
        assert!(!now(greet(OptionalApiKey::assume(None))));
        assert!(run_with(&store, &token).is_ok());
        assert_eq!(run_with(&store, "").unwrap_err().error(), &AuthError::Invalid);
    }

    #[test]
    fn the_list_of_guarded_functions_finds_the_facade() {
        let lines: Vec<String> = keys::Guarded::all().iter().map(ToString::to_string).collect();
        for line in [
            "list requires any(reports:read, reports:run)",
            "greet allows any valid key",
            "run_with requires reports:run",
        ] {
            assert!(lines.contains(&format!("apikey_rename_test::{line}")), "{lines:?}");
        }
    }

    /// In a process of its own, since a process has one default store for good.
    #[test]
    fn the_installed_store_is_the_last_resort() {
        let (store, token) = store_with_key(&["reports:*"]);
        let (other, foreign) = store_with_key(&["reports:*"]);
        assert_eq!(run(Some(&token)).unwrap_err().error(), &AuthError::Unavailable);
        assert_eq!(run(None).unwrap_err().status(), 503);
        store.clone().install().unwrap();
        assert_eq!(run(Some(&token)).unwrap(), "alice");
        assert_eq!(run(None).unwrap_err().error(), &AuthError::Missing);
        assert_eq!(run(Some(&foreign)).unwrap_err().error(), &AuthError::Invalid);
        // The first one stays, and a store that is given comes first.
        assert!(other.clone().install().is_err());
        assert_eq!(run(Some(&token)).unwrap(), "alice");
        assert!(run_with(&other, &foreign).is_ok());
    }
}
