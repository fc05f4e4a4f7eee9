//! The same example for each web framework. The tests send the same requests to each of them.

pub mod shop;

use std::error::Error;

use apikey::{KeyStore, NewKey};

/// The result of an example.
pub type Outcome = Result<(), Box<dyn Error + Send + Sync>>;

/// A store with keys for a demonstration, and the port that the command line names, or 8080. Prints requests to try.
///
/// # Errors
/// The store cannot be made, or the argument is no port.
pub fn demo() -> Result<(KeyStore, u16), Box<dyn Error + Send + Sync>> {
    let port = std::env::args().nth(1).map_or(Ok(8080), |port| port.parse())?;
    let store = KeyStore::temporary()?;
    for (owner, grants) in [("alice", vec!["orders:*"]), ("root", vec!["orders:read", "admin", "audit:read"])] {
        let created = store.create(NewKey::for_owner(owner).permissions(grants))?;
        println!("curl -i -H 'X-API-Key: {}' http://127.0.0.1:{port}/orders", created.key.expose_secret());
    }
    Ok((store, port))
}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/frameworks.md")]
mod guide {}

#[cfg(doctest)]
#[doc = include_str!("../../../docs/guides/openapi.md")]
mod openapi_guide {}
