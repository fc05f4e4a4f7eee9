//! The ledger in memory, by which the cluster itself is tested.

use std::sync::Arc;

use apikey_cluster_tests::conformance;
use apikey_core::cluster::{Ledger, MemoryLedger};

fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
    let ledger = MemoryLedger::new();
    move || Arc::new(ledger.another())
}

conformance!(namespace);
