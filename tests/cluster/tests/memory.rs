//! The ledger in memory, by which the cluster itself is tested.

use std::sync::Arc;

use apikey_core::cluster::{Ledger, MemoryLedger};
use apikey_engine::conformance;

fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
    let ledger = MemoryLedger::new();
    move || Arc::new(ledger.another())
}

conformance!(namespace);
