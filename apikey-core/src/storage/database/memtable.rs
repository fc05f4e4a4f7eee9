//! The memtable: changes that are decided and not in the database yet.
//!
//! The write-ahead log makes them durable, and the database gets them later, many in one transaction: sled writes to
//! its log twice for each transaction, and waits for the disk each time, whatever its size. Until then reads find them
//! here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, MutexGuard};

use sled::IVec;

use crate::access::named::Kind;
use crate::base::lock::lock;
use crate::token::digest::Digest;

use crate::storage::batch::{Batch, NewId};

/// The most changes of one transaction, unless one call has more, which stay together. sled blocks reads during a
/// transaction.
const CHUNK: usize = 256;

#[derive(Default)]
pub(crate) struct Memtable {
    state: Mutex<State>,
    /// Held during the write of a batch to the database, so that the next cannot overtake it.
    writing: Mutex<()>,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Batch>,
    /// The number of changes in the batches.
    waiting: usize,
    /// The number of the next batch.
    number: u64,
    /// The newest image of each key, role and tenant, and the holder of each imported digest, with the number of the batch that has it.
    records: HashMap<u128, (u64, Option<Vec<u8>>)>,
    imported: HashMap<Digest, (u64, Option<u128>)>,
    outcome: HashMap<Digest, (u64, Vec<u8>)>,
    /// Whether a batch was lost: nothing after it may be written, or count as written.
    broken: bool,
}

/// A copy of what waits for the database.
#[derive(Default)]
pub(crate) struct Unflushed {
    /// The newest image of each key, role and tenant; `None` if it is deleted.
    pub(crate) records: BTreeMap<u128, Option<IVec>>,
    pub(crate) new: Vec<NewId>,
    pub(crate) events: Vec<(u64, IVec)>,
}

impl Memtable {
    /// Adds a batch, and returns how many changes wait now.
    pub(crate) fn add(&self, batch: Batch) -> usize {
        let mut state = self.lock();
        let number = state.number;
        state.number += 1;
        for write in &batch.writes {
            let record = write.record.as_ref().map(|record| record.to_vec());
            if let Some(id) = write.subject.record() {
                state.records.insert(id, (number, record));
            }
            if let Some((name, frame)) = &write.outcome {
                state.outcome.insert(*name, (number, frame.to_vec()));
            }
            for digest in &write.imported_out {
                state.imported.insert(*digest, (number, None));
            }
            for digest in &write.imported_in {
                state.imported.insert(*digest, (number, write.subject.key()));
            }
        }
        state.waiting += batch.writes.len();
        state.batches.push_back(batch);
        state.waiting
    }

    /// Returns the waiting record of a key, role or tenant; `Some(None)` if its deletion waits.
    pub(crate) fn record(&self, id: u128) -> Option<Option<Vec<u8>>> {
        self.lock().records.get(&id).map(|(_, record)| record.clone())
    }

    /// Returns the waiting roles, or tenants; `None` for one whose deletion waits.
    pub(crate) fn named(&self, kind: Kind) -> BTreeMap<u128, Option<IVec>> {
        let state = self.lock();
        let named = state.records.iter().filter(|(id, _)| Kind::of(**id) == Some(kind));
        named.map(|(id, (_, frame))| (*id, frame.as_deref().map(IVec::from))).collect()
    }

    /// Returns the waiting holder of an imported digest.
    pub(crate) fn imported(&self, digest: &Digest) -> Option<Option<u128>> {
        self.lock().imported.get(digest).map(|(_, holder)| *holder)
    }

    /// Returns the waiting outcome of an idempotent request.
    pub(crate) fn request_outcome(&self, name: &Digest) -> Option<Vec<u8>> {
        self.lock().outcome.get(name).map(|(_, frame)| frame.clone())
    }

    /// Writes everything that waits now, in order, in chunks. Reads find a batch here until they find it in the
    /// database; one that could not be written stays here.
    pub(crate) fn write(&self, mut write: impl FnMut(&Batch) -> io::Result<()>) -> io::Result<()> {
        let _writing = lock(&self.writing);
        let last = self.lock().number;
        loop {
            let mut state = self.lock();
            if state.broken {
                return Err(io::Error::other("an earlier change could not be written"));
            }
            let Some((batch, next)) = state.take(last) else { return Ok(()) };
            // Assume a lost batch until the write has succeeded, even if it panics.
            state.broken = true;
            drop(state);
            if let Err(error) = write(&batch) {
                self.lock().give_back(batch);
                return Err(error);
            }
            let mut state = self.lock();
            state.broken = false;
            state.forget(&batch, next);
        }
    }

