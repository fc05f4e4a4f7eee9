//! Changes that are decided and not in the database yet; the next sync writes them all in one transaction.
//!
//! Of a transaction sled makes two writes to its log, each with a wait for the disk, whatever is in it. So changes that
//! will share an fsync share a transaction, too, and until then they are read from here.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::digest::Digest;

use super::disk::Batch;

#[derive(Default)]
pub(super) struct Tail {
    state: Mutex<State>,
    /// Held while a batch is on its way into the database: the next may not overtake it.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    batch: Batch,
    /// Number of the batch that is being filled.
    number: u64,
    /// The newest image of each key, and the holder of each imported digest, with the number of the batch that has it.
    records: HashMap<u128, (u64, Option<Vec<u8>>)>,
    imported: HashMap<Digest, (u64, Option<u128>)>,
    made: HashMap<Digest, (u64, Vec<u8>)>,
    /// A batch was lost: nothing after it may be written, and nobody may think that it was.
    broken: bool,
}

impl Tail {
    /// Adds a batch; how many changes wait now.
    pub(super) fn add(&self, batch: Batch) -> usize {
        let mut state = self.lock();
        let number = state.number;
        for write in &batch.writes {
            state.records.insert(write.id, (number, write.record.clone()));
            if let Some((name, frame)) = &write.made {
                state.made.insert(*name, (number, frame.clone()));
            }
            for digest in &write.imported_out {
                state.imported.insert(*digest, (number, None));
            }
            for digest in &write.imported_in {
                state.imported.insert(*digest, (number, Some(write.id)));
            }
        }
        state.batch.writes.extend(batch.writes);
        state.batch.ended.extend(batch.ended);
        state.batch.head = batch.head;
        state.batch.writes.len()
    }

    /// What waits to be written of a key: `Some(None)` if it is deleted.
    pub(super) fn record(&self, id: u128) -> Option<Option<Vec<u8>>> {
        self.lock().records.get(&id).map(|(_, record)| record.clone())
    }

    /// What waits to be written of an imported digest.
    pub(super) fn imported(&self, digest: &Digest) -> Option<Option<u128>> {
        self.lock().imported.get(digest).map(|(_, holder)| *holder)
    }

    /// What waits to be written of a request with an idempotency key.
    pub(super) fn made(&self, name: &Digest) -> Option<Vec<u8>> {
        self.lock().made.get(name).map(|(_, frame)| frame.clone())
    }

    /// Writes what waits, if anything does. It is read from here until it can be read there; what could not be written
    /// stays here.
    pub(super) fn write(&self, write: impl FnOnce(&Batch) -> io::Result<()>) -> io::Result<()> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self.lock();
        if state.broken {
            return Err(io::Error::other("an earlier change could not be written"));
        }
        if state.batch.writes.is_empty() {
            return Ok(());
        }
        let batch = std::mem::take(&mut state.batch);
        let number = state.number;
        state.number += 1;
        // Until the opposite is known, also if this panics.
        state.broken = true;
        drop(state);
        write(&batch)?;
        let mut state = self.lock();
        state.broken = false;
        for one in &batch.writes {
            if state.records.get(&one.id).is_some_and(|(held, _)| *held <= number) {
                state.records.remove(&one.id);
            }
            if let Some((name, _)) = &one.made
                && state.made.get(name).is_some_and(|(held, _)| *held <= number)
            {
                state.made.remove(name);
            }
            for digest in one.imported_in.iter().chain(&one.imported_out) {
                if state.imported.get(digest).is_some_and(|(held, _)| *held <= number) {
                    state.imported.remove(digest);
                }
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::disk::Write;

    fn batch(id: u128, record: Option<u8>, digest: u8) -> Batch {
        let write = Write {
            id,
            owner: "alice".into(),
            is_new: true,
            record: record.map(|byte| vec![byte]),
            imported_in: record.map(|_| [digest; 32]).into_iter().collect(),
            imported_out: if record.is_none() { vec![[digest; 32]] } else { Vec::new() },
            event: (1, Vec::new()),
            made: record.map(|byte| ([digest; 32], vec![byte])),
        };
        Batch { writes: vec![write], head: vec![digest], ended: Vec::new() }
    }

    #[test]
    fn what_waits_is_read_until_it_is_written_and_written_once_in_order() {
        let tail = Tail::default();
        assert_eq!(tail.record(1), None);
        assert_eq!(tail.add(batch(1, Some(1), 1)), 1);
        assert_eq!(tail.add(batch(2, Some(2), 2)), 2);
        assert_eq!(tail.add(batch(2, None, 2)), 3);
        assert_eq!((tail.record(1), tail.imported(&[1; 32])), (Some(Some(vec![1])), Some(Some(1))));
        assert_eq!(tail.made(&[1; 32]), Some(vec![1]));
        assert_eq!((tail.record(2), tail.imported(&[2; 32])), (Some(None), Some(None)));
        let seen = |batch: &Batch| {
            assert_eq!(tail.record(2), Some(None), "also while it is written");
            assert_eq!(batch.writes.iter().map(|write| write.id).collect::<Vec<_>>(), [1, 2, 2]);
            assert_eq!(batch.head, [2]);
            Ok(())
        };
        tail.write(seen).unwrap();
        assert_eq!((tail.record(1), tail.record(2)), (None, None));
        assert_eq!((tail.imported(&[1; 32]), tail.imported(&[2; 32])), (None, None));
        assert_eq!(tail.made(&[1; 32]), None);
        tail.write(|_| Err(io::Error::other("there is nothing to write"))).unwrap();
    }

    #[test]
    fn what_is_added_during_a_write_waits_for_the_next() {
        let tail = Tail::default();
        tail.add(batch(1, Some(1), 1));
        tail.write(|_| {
            tail.add(batch(1, Some(2), 2));
            Ok(())
        })
        .unwrap();
        assert_eq!((tail.record(1), tail.imported(&[1; 32])), (Some(Some(vec![2])), None));
        tail.write(|batch| {
            assert_eq!(batch.writes.len(), 1);
            Ok(())
        })
        .unwrap();
        assert_eq!(tail.record(1), None);
    }

    #[test]
    fn what_could_not_be_written_is_still_read_from_here() {
        let tail = Tail::default();
        tail.add(batch(1, Some(1), 1));
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert_eq!(tail.write(|_| full()).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(tail.record(1), Some(Some(vec![1])));
        // Who waited for the same batch must not take an empty tail for a written one.
        tail.write(|_| Ok(())).unwrap_err();
    }
}
