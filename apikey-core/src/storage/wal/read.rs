//! Reading a write-ahead log after a crash, to find the changes that the database lacks.

use crate::base::codec;
use crate::base::codec::{CodecError, MAX_FRAME};
use crate::key::event::stored::{Event, Head};
use crate::token::digest::Digest;

use crate::storage::batch::Batch;
use crate::storage::wal::{Entry, LENGTH, SECTOR, SEGMENT};

#[derive(Debug, thiserror::Error)]
pub(crate) enum WalError {
    #[error("its write-ahead log goes on with change {next}, and its database ends at {last}")]
    Gap { last: u64, next: u64 },
    #[error("its write-ahead log is of another history than its database, at change {0}")]
    OtherHistory(u64),
    #[error("its write-ahead log is damaged behind change {last}: change {found} was acknowledged after that")]
    Lost { last: u64, found: u64 },
    #[error("an entry of its write-ahead log does not decode")]
    Entry(#[from] CodecError),
}

/// Returns the calls in the write-ahead log that a database with this head lacks, in order.
///
/// The log may have a part of the last write, which was not acknowledged: it ends at the first entry that is not whole.
pub(crate) fn beyond(wal: &[u8], head: &Head) -> Result<Vec<Batch>, WalError> {
    let mut segments = wal.chunks(SEGMENT).map(entries).collect::<Result<Vec<_>, _>>()?;
    // Leftovers of earlier use do not show which segment is first.
    segments.iter_mut().for_each(|entries| entries.retain(|entry| number(entry) > head.number));
    segments.sort_by_key(|entries| entries.first().map(number));
    let (mut calls, mut open) = (Vec::new(), Batch::default());
    // The number of the last entry, that of the last whole call, and the digest for the next event.
    let (mut last, mut acknowledged, mut digest) = (head.number, head.number, head.digest);
    for entry in segments.into_iter().flatten() {
        let number = number(&entry);
        if number != last.saturating_add(1) {
            break;
        }
        if open.writes.is_empty() && previous(&entry)? != digest {
            return Err(WalError::OtherHistory(number));
        }
        last = number;
        open.writes.push(entry.write.into_owned());
        if let Some(end) = entry.end {
            digest = codec::decode::<Head>(&end.head)?.digest;
            acknowledged = last;
            open.head = end.head.into_vec();
            open.ended = end.ended;
            calls.push(std::mem::take(&mut open));
        }
    }
    match later(wal, last) {
        None => Ok(calls),
        Some(next) if acknowledged == head.number => Err(WalError::Gap { last: head.number, next }),
        Some(found) => Err(WalError::Lost { last, found }),
    }
}

fn number(entry: &Entry<'_>) -> u64 {
    entry.write.event.0
}

fn previous(entry: &Entry<'_>) -> Result<Digest, CodecError> {
    Ok(codec::decode::<Event>(&entry.write.event.1)?.previous)
}

/// Reads the entries of a segment from its beginning, as long as they are whole and their numbers rise. Leftovers of
/// earlier use may follow them.
fn entries(segment: &[u8]) -> Result<Vec<Entry<'static>>, CodecError> {
    let mut entries: Vec<Entry<'static>> = Vec::new();
    let mut at = 0;
    while let Some((length, rest)) = segment.get(at..).and_then(<[u8]>::split_first_chunk::<LENGTH>) {
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            // A group ends here, and the next begins at a sector.
            if at.is_multiple_of(SECTOR) {
                break;
            }
            at = at.next_multiple_of(SECTOR);
            continue;
        }
        let Some(frame) = rest.get(..length).filter(|frame| frame.len() <= MAX_FRAME) else { break };
        match codec::decode::<Entry<'static>>(frame) {
            Ok(entry) if entries.last().is_none_or(|last| number(last) < number(&entry)) => entries.push(entry),
            Err(named @ (CodecError::Newer(_) | CodecError::Old)) => return Err(named),
            _ => break,
        }
        at += (LENGTH + length).next_multiple_of(LENGTH);
    }
    Ok(entries)
}

/// Finds a change whose group was written after the change that follows `last` was acknowledged, which is therefore
/// lost. The search considers only the beginnings of groups, and entries with a whole event, since an entry has bytes
/// that a caller may have chosen.
fn later(wal: &[u8], last: u64) -> Option<u64> {
    let first = |group: &[u8]| codec::carve::<Entry<'static>>(group.get(LENGTH..)?).map(|(entry, _)| entry);
    let found = (0..wal.len()).step_by(SECTOR).filter_map(|at| first(wal.get(at..)?));
    let found = found.filter(|entry| number(entry) > last && entry.group > last.saturating_add(1));
    let sound = found
        .filter(|entry| codec::decode::<Event>(&entry.write.event.1).is_ok_and(|event| event.number == number(entry)));
    sound.map(|entry| number(&entry)).min()
}
