//! The suite, on a primary whose every commit waits for a standby.

use std::sync::Arc;

use apikey_core::cluster::Ledger;
use apikey_engine::conformance;
use apikey_postgres::Postgres;

use super::{fresh, shared};

fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
    let (server, namespace) = (shared().connection(), fresh());
    move || Arc::new(Postgres::new(&server).namespace(&namespace))
}

conformance!(namespace);

/// The same, where the operator states that there is no failover.
mod single {
    use super::*;

    fn namespace() -> impl Fn() -> Arc<dyn Ledger> {
        let (server, namespace) = (shared().connection(), fresh());
        move || Arc::new(Postgres::new(&server).namespace(&namespace).single())
    }

    conformance!(namespace);
}
