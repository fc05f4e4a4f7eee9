//! What the tests of each engine ask for, and how a ledger answers.

use std::time::{Duration, Instant};

use apikey_core::cluster::{LedgerError, LedgerResult, Position};
use apikey_engine::conformance::op;

/// A namespace that nobody else has, on any server.
pub(crate) fn fresh() -> String {
    let op = u128::from_be_bytes(op());
    format!("t{op:x}").chars().take(32).collect()
}

pub(crate) fn in_ms(milliseconds: u64) -> Instant {
    Instant::now() + Duration::from_millis(milliseconds)
}

/// An event of the history that these tests append.
pub(crate) fn at(number: u64) -> Position {
    apikey_engine::conformance::at(7, number)
}

/// Why a call is certainly not done.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(answer: LedgerResult<T>) -> String {
    match answer {
        Err(LedgerError::Refused { what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

/// Why a call may have been done.
#[track_caller]
pub(crate) fn unknown<T: std::fmt::Debug>(answer: LedgerResult<T>) -> String {
    match answer {
        Err(LedgerError::Unknown { what }) => what,
        other => panic!("not unknown: {other:?}"),
    }
}
