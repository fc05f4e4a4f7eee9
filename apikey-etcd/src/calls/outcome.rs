//! How an append ended.

use apikey_core::cluster::Appended;
use apikey_engine::{OwnedEntry, no_log};

use super::forms::{entry as stored, position};
use super::keys::Keys;
use super::transaction::{Done, one};
use crate::failure::Failure;
use crate::rpc::RangeRequest;

/// What decides how an append ended: the head, and the entry in the place of this one.
pub(super) fn outcome(entry: &OwnedEntry, keys: &Keys) -> [RangeRequest; 2] {
    [one(keys.head(entry.generation)), one(keys.entry(entry.generation, entry.first()))]
}

/// How an append ended; `None` if it can still be done, as the head is the base.
pub(super) fn decide(entry: &OwnedEntry, done: &mut Done) -> Result<Option<Appended>, Failure> {
    let head = done.value()?.ok_or_else(|| no_log(entry.generation))?;
    let in_place = done.value()?;
    if let Some(value) = in_place
        && stored(&value)?.op == entry.op
    {
        return Ok(Some(Appended::Here));
    }
    let head = position(&head)?;
    Ok((head != entry.base).then_some(Appended::Lost { head }))
}
