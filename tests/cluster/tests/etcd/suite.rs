//! The suite, on three members.

use std::sync::Arc;

use apikey_core::cluster::Ledger;
use apikey_engine::conformance;
use apikey_etcd::Etcd;

use super::shared_namespace;

fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
    let (endpoints, namespace) = shared_namespace();
    move || Arc::new(Etcd::new([&endpoints]).namespace(&namespace))
}

conformance!(namespace);
