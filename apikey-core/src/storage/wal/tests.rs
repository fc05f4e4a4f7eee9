use proptest::prelude::*;

use crate::base::codec::golden;
use crate::key::event::actor::Origin;
use crate::key::event::kind::EventKind;
use crate::key::event::stored::{Event, Head};
use crate::key::subject::Subject;
use crate::storage::wal::*;

/// Calls with these numbers of changes, from the first change of a store on, with the heads before them and at the end.
fn history(calls: &[usize]) -> (Vec<Batch>, Vec<Head>) {
    let mut head = Head::default();
    let mut heads = vec![head];
    let batches = calls.iter().map(|changes| {
        let mut batch = Batch::default();
        for _ in 0..*changes {
            head.number += 1;
            let event = Event {
                number: head.number,
                at: 0,
                subject: Subject::Key(head.number.into()),
                kind: EventKind::Created,
                origin: Origin::default(),
                previous: head.digest,
                pepper: 0,
                unknown: Unknown::default(),
            };
            head.digest = [head.number.to_le_bytes()[0]; 32];
            batch.writes.push(write(head.number, codec::encode(&event).unwrap()));
        }
        batch.head = codec::encode(&head).unwrap();
        heads.push(head);
        batch
    });
    (batches.collect(), heads)
}

fn write(number: u64, event: Vec<u8>) -> Write {
    Write {
        subject: Subject::Key(number.into()),
        tenant: None,
        owner: "alice".into(),
        is_new: true,
        record: Some(vec![7; 150].into()),
        imported_in: vec![[1; 32]],
        imported_out: Vec::new(),
        event: (number, event.into()),
        outcome: None,
    }
}

/// The file after each call was written as a group of its own.
fn file(calls: &[Batch]) -> (tempfile::TempDir, Wal) {
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(directory.path()).unwrap();
    for call in calls {
        wal.waiting().push(call);
        assert!(wal.write().unwrap());
    }
    (directory, wal)
}

fn numbers(calls: &[Batch]) -> Vec<Vec<u64>> {
    calls.iter().map(|call| call.writes.iter().map(|write| write.event.0).collect()).collect()
}

fn bytes_of(calls: &[Batch]) -> Vec<u8> {
    let (directory, _wal) = file(calls);
    Wal::bytes(directory.path()).unwrap()
}

/// The offset at which the group of a call begins.
fn group(bytes: &[u8], first: u64) -> usize {
    let holds = |at: &usize| {
        let entry = codec::carve::<Entry<'static>>(&bytes[*at + LENGTH..]);
        entry.is_some_and(|(entry, _)| entry.write.event.0 == first)
    };
    (0..bytes.len()).step_by(SECTOR).find(holds).unwrap()
}

#[test]
fn what_the_database_lacks_is_found_and_nothing_else() {
    let (calls, heads) = history(&[1, 3, 1]);
    let bytes = bytes_of(&calls);
    for (known, head) in heads.iter().enumerate() {
        let found = beyond(&bytes, head).unwrap();
        assert_eq!(numbers(&found), numbers(&calls[known..]));
        assert!(found.iter().zip(&calls[known..]).all(|(found, call)| found.writes == call.writes));
        assert!(found.iter().zip(&calls[known..]).all(|(found, call)| found.head == call.head));
    }
    assert!(beyond(&[], &heads[0]).unwrap().is_empty());
}

#[test]
fn a_write_ahead_log_that_is_opened_begins_anew() {
    let (calls, heads) = history(&[1, 2]);
    let (directory, wal) = file(&calls);
    drop(wal);
    drop(Wal::open(directory.path()).unwrap());
    let bytes = Wal::bytes(directory.path()).unwrap();
    assert_eq!(bytes, vec![0; 2 * SEGMENT]);
    assert!(beyond(&bytes, &heads[0]).unwrap().is_empty());
}

#[test]
fn a_group_that_is_torn_was_not_acknowledged_and_is_left_out() {
    let (calls, heads) = history(&[1, 1, 4]);
    let bytes = bytes_of(&calls);
    let last = group(&bytes, 3);
    for cut in last..last + 1200 {
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        let found = beyond(&torn, &heads[0]).unwrap();
        assert!(numbers(&found) == [vec![1], vec![2]] || numbers(&found) == numbers(&calls), "{cut}");
    }
    // Its first sector is missing, and the others are there.
    let mut torn = bytes;
    torn[last..last + SECTOR].fill(0);
    assert_eq!(numbers(&beyond(&torn, &heads[0]).unwrap()), [[1], [2]]);
}

