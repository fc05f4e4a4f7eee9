//! The suite, and a cluster on the engine.

use std::sync::Arc;
use std::time::Instant;

use apikey_core::cluster::{Cluster, Ledger};
use apikey_core::{KeyStore, NewKey};
use own_engine::{Database, OwnEngine};

/// An empty database for each test; with a real one, a namespace that nobody else has.
fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
    let database = Arc::new(Database::new());
    move || Arc::new(OwnEngine::new(database.clone()))
}

apikey_engine::conformance!(namespace);

#[test]
fn what_one_node_revokes_another_one_refuses() {
    let database = Arc::new(Database::new());
    let node = |name: &str| {
        let engine = OwnEngine::new(database.clone()).namespace("acme").quota(1 << 30);
        KeyStore::builder().cluster(Cluster::new(engine).name(name)).temporary().unwrap()
    };
    let (one, two) = (node("one"), node("two"));
    let created = one.create(NewKey::for_owner("alice")).unwrap();
    assert_eq!(two.verify(created.key.expose_secret()).unwrap().owner(), "alice");
    two.revoke(created.info.id(), "leaked").unwrap();
    assert!(one.verify(created.key.expose_secret()).is_err());
}

#[test]
fn a_setting_that_is_not_allowed_is_the_error_of_each_call() {
    let engine = OwnEngine::new(Arc::new(Database::new())).namespace("Acme");
    let error = engine.sight(1, Instant::now()).unwrap_err().to_string();
    assert_eq!(error, "the namespace \"Acme\" is not allowed: 1 to 32 lower-case letters, digits and `_`");
}
