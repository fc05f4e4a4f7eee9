use apikey_core::cluster::{LedgerError, Logged};
use apikey_engine::{damaged, no_log};

use super::chunks;
use super::forms::{StoredBytes, StoredEntry, encode_floor, entry, floor, position};
use super::keys::Keys;
use super::transaction::{Done, delete_all, holds, one, put, read as read_all, transact};
use crate::failure::Failure;
use crate::rpc::{KeyValue, RangeRequest};
use crate::session::Connection;

/// The entries of the first request of a read. The next ones ask for as many as their size so far suggests.
const FIRST: usize = 16;
/// The largest number of entries of one request: 4 MiB, if each is as large as it may be without chunks.
const MAX: usize = 256;
/// The entries that one step of a trim deletes: each may be one more operation of its transaction, of 128.
const TRIMMED: usize = 100;
/// How far before an event its entry is looked for first.
const NEAR: u64 = 16;

pub(crate) async fn read(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    after: u64,
    max_bytes: usize,
) -> Result<Vec<Logged>, Failure> {
    let mut next = after.saturating_add(1);
    let mut entries: Vec<Logged> = Vec::new();
    let (mut bytes, mut limit) = (0, FIRST);
    loop {
        let ranges = vec![one(keys.floor(generation)), one(keys.head(generation)), from(keys, generation, next, limit)];
        let mut done = read_all(connection, ranges).await?;
        let floor = floor_of(&mut done, generation)?;
        let head = position(&done.value()?.ok_or_else(|| no_log(generation))?)?;
        if entries.is_empty() && after < floor {
            return Err(LedgerError::BelowFloor { floor }.into());
        }
        // The end of the log; or what follows has been trimmed since.
        if head.number < next || next <= floor {
            return Ok(entries);
        }
        let revision = done.revision;
        let found = done.range()?;
        let mut pairs = found.kvs;
        let begins = pairs.first().map(|pair| first_of(keys, generation, pair)).transpose()?;
        if entries.is_empty() && begins != Some(next) {
            // The event lies inside of an entry.
            let around = entry_with(connection, keys, generation, next, floor, revision).await?;
            pairs.insert(0, around.ok_or_else(|| damaged(format!("the log has no event {next}")))?);
        }
        let has_more = found.more;
        for pair in pairs {
            let first = first_of(keys, generation, &pair)?;
            let stored = entry(&pair.value)?;
            let follows = if entries.is_empty() { first <= next } else { first == next };
            if !follows || stored.last.number < next {
                let what = format!("where event {next} belongs, the log has {first} to {}", stored.last.number);
                return Err(damaged(what).into());
            }
            let size = match &stored.bytes {
                StoredBytes::Inline(inline) => inline.len(),
                StoredBytes::InChunks(_, size) => *size,
            };
            if !entries.is_empty() && bytes + size > max_bytes {
                return Ok(entries);
            }
            let held = match stored.bytes {
                StoredBytes::Inline(inline) => inline,
                StoredBytes::InChunks(chunks, size) => {
                    chunks::gather(connection, keys, generation, &stored.op, (chunks, size), revision).await?
                }
            };
            bytes += size;
            next = stored.last.number.saturating_add(1);
            entries.push(Logged { first, last: stored.last, op: stored.op, bytes: held });
        }
        if !has_more || bytes >= max_bytes {
            return Ok(entries);
        }
        let average = (bytes / entries.len().max(1)).max(1);
        limit = ((max_bytes - bytes) / average + 1).clamp(FIRST, MAX);
    }
}

/// The entries whose first event has this number or a later one.
fn from(keys: &Keys, generation: u64, first: u64, limit: usize) -> RangeRequest {
    RangeRequest {
        key: keys.entry(generation, first),
        range_end: keys.entries_end(generation),
        limit: i64::try_from(limit).unwrap_or(i64::MAX),
        ..RangeRequest::default()
    }
}