#[test]
fn several_calls_of_a_group_are_each_whole_or_not_there() {
    let (calls, heads) = history(&[1, 2, 1]);
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(directory.path()).unwrap();
    for call in &calls {
        wal.waiting().push(call);
    }
    assert!(wal.write().unwrap());
    let bytes = Wal::bytes(directory.path()).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for cut in (0..4 * SECTOR).step_by(LENGTH) {
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        let found = numbers(&beyond(&torn, &heads[0]).unwrap());
        assert_eq!(found, numbers(&calls[..found.len()]));
        seen.insert(found.len());
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
}

#[test]
fn damage_to_what_was_acknowledged_is_an_error() {
    let (calls, heads) = history(&[1, 1, 1, 1]);
    let bytes = bytes_of(&calls);
    for lost in 1..=2 {
        let mut bad = bytes.clone();
        bad[group(&bytes, lost + 1) + 40] ^= 1;
        let fault = beyond(&bad, &heads[0]).err().unwrap();
        assert!(matches!(fault, WalError::Lost { last, .. } if last == lost), "{fault}");
    }
    // Without a later group the log cannot distinguish it from one that was not acknowledged; the mark can.
    let mut bad = bytes.clone();
    bad[group(&bytes, 4) + 40] ^= 1;
    assert_eq!(beyond(&bad, &heads[0]).unwrap().len(), 3);
}

#[test]
fn a_database_that_went_back_behind_its_write_ahead_log_is_an_error() {
    let (calls, heads) = history(&[1, 1, 1]);
    let bytes = bytes_of(&calls[2..]);
    assert!(matches!(beyond(&bytes, &heads[1]), Err(WalError::Gap { last: 1, next: 3 })));
    let other = Head { digest: [99; 32], ..heads[2] };
    assert!(matches!(beyond(&bytes, &other), Err(WalError::OtherHistory(3))));
}

#[test]
fn the_segments_take_turns_and_what_is_full_asks_for_the_database() {
    let (calls, heads) = history(&[1; 9000]);
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(directory.path()).unwrap();
    let write = |call: &Batch| {
        wal.waiting().push(call);
        wal.write().unwrap()
    };
    let first_that_does_not_fit = calls.iter().position(|call| !write(call)).unwrap();
    assert!(wal.needs_checkpoint() && first_that_does_not_fit > SEGMENT / SECTOR / 2);
    let found = beyond(&Wal::bytes(directory.path()).unwrap(), &heads[0]).unwrap();
    assert_eq!(numbers(&found), numbers(&calls[..first_that_does_not_fit]));
    // The database has all of it, so one segment is free, and after a rotation the other.
    let mut at = first_that_does_not_fit + 1;
    for _ in 0..3 {
        let settled = heads[at];
        assert!(wal.rotate());
        wal.release();
        assert!(!wal.needs_checkpoint());
        for _ in 0..SEGMENT / SECTOR / 3 {
            assert!(write(&calls[at]));
            at += 1;
        }
        let found = beyond(&Wal::bytes(directory.path()).unwrap(), &settled).unwrap();
        assert_eq!(found.len(), SEGMENT / SECTOR / 3);
        assert_eq!(numbers(&found).concat().last(), Some(&(at as u64)));
    }
}

#[test]
fn what_does_not_fit_at_all_is_the_databases_to_make_durable() {
    let (calls, heads) = history(&[1, 6000, 1]);
    let directory = tempfile::tempdir().unwrap();
    let wal = Wal::open(directory.path()).unwrap();
    wal.waiting().push(&calls[0]);
    assert!(wal.write().unwrap());
    wal.waiting().push(&calls[1]);
    assert!(!wal.write().unwrap());
    wal.waiting().push(&calls[2]);
    assert!(wal.write().unwrap());
    let bytes = Wal::bytes(directory.path()).unwrap();
    assert_eq!(numbers(&beyond(&bytes, &heads[2]).unwrap()), [[6002]]);
    assert!(matches!(beyond(&bytes, &heads[0]), Err(WalError::Lost { last: 1, found: 6002 })));
}

/// Behind what an earlier time has left in a segment, an entry of the torn group that was to replace it.
#[test]
fn what_an_earlier_time_left_does_not_decide_the_order_of_the_halves() {
    let (calls, heads) = history(&[1; 5]);
    let group = |calls: &[Batch]| {
        let mut waiting = Unflushed::default();
        calls.iter().for_each(|call| waiting.push(call));
        waiting.bytes
    };
    let padded = |mut bytes: Vec<u8>| {
        bytes.resize(bytes.len().next_multiple_of(SECTOR), 0);
        bytes
    };
    let last = group(&calls[3..]);
    let first_entry = (LENGTH + u32::from_le_bytes(*last.first_chunk().unwrap()) as usize).next_multiple_of(LENGTH);
    let mut bytes = [padded(group(&calls[..1])), padded(last[first_entry..].to_vec())].concat();
    bytes.resize(SEGMENT, 0);
    bytes.extend([padded(group(&calls[1..2])), padded(group(&calls[2..3]))].concat());
    bytes.resize(2 * SEGMENT, 0);
    assert_eq!(numbers(&beyond(&bytes, &heads[1]).unwrap()), [[2], [3]]);
}

/// A digest that somebody supplies may be made to look like an entry.
#[test]
fn a_digest_that_looks_like_an_entry_is_none() {
    let (_, heads) = history(&[1]);
    let far = u64::from(u32::MAX);
    let write = Write {
        subject: Subject::Store,
        tenant: None,
        owner: String::new(),
        is_new: false,
        record: None,
        imported_in: Vec::new(),
        imported_out: Vec::new(),
        event: (far, Vec::new().into()),
        outcome: None,
    };
    let frame = codec::encode(&Entry { group: far, write: Cow::Owned(write), end: None }).unwrap();
    for offset in 0..=32 - frame.len() {
        let (mut calls, _) = history(&[1]);
        calls[0].writes[0].imported_in[0][offset..][..frame.len()].copy_from_slice(&frame);
        assert_eq!(numbers(&beyond(&bytes_of(&calls), &heads[0]).unwrap()), [[1]], "{offset}");
    }
}

/// Every later release reads the log of a store that was killed.
#[test]
fn the_stored_form_stays() {
    let (mut calls, heads) = history(&[1, 2]);
    let last = &mut calls[1];
    last.ended = vec![[9; 32]];
    last.writes[1].record = None;
    last.writes[1].imported_out = vec![[2; 32]];
    last.writes[1].outcome = Some(([3; 32], vec![4; 5].into()));
    let mut waiting = Unflushed::default();
    calls.iter().for_each(|call| waiting.push(call));
    golden::check("write-ahead-log.bin", &waiting.bytes);
    let found = beyond(&waiting.bytes, &heads[0]).unwrap();
    assert!(found.iter().zip(&calls).all(|(found, call)| found.writes == call.writes && found.ended == call.ended));
    assert_eq!(found.len(), 2);
}

/// The first entry with other bytes at a place of its frame, and its right checksum.
fn refused(change: impl Fn(&mut [u8])) -> WalError {
    let (calls, heads) = history(&[1]);
    let mut bytes = bytes_of(&calls);
    let length = u32::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    let framed = LENGTH..LENGTH + length - 4;
    change(&mut bytes[framed.clone()]);
    let sum = crc32fast::hash(&bytes[framed.clone()]).to_le_bytes();
    bytes[framed.end..framed.end + 4].copy_from_slice(&sum);
    beyond(&bytes, &heads[0]).err().unwrap()
}

#[test]
fn a_newer_format_is_refused() {
    let format = refused(|frame| frame[2] = codec::FORMAT + 1);
    // Behind the head and one byte of the group: what the change is of.
    let subject = refused(|frame| frame[4] = 6);
    for newer in [format, subject] {
        assert!(matches!(newer, WalError::Entry(CodecError::Newer(_))), "{newer}");
    }
}

#[test]
fn a_log_of_the_time_before_is_named() {
    let old = refused(|frame| frame[..2].copy_from_slice(b"J\x01"));
    assert!(matches!(old, WalError::Entry(CodecError::Old)), "{old}");
}

proptest! {
    #[test]
    fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        let _ = beyond(&bytes, &Head::default());
    }

    /// Sectors of the last group come or not, in any choice: what was acknowledged before it is found.
    #[test]
    fn any_sectors_of_the_last_group(calls in proptest::collection::vec(1usize..5, 1..6), kept in any::<u64>()) {
        let (calls, heads) = history(&calls);
        let bytes = bytes_of(&calls);
        let last = group(&bytes, heads[calls.len() - 1].number + 1);
        let mut torn = bytes.clone();
        for (at, sector) in torn[last..last + 8 * SECTOR].chunks_mut(SECTOR).enumerate() {
            if kept >> at & 1 == 0 {
                sector.fill(0);
            }
        }
        let found = beyond(&torn, &heads[0]).unwrap();
        prop_assert!(found.len() + 1 >= calls.len());
        prop_assert_eq!(numbers(&found), numbers(&calls[..found.len()]));
    }
}
