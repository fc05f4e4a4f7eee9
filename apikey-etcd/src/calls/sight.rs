use apikey_core::cluster::{CellKind, CellName, Look, Sight, Space};
use apikey_engine::OwnedStanding;

use super::forms::{floor, position};
use super::keys::Keys;
use super::transaction::{Done, holds, one, put, range, read, transact};
use crate::failure::Failure;
use crate::rpc::{RangeRequest, StatusRequest};
use crate::session::Connection;

/// The bytes before the quota from which on a file counts as full: a request, and what etcd adds to it.
const MARGIN: u64 = 2 << 20;

pub(crate) async fn sight(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    quota: Option<u64>,
) -> Result<Sight, Failure> {
    let ranges = ranges(keys, generation)?;
    let (done, space) = tokio::join!(read(connection, ranges), space(connection, quota));
    decode(&mut done?, connection, space?)
}

/// The presence is renewed and all is read by one transaction. Where etcd takes no writes, it only reads.
///
/// `is_again`: an earlier try may have renewed the presence. Nobody else writes the value that it then has.
pub(crate) async fn renew(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    standing: &OwnedStanding,
    is_again: bool,
    quota: Option<u64>,
) -> Result<Look, Failure> {
    let OwnedStanding { cell, held: present, next } = standing;
    let key = keys.cell(cell)?;
    let all = ranges(keys, generation)?;
    let renewing = std::iter::once(put(key.clone(), next.clone())).chain(all.iter().cloned().map(range)).collect();
    let renewing = transact(connection, vec![holds(key.clone(), present.clone())], renewing, Vec::new());
    let (renewed, space) = tokio::join!(renewing, space(connection, quota));
    let space = space?;
    let standing = |mut done: Done| Ok::<_, Failure>(Box::new(decode(&mut done, connection, space)?));
    let is_full = match renewed {
        Ok(done) if done.held => return Ok(Look::Standing(standing(done)?)),
        Ok(_) => false,
        Err(failure) if failure.is_no_space() => true,
        Err(failure) => return Err(failure),
    };
    if !is_again && !is_full {
        return Ok(Look::NotListed);
    }
    // What the presence holds at the moment of the sight says all. What is refused for want of space may have been done.
    let mut done = read(connection, std::iter::once(one(key)).chain(all).collect()).await?;
    Ok(match done.value()? {
        Some(held) if held == *next => Look::Standing(standing(done)?),
        Some(held) if held == *present && is_full => Look::NotRenewed(standing(done)?),
        _ => Look::NotListed,
    })
}

/// All that there is to see.
fn ranges(keys: &Keys, generation: u64) -> Result<Vec<RangeRequest>, Failure> {
    let waiting = CellName { generation, kind: CellKind::Waiting, name: String::new() };
    Ok(vec![
        one(keys.meta()),
        one(keys.head(generation)),
        one(keys.state(generation)),
        one(keys.floor(generation)),
        one(keys.cell(&waiting)?),
    ])
}

fn decode(done: &mut Done, connection: &Connection, space: Option<Space>) -> Result<Sight, Failure> {
    Ok(Sight {
        meta: done.value()?,
        head: done.value()?.as_deref().map(position).transpose()?,
        state: done.value()?.as_deref().map(position).transpose()?,
        floor: done.value()?.as_deref().map(floor).transpose()?.unwrap_or_default(),
        waiting: done.value()?,
        space,
        identity: connection.identity(),
    })
}

/// How full the member is, where its quota is known.
async fn space(connection: &Connection, quota: Option<u64>) -> Result<Option<Space>, Failure> {
    let Some(quota) = quota.or(connection.quota) else { return Ok(None) };
    let status = connection.call(StatusRequest {}).await?;
    let bytes = |size: i64| u64::try_from(size).unwrap_or_default();
    Ok(Some(Space { used: used(bytes(status.db_size), bytes(status.db_size_in_use), quota), quota }))
}

/// The pages of the file that are in use: etcd uses the others again before the file grows. It compares the file with its
/// quota, though, so one that is about to reach it is full, whatever is in it.
fn used(file: u64, in_use: u64, quota: u64) -> u64 {
    if file.saturating_add(MARGIN) >= quota { file } else { in_use }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_at_the_quota_is_full_whatever_is_in_it() {
        let gib = 1 << 30;
        assert_eq!(used(gib, gib / 4, 2 * gib), gib / 4);
        assert_eq!(used(2 * gib - MARGIN, gib / 4, 2 * gib), 2 * gib - MARGIN);
    }
}
