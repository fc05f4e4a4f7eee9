use apikey_core::cluster::Tally;
use apikey_engine::damaged;

use super::keys::Keys;
use super::transaction::{all, delete_all, one, put, read, transact};
use crate::failure::{Failure, full};
use crate::rpc::RangeRequest;
use crate::session::Connection;

/// The tallies of one request, of each begin of a name.
const PAGE: i64 = 1000;

pub(crate) async fn tally(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    tallies: &[Tally],
) -> Result<(), Failure> {
    let set = |tally: &Tally| put(keys.tally(generation, &tally.name), tally.value.clone());
    match transact(connection, Vec::new(), tallies.iter().map(set).collect(), Vec::new()).await {
        Ok(_) => Ok(()),
        Err(failure) if failure.is_no_space() => {
            // It may have been done all the same.
            let held = tallies.iter().map(|tally| one(keys.tally(generation, &tally.name))).collect();
            let mut held = read(connection, held).await?;
            for tally in tallies {
                if held.value()?.as_ref() != Some(&tally.value) {
                    return Err(full().into());
                }
            }
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}

pub(crate) async fn tallies(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    begins: &[Vec<u8>],
) -> Result<Vec<Tally>, Failure> {
    if begins.is_empty() {
        return Ok(Vec::new());
    }
    let first = |begin: &Vec<u8>| RangeRequest { limit: PAGE, ..all(keys.tallies(generation, begin)) };
    let mut done = read(connection, begins.iter().map(first).collect()).await?;
    let revision = done.revision;
    let mut tallies = Vec::new();
    for begin in begins {
        let mut page = done.range()?;
        loop {
            let last = page.kvs.last().map(|pair| pair.key.clone());
            for pair in page.kvs {
                let name = keys.tally_name(generation, &pair.key);
                let name = name.ok_or_else(|| damaged("a tally has a key that is none"))?;
                tallies.push(Tally { name, value: pair.value });
            }
            let Some(last) = last.filter(|_| page.more) else { break };
            let (_, range_end) = keys.tallies(generation, begin);
            let next = RangeRequest { limit: PAGE, revision, ..all((after(&last), range_end)) };
            page = read(connection, vec![next]).await?.range()?;
        }
    }
    Ok(tallies)
}

/// Deletes some. Returns whether there may be more.
pub(crate) async fn forget_tallies(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    from: &[u8],
    to: &[u8],
) -> Result<bool, Failure> {
    let (begin, end) = (keys.tally(generation, from), keys.tally(generation, to));
    if begin >= end {
        return Ok(false);
    }
    let oldest = RangeRequest { limit: PAGE, keys_only: true, ..all((begin.clone(), end)) };
    let oldest = read(connection, vec![oldest]).await?.range()?;
    let Some(last) = oldest.kvs.last() else { return Ok(false) };
    transact(connection, Vec::new(), vec![delete_all((begin, after(&last.key)))], Vec::new()).await?;
    Ok(oldest.more)
}

/// The first key after this one.
fn after(key: &[u8]) -> Vec<u8> {
    [key, &[0]].concat()
}