    /// Copies everything that waits.
    pub(crate) fn waiting(&self) -> Unflushed {
        let state = self.lock();
        let records = state.records.iter().map(|(id, (_, record))| (*id, record.as_deref().map(IVec::from)));
        let mut waiting = Unflushed { records: records.collect(), ..Unflushed::default() };
        for write in state.batches.iter().flat_map(|batch| &batch.writes) {
            waiting.events.push((write.event.0, IVec::from(write.event.1.as_slice())));
            if let Some(id) = write.subject.key().filter(|_| write.is_new) {
                waiting.new.push(NewId::of(write, id));
            }
        }
        waiting
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Keeps a batch that could not be written, for reads; nothing tries to write it again.
    fn give_back(&mut self, batch: Batch) {
        self.waiting += batch.writes.len();
        self.batches.push_front(batch);
    }

    /// Takes the first batches of those before `last`, as one, with the number of the batch that follows them.
    fn take(&mut self, last: u64) -> Option<(Batch, u64)> {
        let mut next = self.number - self.batches.len() as u64;
        let mut taken = Batch::default();
        while next < last && taken.writes.len() < CHUNK {
            taken.extend(self.batches.pop_front()?);
            next += 1;
        }
        self.waiting -= taken.writes.len();
        Some((taken, next)).filter(|(taken, _)| !taken.writes.is_empty())
    }

    /// Removes what was written, unless a batch from `next` on has changed it again.
    fn forget(&mut self, batch: &Batch, next: u64) {
        for one in &batch.writes {
            if let Some(id) = one.subject.record()
                && self.records.get(&id).is_some_and(|(held, _)| *held < next)
            {
                self.records.remove(&id);
            }
            if let Some((name, _)) = &one.outcome
                && self.outcome.get(name).is_some_and(|(held, _)| *held < next)
            {
                self.outcome.remove(name);
            }
            for digest in one.imported_in.iter().chain(&one.imported_out) {
                if self.imported.get(digest).is_some_and(|(held, _)| *held < next) {
                    self.imported.remove(digest);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::subject::Subject;
    use crate::storage::batch::Write;

    fn batch(id: u128, record: Option<u8>, digest: u8) -> Batch {
        let write = Write {
            subject: Subject::Key(id),
            tenant: None,
            owner: "alice".into(),
            is_new: true,
            record: record.map(|byte| vec![byte].into()),
            imported_in: record.map(|_| [digest; 32]).into_iter().collect(),
            imported_out: if record.is_none() { vec![[digest; 32]] } else { Vec::new() },
            event: (1, Vec::new().into()),
            outcome: record.map(|byte| ([digest; 32], vec![byte].into())),
        };
        Batch { writes: vec![write], head: vec![digest], ended: Vec::new() }
    }

    #[test]
    fn what_waits_is_read_until_it_is_written_and_written_once_in_order() {
        let tail = Memtable::default();
        assert_eq!(tail.record(1), None);
        assert_eq!(tail.add(batch(1, Some(1), 1)), 1);
        assert_eq!(tail.add(batch(2, Some(2), 2)), 2);
        assert_eq!(tail.add(batch(2, None, 2)), 3);
        assert_eq!((tail.record(1), tail.imported(&[1; 32])), (Some(Some(vec![1])), Some(Some(1))));
        assert_eq!(tail.request_outcome(&[1; 32]), Some(vec![1]));
        assert_eq!((tail.record(2), tail.imported(&[2; 32])), (Some(None), Some(None)));
        let seen = |batch: &Batch| {
            assert_eq!(tail.record(2), Some(None), "also while it is written");
            assert_eq!(batch.writes.iter().filter_map(|write| write.subject.key()).collect::<Vec<_>>(), [1, 2, 2]);
            assert_eq!(batch.head, [2]);
            Ok(())
        };
        tail.write(seen).unwrap();
        assert_eq!((tail.record(1), tail.record(2)), (None, None));
        assert_eq!((tail.imported(&[1; 32]), tail.imported(&[2; 32])), (None, None));
        assert_eq!(tail.request_outcome(&[1; 32]), None);
        tail.write(|_| Err(io::Error::other("there is nothing to write"))).unwrap();
    }

    #[test]
    fn what_is_added_during_a_write_waits_for_the_next() {
        let tail = Memtable::default();
        tail.add(batch(1, Some(1), 1));
        tail.write(|batch| {
            assert_eq!(batch.writes.len(), 1);
            tail.add(super::tests::batch(1, Some(2), 2));
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
    fn many_are_written_some_at_a_time_and_those_of_a_call_together() {
        let tail = Memtable::default();
        let call = |ids: std::ops::Range<usize>| {
            ids.fold(Batch::default(), |mut call, id| {
                call.extend(batch(id as u128, Some(1), 1));
                call
            })
        };
        tail.add(call(0..CHUNK + 10));
        for id in 0..CHUNK + 1 {
            tail.add(call(id..id + 1));
        }
        let mut sizes = Vec::new();
        tail.write(|batch| {
            sizes.push(batch.writes.len());
            Ok(())
        })
        .unwrap();
        assert_eq!(sizes, [CHUNK + 10, CHUNK, 1]);
        assert_eq!(tail.record(0), None);
    }

    #[test]
    fn what_could_not_be_written_is_still_read_from_here() {
        let tail = Memtable::default();
        tail.add(batch(1, Some(1), 1));
        let full = || Err(io::ErrorKind::StorageFull.into());
        assert_eq!(tail.write(|_| full()).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(tail.record(1), Some(Some(vec![1])));
        // A thread that waited for the same batch must not take an empty memtable for a written one.
        tail.write(|_| Ok(())).unwrap_err();
    }
}