/// The entry that began before this event and has it: etcd finds no last key before another one, so ever more are
/// listed.
async fn entry_with(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    event: u64,
    floor: u64,
    revision: i64,
) -> Result<Option<KeyValue>, Failure> {
    let mut distance = NEAR;
    loop {
        let begin = event.saturating_sub(distance).max(floor.saturating_add(1));
        let before = RangeRequest {
            key: keys.entry(generation, begin),
            range_end: keys.entry(generation, event),
            revision,
            keys_only: true,
            ..RangeRequest::default()
        };
        if before.key < before.range_end
            && let Some(key) = read_all(connection, vec![before]).await?.range()?.kvs.pop()
        {
            let whole = RangeRequest { key: key.key, revision, ..RangeRequest::default() };
            let Some(pair) = read_all(connection, vec![whole]).await?.one()? else { return Ok(None) };
            return Ok((entry(&pair.value)?.last.number >= event).then_some(pair));
        }
        if begin <= floor.saturating_add(1) {
            return Ok(None);
        }
        distance = distance.saturating_mul(16);
    }
}

/// The number of an entry's last event, and the entry if its bytes do not lie in chunks.
pub(crate) fn inline(keys: &Keys, generation: u64, pair: &KeyValue) -> Result<(u64, Option<Logged>), Failure> {
    let first = first_of(keys, generation, pair)?;
    let StoredEntry { op, last, bytes } = entry(&pair.value)?;
    let whole = match bytes {
        StoredBytes::Inline(bytes) => Some(Logged { first, last, op, bytes }),
        StoredBytes::InChunks(..) => None,
    };
    Ok((last.number, whole))
}

/// The number of an entry's first event, from its key.
fn first_of(keys: &Keys, generation: u64, pair: &KeyValue) -> Result<u64, Failure> {
    let digits = pair.key.len().checked_sub(20).and_then(|begin| pair.key.get(begin..));
    let first = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    match first {
        Some(first) if keys.entry(generation, first) == pair.key => Ok(first),
        _ => Err(damaged("an entry of the log has a key that is none").into()),
    }
}

fn floor_of(done: &mut Done, generation: u64) -> Result<u64, Failure> {
    Ok(floor(&done.value()?.ok_or_else(|| no_log(generation))?)?)
}

/// Deletes some entries and their chunks, and raises the floor. Returns whether there may be more to delete.
pub(crate) async fn trim(connection: &Connection, keys: &Keys, generation: u64, through: u64) -> Result<bool, Failure> {
    let mut done = read_all(connection, vec![one(keys.state(generation)), one(keys.floor(generation))]).await?;
    let state = position(&done.value()?.ok_or_else(|| no_log(generation))?)?;
    let floor = floor_of(&mut done, generation)?;
    // The state only goes on.
    if state.number < through {
        return Ok(false);
    }
    let oldest = read_all(connection, vec![from(keys, generation, floor.saturating_add(1), TRIMMED)]).await?.range()?;
    let mut last = None;
    let mut success = Vec::new();
    for pair in &oldest.kvs {
        let stored = entry(&pair.value)?;
        if stored.last.number > through {
            break;
        }
        last = Some(stored.last.number);
        if let StoredBytes::InChunks(..) = stored.bytes {
            success.push(delete_all(keys.chunks(generation, &stored.op)));
        }
    }
    let Some(last) = last else {
        chunks::sweep(connection, keys, generation).await?;
        return Ok(false);
    };
    success.push(put(keys.floor(generation), encode_floor(last)));
    let begin = keys.entry(generation, floor.saturating_add(1));
    success.push(delete_all((begin, keys.entry(generation, last.saturating_add(1)))));
    // Another node may trim, too: the floor never goes back.
    let unmoved = vec![holds(keys.floor(generation), encode_floor(floor))];
    transact(connection, unmoved, success, Vec::new()).await?;
    Ok(true)
}

/// The number of a log's head; `None` if there is none.
pub(crate) async fn head(connection: &Connection, keys: &Keys, generation: u64) -> Result<Option<u64>, Failure> {
    let head = read_all(connection, vec![one(keys.head(generation))]).await?.value()?;
    Ok(head.as_deref().map(position).transpose()?.map(|head| head.number))
}
