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
use std::time::{Duration, Instant};

use apikey_cluster_tests::conformance::{Chain, op, soon};
use apikey_cluster_tests::etcd::{Members, MembersConfig, Shared};
use apikey_core::cluster::{Ledger, LedgerError, LedgerResult, Position};
use apikey_etcd::Etcd;

/// The members of this run, which no test disturbs.
fn shared() -> &'static Shared {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(|| Shared::start(env!("CARGO_BIN_EXE_keep-engine"), env!("CARGO_TARGET_TMPDIR")))
}

/// A namespace that nobody else has, on any cluster.
fn fresh() -> String {
    let op = u128::from_be_bytes(op());
    format!("t{op:x}").chars().take(32).collect()
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

fn in_ms(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

fn at(number: u64) -> Position {
    let mut digest = [7; 32];
    digest[..8].copy_from_slice(&number.to_be_bytes());
    Position { number, digest }
}

/// Why a call is certainly not done.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: LedgerResult<T>) -> String {
    match answer {
        Err(LedgerError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

/// Why a node does not reach its members.
#[track_caller]
fn refusal_of(ledger: &Etcd) -> String {
    refused(ledger.sight(1, soon()))
}

#[track_caller]
fn unknown<T: std::fmt::Debug>(answer: LedgerResult<T>) -> String {
    match answer {
        Err(LedgerError::Unknown { what }) => what,
        other => panic!("not unknown: {other:?}"),
    }
}
