//! The history of a replica, as its events show it: where a head of the log lies.

use crate::base::codec;
use crate::cluster::format::entry::position;
use crate::cluster::ledger::Position;
use crate::key::error::StoreError;
use crate::key::event::stored::{Event, Head};
use crate::storage::database::disk::Disk;
use crate::token::digest::Digest;

/// Where a head of the log lies, seen from the history of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    /// The replica ends there, or before it.
    Beyond,
    /// The replica's history goes through it, and on.
    Prefix,
    /// The replica has another event of this number.
    Fork,
    /// The replica's history begins after it.
    Unknown,
}

/// Compares a head of the log with the history of a replica that ends at `own`.
pub(crate) fn relation(disk: &Disk, own: &Head, head: &Position) -> Result<Relation, StoreError> {
    if head.number > own.number || *head == position(own) {
        return Ok(Relation::Beyond);
    }
    Ok(match digest_at(disk, own, head.number)? {
        None => Relation::Unknown,
        Some(digest) if digest == head.digest => Relation::Prefix,
        Some(_) => Relation::Fork,
    })
}

/// The digest of an event of the replica's history; `None` if it is purged, or was never there.
pub(crate) fn digest_at(disk: &Disk, own: &Head, number: u64) -> Result<Option<Digest>, StoreError> {
    if number >= own.number {
        return Ok((number == own.number).then_some(own.digest));
    }
    let next = number.saturating_add(1);
    let Some((found, frame)) = disk.events(next).next().transpose()? else { return Ok(None) };
    if found != next {
        return Ok(None);
    }
    Ok(Some(codec::decode::<Event>(&frame)?.previous))
}
