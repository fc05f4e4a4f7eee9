//! Loading the state of a cluster: every image is checked before anybody gets it, and all of them against the head.

use std::time::Instant;

use crate::access::named::{Kind, NamedId};
use crate::base::codec;
use crate::cluster::format::entry::position;
use crate::cluster::format::image::{ImageKind, unseal};
use crate::cluster::ledger::error::LedgerError;
use crate::cluster::ledger::{Ledger, LedgerResult, Piece, Position};
use crate::cluster::node::keeping::housekeeping::NOT_COUNTED;
use crate::key::event::stored::Head;
use crate::key::named::NamedRecord;
use crate::key::record::{Record, record_hash};
use crate::token::digest::Digester;

/// A part of the state.
pub(crate) enum StatePart<'i> {
    /// The load begins. It begins again if the engine has lost the moment of which it is: what came before does not count.
    Begin,
    Record(&'i Record, &'i [u8]),
    /// A role, a tenant or an owner.
    Named(&'i NamedRecord, &'i [u8]),
    /// What the idempotent request of this name made.
    Outcome(&'i [u8], &'i [u8]),
}

/// What the image of this name is of, if it is no key.
fn named(name: &[u8]) -> Option<(NamedId, Kind)> {
    let id = u128::from_be_bytes(name.try_into().ok()?);
    Some((id, Kind::of(id)?))
}

/// Loads the state of a generation, passes each part to `take`, and returns its head. What `take` got does not count
/// after an error.
pub(crate) fn load_state(
    ledger: &dyn Ledger,
    generation: u64,
    digesters: &[Digester],
    by: Instant,
    take: &mut dyn FnMut(StatePart<'_>) -> LedgerResult<()>,
) -> LedgerResult<Head> {
    let (mut records, mut sum) = (0, 0u128);
    let mut at: Option<(Position, Vec<u8>)> = None;
    let damaged = |what: String| LedgerError::Damaged { what };
    ledger.load(generation, by, &mut |piece| {
        let image = match piece {
            Piece::At(position, head) => {
                at = Some((position, head.to_vec()));
                (records, sum) = (0, 0);
                return take(StatePart::Begin);
            }
            Piece::Image(image) => image,
        };
        let Some(kind) = ImageKind::from_code(image.kind) else { return Ok(()) };
        let frame = unseal(kind, image.name, image.value.unwrap_or_default(), digesters)
            .map_err(|error| damaged(format!("an image of the state cannot be used: {error}")))?;
        match (kind, named(image.name)) {
            (ImageKind::Record, Some((id, kind))) => {
                let record = NamedRecord::decode(kind, frame).map_err(|error| {
                    damaged(format!("a role, tenant or owner of the state cannot be read: {error}"))
                })?;
                if record.id() != id {
                    return Err(damaged("a role, tenant or owner of the state has the name of another".into()));
                }
                records += 1;
                sum = sum.wrapping_add(record_hash(frame));
                take(StatePart::Named(&record, frame))
            }
            (ImageKind::Record, None) => {
                let record: Record = codec::decode(frame)
                    .map_err(|error| damaged(format!("a record of the state cannot be read: {error}")))?;
                if record.id.to_be_bytes() != image.name {
                    return Err(damaged("a record of the state has the name of another".into()));
                }
                records += 1;
                sum = sum.wrapping_add(record_hash(frame));
                take(StatePart::Record(&record, frame))
            }
            (ImageKind::Outcome, _) => take(StatePart::Outcome(image.name, frame)),
            (ImageKind::Head, _) => Err(damaged("a head is among the images".into())),
        }
    })?;
    let (place, head) = at.unwrap_or_default();
    // Only a log without events, or one that nobody has moved the state along, has a state without a head.
    let head = match head.as_slice() {
        [] => Head { number: place.number, digest: place.digest, ..Head::default() },
        value => {
            let unusable = |error: String| damaged(format!("the head of the state cannot be used: {error}"));
            let frame = unseal(ImageKind::Head, &generation.to_be_bytes(), value, digesters)
                .map_err(|error| unusable(error.to_string()))?;
            codec::decode(frame).map_err(|error| unusable(error.to_string()))?
        }
    };
    let is_counted = head.records != NOT_COUNTED;
    if position(&head) != place || (is_counted && (head.records, head.sum) != (records, sum)) {
        return Err(damaged("the state does not have the keys that its head says".into()));
    }
    Ok(Head { records, sum, ..head })
}
