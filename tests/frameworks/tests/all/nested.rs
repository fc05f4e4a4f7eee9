//! A store around everything, and another one further in: a handler there uses the inner one, in every framework and
//! whatever form each of the two is supplied in.

#[path = "nested/actix.rs"]
mod actix;
#[path = "nested/grpc.rs"]
mod grpc;
#[path = "nested/salvo.rs"]
mod salvo_forms;
#[path = "nested/slots.rs"]
mod slots;

use std::sync::LazyLock;

use apikey::{KeyStore, NewKey, Requirement};
use apikey_testkit::Call;

/// A store, and a key in it.
pub(crate) struct Named {
    pub(crate) store: KeyStore,
    key: String,
}

impl Named {
    fn new(owner: &str) -> Self {
        let store = KeyStore::temporary().unwrap();
        let created = store.create(NewKey::for_owner(owner).permissions(["orders:read"])).unwrap();
        Self { store, key: created.key.expose_secret().to_owned() }
    }
}

pub(crate) static OUTER: LazyLock<Named> = LazyLock::new(|| Named::new("outer"));
pub(crate) static MIDDLE: LazyLock<Named> = LazyLock::new(|| Named::new("middle"));
pub(crate) static INNER: LazyLock<Named> = LazyLock::new(|| Named::new("inner"));

fn outer() -> KeyStore {
    OUTER.store.clone()
}

fn inner() -> KeyStore {
    INNER.store.clone()
}

fn any_key() -> Requirement {
    Requirement::authenticated()
}

/// The store that a handler inside of both uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Used {
    Outer,
    Inner,
    /// The framework does not show which of them is further in: every request is rejected.
    Neither,
}

/// One way to name both stores.
struct Row {
    who: String,
    /// Requests the path with a key; the status.
    ask: Box<dyn Fn(&str) -> u16>,
    used: Used,
}

impl Row {
    fn new(who: impl Into<String>, ask: impl Fn(&str) -> u16 + 'static) -> Self {
        Self { who: who.into(), ask: Box::new(ask), used: Used::Inner }
    }

    /// Over a socket.
    fn http(who: impl Into<String>, port: u16, path: impl Into<String>) -> Self {
        let path = path.into();
        Self::new(who, move |key| Call::get(&path).key(key).send(port).status)
    }

    fn uses(self, used: Used) -> Self {
        Self { used, ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_uses_the_innermost_store() {
    let mut rows = actix::rows();
    rows.extend(salvo_forms::rows().await);
    rows.extend(slots::rows().await);
    rows.extend(grpc::rows().await);
    for row in rows {
        let answers = [&OUTER.key, &INNER.key, &MIDDLE.key].map(|key| (row.ask)(key));
        let expected = match row.used {
            Used::Outer => [200, 401, 401],
            Used::Inner => [401, 200, 401],
            Used::Neither => [503; 3],
        };
        assert_eq!(answers, expected, "{}: {:?}", row.who, row.used);
    }
}
