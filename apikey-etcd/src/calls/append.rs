use apikey_core::cluster::{Appended, Fence, LedgerError, Position};
use apikey_engine::OwnedEntry;

use super::chunks::{self, Prepared};
use super::forms::{chunks_of, encode_entry, encode_floor, encode_position};
use super::keys::Keys;
use super::outcome::{decide, outcome};
use super::transaction::{delete, holds, is_absent, one, put, range, read, transact};
use crate::failure::{Failure, full};
use crate::rpc::{Compare, RequestOp};
use crate::session::Connection;

pub(crate) async fn begin(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    head: &Position,
) -> Result<bool, Failure> {
    let at = encode_position(head);
    let success = vec![
        put(keys.head(generation), at.clone()),
        put(keys.state(generation), at),
        put(keys.state_head(generation), Vec::new()),
        put(keys.floor(generation), encode_floor(head.number)),
    ];
    let done = transact(connection, vec![is_absent(keys.head(generation))], success, Vec::new()).await;
    match done {
        Ok(done) => Ok(done.held),
        Err(failure) if failure.is_no_space() => {
            let is_there = read(connection, vec![one(keys.head(generation))]).await?.value()?.is_some();
            // One that is there may be of this call.
            if is_there { Err(failure) } else { Err(full().into()) }
        }
        Err(failure) => Err(failure),
    }
}

/// The compare-and-swap of the head, and the entry.
pub(crate) async fn append(connection: &Connection, keys: &Keys, entry: &OwnedEntry) -> Result<Appended, Failure> {
    match in_one_place(connection, keys, entry).await {
        // Etcd answers so to what it has done, too, so this is no verdict.
        Err(failure) if failure.is_no_space() => {
            let mut done = read(connection, outcome(entry, keys).to_vec()).await?;
            match decide(entry, &mut done)? {
                Some(appended) => Ok(appended),
                None => Err(full().into()),
            }
        }
        other => other,
    }
}

async fn in_one_place(connection: &Connection, keys: &Keys, entry: &OwnedEntry) -> Result<Appended, Failure> {
    let generation = entry.generation;
    let mut compare = vec![holds(keys.head(generation), encode_position(&entry.base))];
    if let Some(Fence { cell, value }) = &entry.fence {
        compare.push(holds(keys.cell(cell)?, value.clone()));
    }
    let mut success = vec![
        put(keys.head(generation), encode_position(&entry.last)),
        put(keys.entry(generation, entry.first()), encode_entry(&entry.op, &entry.last, &entry.bytes)?),
    ];
    let manifest = keys.manifest(generation, &entry.op);
    let is_prepared = match chunks_of(entry.bytes.len())? {
        None => false,
        // In the same transaction.
        Some(1) => {
            success.push(put(keys.chunk(generation, &entry.op, 0), entry.bytes.clone()));
            false
        }
        Some(_) => match chunks::prepare(connection, keys, entry).await? {
            Prepared::Written(stands) => {
                compare.push(stands);
                success.push(delete(manifest));
                true
            }
            Prepared::Decided(appended) => return Ok(appended),
        },
    };
    finish(connection, keys, entry, compare, success, is_prepared).await
}

async fn finish(
    connection: &Connection,
    keys: &Keys,
    entry: &OwnedEntry,
    compare: Vec<Compare>,
    success: Vec<RequestOp>,
    is_prepared: bool,
) -> Result<Appended, Failure> {
    let mut done = transact(connection, compare, success, outcome(entry, keys).map(range).to_vec()).await?;
    if done.held {
        return Ok(Appended::Here);
    }
    let decided = decide(entry, &mut done)?;
    match decided {
        Some(appended) => {
            if is_prepared && matches!(appended, Appended::Lost { .. }) {
                chunks::sweep(connection, keys, entry.generation).await?;
            }
            Ok(appended)
        }
        // The head is the base, so it is the fence that does not hold.
        None if entry.fence.is_some() => Ok(Appended::Lost { head: entry.base }),
        None => Err(LedgerError::refused("the chunks of the entry were swept while they were being written").into()),
    }
}
