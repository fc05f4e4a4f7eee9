use apikey_core::cluster::Reserved;
use apikey_engine::{OwnedSwap, damaged};

use super::keys::Keys;
use super::transaction::{Done, delete, holds, is_absent, one, put, range, read, transact};
use crate::failure::{Failure, full};
use crate::rpc::{Compare, RequestOp};
use crate::session::Connection;

/// All swaps are done by one transaction, if nobody else was there before; or none, and then it shows which are lost, and
/// the others are tried again. So what is written is written at one moment.
pub(crate) async fn reserve(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    swaps: &[OwnedSwap],
) -> Result<Vec<Reserved>, Failure> {
    let mut answers = vec![Reserved::Done; swaps.len()];
    let mut left: Vec<_> = swaps.iter().zip(&mut answers).collect();
    while !left.is_empty() {
        let ranges = left.iter().map(|(swap, _)| one(keys.reservation(generation, &swap.name)));
        let ranges: Vec<_> = ranges.collect();
        let compare = left.iter().map(|(swap, _)| expects(keys, generation, swap)).collect();
        let success = left.iter().filter_map(|(swap, _)| write(keys, generation, swap)).collect();
        let mut done = match transact(connection, compare, success, ranges.iter().cloned().map(range).collect()).await {
            Ok(done) if done.held => break,
            Ok(done) => done,
            Err(failure) if failure.is_no_space() => {
                let mut done = read(connection, ranges).await?;
                return without_space(left, &mut done, failure).map(|()| answers);
            }
            Err(failure) => return Err(failure),
        };
        let before = left.len();
        left = lose(left, &mut done)?;
        if left.len() == before {
            return Err(damaged("etcd did not do a transaction of which all holds").into());
        }
    }
    Ok(answers)
}

type Left<'a> = Vec<(&'a OwnedSwap, &'a mut Reserved)>;

/// Answers those that do not find what they expect, and returns the others.
fn lose<'a>(left: Left<'a>, done: &mut Done) -> Result<Left<'a>, Failure> {
    let mut others = Vec::with_capacity(left.len());
    for (swap, answer) in left {
        let held = done.value()?;
        if held == swap.old {
            others.push((swap, answer));
        } else {
            *answer = Reserved::Lost { held };
        }
    }
    Ok(others)
}

/// What etcd has no space for it may have done all the same.
fn without_space(left: Left<'_>, done: &mut Done, failure: Failure) -> Result<(), Failure> {
    let mut is_question = true;
    for (swap, answer) in left {
        let held = done.value()?;
        match (swap.is_question(), held == swap.old) {
            (true, true) => {}
            (true, false) => *answer = Reserved::Lost { held },
            (false, true) => is_question = false,
            (false, false) => return Err(failure),
        }
    }
    if is_question { Ok(()) } else { Err(full().into()) }
}

fn expects(keys: &Keys, generation: u64, swap: &OwnedSwap) -> Compare {
    let key = keys.reservation(generation, &swap.name);
    match &swap.old {
        Some(old) => holds(key, old.clone()),
        None => is_absent(key),
    }
}

fn write(keys: &Keys, generation: u64, swap: &OwnedSwap) -> Option<RequestOp> {
    let key = keys.reservation(generation, &swap.name);
    match &swap.new {
        _ if swap.is_question() => None,
        Some(new) => Some(put(key, new.clone())),
        None => Some(delete(key)),
    }
}
