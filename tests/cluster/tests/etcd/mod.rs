//! etcd, with three members or one.

mod large;
mod loading;
mod member_lost;
mod opening;
mod space;
mod suite;
mod tls;
mod users;

use std::sync::{Arc, OnceLock};

use apikey_cluster_tests::etcd::{Members, MembersConfig, Shared};
use apikey_core::cluster::Ledger;
use apikey_engine::conformance::{Chain, soon};
use apikey_etcd::Etcd;

use crate::answers::{at, fresh, in_ms, refused, unknown};

/// The members of this run, which no test disturbs.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared::start(env!("CARGO_BIN_EXE_keep-engine"), env!("CARGO_TARGET_TMPDIR")))
}

/// How to reach the members of this run, and a namespace on them.
pub(crate) fn shared_namespace() -> (String, String) {
    (shared().endpoints().to_owned(), fresh())
}

/// One member with these arguments, for one test to disturb.
fn one(arguments: &[&str]) -> Members {
    Members::start(MembersConfig { count: 1, arguments, ..MembersConfig::default() })
}

/// A node of the namespace `test`.
fn node(members: &Members) -> Arc<dyn Ledger> {
    Arc::new(Etcd::new(members.endpoints()).namespace("test"))
}

/// The log of generation 1 in the namespace `test`.
fn chain(members: &Members) -> Chain {
    Chain::begin(&|| node(members))
}

/// Why a node does not reach its members.
#[track_caller]
fn refusal_of(ledger: &Etcd) -> String {
    refused(ledger.sight(1, soon()))
}
