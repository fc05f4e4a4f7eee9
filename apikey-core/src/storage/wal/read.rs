//! Reading a journal after a crash: what the database lacks, or why it cannot be said.

use crate::base::codec;
use crate::base::codec::{CodecError, MAX_FRAME};
use crate::key::event::stored::{Event, Head};
use crate::token::digest::Digest;

use crate::storage::batch::Batch;
use crate::storage::wal::{Entry, HALF, LENGTH, SECTOR};

#[derive(Debug, thiserror::Error)]
pub(crate) enum JournalError {
    #[error("its journal goes on with change {next}, and its database ends at {last}")]
    Gap { last: u64, next: u64 },
    #[error("its journal is of another history than its database, at change {0}")]
    OtherHistory(u64),
    #[error("its journal is damaged behind change {last}: change {found} was acknowledged after that")]
    Lost { last: u64, found: u64 },
    #[error("an entry of its journal does not decode")]
    Entry(#[from] CodecError),
}

/// The calls that the journal holds and a database with this head lacks, in order.
///
/// What was written last, and not acknowledged, may be there in part: it ends at the first entry that is not whole.
pub(crate) fn beyond(journal: &[u8], head: &Head) -> Result<Vec<Batch>, JournalError> {
    let mut halves = journal.chunks(HALF).map(entries).collect::<Result<Vec<_>, _>>()?;
    // What an earlier time has left says nothing about which half comes first.
    halves.iter_mut().for_each(|entries| entries.retain(|entry| number(entry) > head.number));
    halves.sort_by_key(|entries| entries.first().map(number));
    let (mut calls, mut open) = (Vec::new(), Batch::default());
    // Of the last entry, of the last whole call, and of what comes next.
    let (mut last, mut acknowledged, mut digest) = (head.number, head.number, head.digest);
    for entry in halves.into_iter().flatten() {
        let number = number(&entry);
        if number != last + 1 {
            break;
        }
        if open.writes.is_empty() && previous(&entry)? != digest {
            return Err(JournalError::OtherHistory(number));
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
    match later(journal, last) {
        None => Ok(calls),
        Some(next) if acknowledged == head.number => Err(JournalError::Gap { last: head.number, next }),
        Some(found) => Err(JournalError::Lost { last, found }),
    }
}

fn number(entry: &Entry<'_>) -> u64 {
    entry.write.event.0
}

fn previous(entry: &Entry<'_>) -> Result<Digest, CodecError> {
    Ok(codec::decode::<Event>(&entry.write.event.1)?.previous)
}

/// The entries of a half from its beginning, as long as they are whole and their numbers rise: behind them may be what
/// an earlier time has left.
fn entries(half: &[u8]) -> Result<Vec<Entry<'static>>, CodecError> {
    let mut entries: Vec<Entry<'static>> = Vec::new();
    let mut at = 0;
    while let Some((length, rest)) = half.get(at..).and_then(<[u8]>::split_first_chunk::<LENGTH>) {
        let length = u32::from_le_bytes(*length) as usize;
        if length == 0 {
            // The end of a group: the next begins at a sector.
            if at.is_multiple_of(SECTOR) {
                break;
            }
            at = at.next_multiple_of(SECTOR);
            continue;
        }
        let Some(frame) = rest.get(..length).filter(|frame| frame.len() <= MAX_FRAME) else { break };
        match codec::decode::<Entry<'static>>(frame) {
            Ok(entry) if entries.last().is_none_or(|last| number(last) < number(&entry)) => entries.push(entry),
            Err(newer @ CodecError::Newer(_)) => return Err(newer),
            _ => break,
        }
        at += (LENGTH + length).next_multiple_of(LENGTH);
    }
    Ok(entries)
}

/// A change whose group was written after the one that follows `last` had been acknowledged. So that one is lost. Looked
/// for where groups begin, and with an event that is whole: an entry holds bytes that a caller may have chosen.
fn later(journal: &[u8], last: u64) -> Option<u64> {
    let first = |group: &[u8]| codec::carve::<Entry<'static>>(group.get(LENGTH..)?);
    let found = (0..journal.len()).step_by(SECTOR).filter_map(|at| first(journal.get(at..)?));
    let found = found.filter(|entry| number(entry) > last && entry.group > last + 1);
    let sound = found
        .filter(|entry| codec::decode::<Event>(&entry.write.event.1).is_ok_and(|event| event.number == number(entry)));
    sound.map(|entry| number(&entry)).min()
}
