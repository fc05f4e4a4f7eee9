//! Entries that are too large for one request: their chunks are written first, and then one entry that refers to them.
//!
//! A manifest stands while chunks are being written. Each chunk is written only while it does, and the append deletes it, so
//! a manifest that is left says which chunks nobody refers to. It holds the base of its entry: once the head of the log is
//! another one, no append with this base can be done any more, and the chunks can go. That needs no clock and no grace.

use apikey_core::cluster::{Appended, LedgerError};
use apikey_engine::{OwnedEntry, damaged};

use super::forms::{CHUNK, encode_position};
use super::keys::Keys;
use super::outcome::{decide, outcome};
use super::transaction::{
    all, delete, delete_all, differs, holds, is_absent, is_unchanged, one, put, range, read, transact,
};
use crate::failure::Failure;
use crate::rpc::{Compare, RangeRequest};
use crate::session::Connection;

/// What became of the chunks of an entry.
pub(super) enum Prepared {
    /// They are written, as long as this holds.
    Written(Compare),
    /// It is known already how the append ends.
    Decided(Appended),
}

/// Writes the chunks of an entry. An earlier try may have written some, or all.
pub(super) async fn prepare(connection: &Connection, keys: &Keys, entry: &OwnedEntry) -> Result<Prepared, Failure> {
    let generation = entry.generation;
    let (manifest, base) = (keys.manifest(generation, &entry.op), encode_position(&entry.base));
    let at_base = || holds(keys.head(generation), base.clone());
    let stands = || holds(manifest.clone(), base.clone());
    let mut instead = outcome(entry, keys).map(range).to_vec();
    instead.push(range(one(manifest.clone())));
    let begin = vec![at_base(), is_absent(manifest.clone())];
    let mut done = transact(connection, begin, vec![put(manifest.clone(), base.clone())], instead.clone()).await?;
    let mut written = Vec::new();
    if !done.held {
        if let Some(appended) = decide(entry, &mut done)? {
            return Ok(Prepared::Decided(appended));
        }
        if done.value()? != Some(base.clone()) {
            // The same operation after another head, which was given up.
            sweep(connection, keys, generation).await?;
            return Err(LedgerError::refused("chunks of an earlier try after another head were in the way").into());
        }
        let earlier = RangeRequest { keys_only: true, ..all(keys.chunks(generation, &entry.op)) };
        written = read(connection, vec![earlier]).await?.range()?.kvs.into_iter().map(|chunk| chunk.key).collect();
    }
    for (number, chunk) in entry.bytes.chunks(CHUNK).enumerate() {
        if written.contains(&keys.chunk(generation, &entry.op, number)) {
            continue;
        }
        let write = vec![put(keys.chunk(generation, &entry.op, number), chunk.to_vec())];
        let mut done = transact(connection, vec![at_base(), stands()], write, instead.clone()).await?;
        if !done.held {
            return match decide(entry, &mut done)? {
                Some(appended) => {
                    sweep(connection, keys, generation).await?;
                    Ok(Prepared::Decided(appended))
                }
                None => Err(LedgerError::refused("the manifest of the entry was swept").into()),
            };
        }
    }
    Ok(Prepared::Written(stands()))
}

/// The bytes of an entry in chunks, as they were at this revision.
pub(super) async fn gather(
    connection: &Connection,
    keys: &Keys,
    generation: u64,
    op: &[u8; 16],
    (chunks, bytes): (usize, usize),
    revision: i64,
) -> Result<Vec<u8>, Failure> {
    let mut whole = Vec::with_capacity(bytes);
    for number in 0..chunks {
        let key = keys.chunk(generation, op, number);
        let chunk = RangeRequest { key, revision, ..RangeRequest::default() };
        let chunk = read(connection, vec![chunk]).await?.value()?;
        whole.extend(chunk.ok_or_else(|| damaged(format!("chunk {number} of an entry is gone")))?);
    }
    if whole.len() == bytes {
        Ok(whole)
    } else {
        Err(damaged(format!("the chunks of an entry have {} bytes instead of {bytes}", whole.len())).into())
    }
}

/// Deletes chunks to which no entry can refer any more.
pub(super) async fn sweep(connection: &Connection, keys: &Keys, generation: u64) -> Result<(), Failure> {
    let manifests = read(connection, vec![all(keys.manifests(generation))]).await?.range()?;
    for manifest in manifests.kvs {
        let Some(op) = keys.op_of_manifest(generation, &manifest.key) else { continue };
        let moved = differs(keys.head(generation), manifest.value);
        let is_the_same = is_unchanged(manifest.key.clone(), manifest.mod_revision);
        let sweep = vec![delete(manifest.key), delete_all(keys.chunks(generation, &op))];
        transact(connection, vec![moved, is_the_same], sweep, Vec::new()).await?;
    }
    Ok(())
}
