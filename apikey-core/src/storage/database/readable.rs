//! Reads while the disk fails: what the database has, with the changes that wait for it.
//!
//! A change or a backup first brings the database up to date with everything that was accepted. A read works without
//! that: an operator whose disk is full needs to see the keys.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::from_fn;

use sled::IVec;

use crate::access::named::Kind;
use crate::access::owner::Owners;
use crate::key::error::StoreError;
use crate::key::named::NamedRecord;
use crate::key::role::record::RoleRecord;
use crate::key::subject::Subject;

use crate::storage::database::disk::Disk;
#[cfg(test)]
use crate::storage::database::disk::Faults;
use crate::storage::database::memtable::Unflushed;

impl Disk {
    /// Works as [`records`](Self::records).
    pub(crate) fn readable_records(
        &self,
        after: Option<u128>,
    ) -> impl Iterator<Item = Result<(u128, IVec), StoreError>> {
        let mut waiting = self.waiting().records;
        waiting.retain(|id, _| {
            matches!(Subject::of_record(*id), Subject::Key(_)) && after.is_none_or(|after| *id > after)
        });
        merged(self.written_records(after), waiting)
    }

    /// Reads all roles, or all tenants, after the last change. It does not bring the database up to date first.
    pub(crate) fn all_named(&self, kind: Kind) -> Result<Vec<NamedRecord>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        // Each is in the database before it leaves the memtable.
        let waiting = self.memtable.named(kind);
        merged(self.written_frames(kind.ids()), waiting).map(|item| Ok(NamedRecord::decode(kind, &item?.1)?)).collect()
    }

    /// Reads all roles after the last change.
    pub(crate) fn roles(&self) -> Result<Vec<RoleRecord>, StoreError> {
        Ok(self.all_named(Kind::Role)?.into_iter().filter_map(NamedRecord::role).collect())
    }

    /// Works as [`ids_of`](Self::ids_of).
    pub(crate) fn readable_ids_of(
        &self,
        owners: Owners<'_>,
        after: Option<u128>,
    ) -> Result<impl Iterator<Item = Result<u128, StoreError>> + use<>, StoreError> {
        #[cfg(test)]
        Faults::check(&self.faults.read)?;
        let new = self.waiting().new.into_iter();
        let new =
            new.filter(|new| owners.has(new.owner()) && after.is_none_or(|after| new.id > after)).map(|new| new.id);
        let new: BTreeSet<u128> = new.collect();
        // New keys have higher ids, so these come last; the database may have one of them all the same.
        let written = self.written_ids_of(owners, after);
        let first = new.clone();
        let written = written.filter(move |id| id.as_ref().map_or(true, |id| !first.contains(id)));
        Ok(written.chain(new.into_iter().map(Ok)))
    }

    /// Works as [`events`](Self::events).
    pub(crate) fn readable_events(&self, first: u64) -> impl Iterator<Item = Result<(u64, IVec), StoreError>> + use<> {
        let waiting = self.waiting().events;
        let mut next = first;
        let all = self.written_events(first).chain(waiting.into_iter().map(Ok));
        all.filter(move |event| match event {
            Ok((number, _)) if *number < next => false,
            Ok((number, _)) => {
                next = number.saturating_add(1);
                true
            }
            Err(_) => true,
        })
    }

    /// Returns what waits for the database; nothing, if the database accepts it now.
    fn waiting(&self) -> Unflushed {
        self.flush_memtable().map_or_else(|_| self.memtable.waiting(), |()| Unflushed::default())
    }
}

/// Merges entries that wait with those that are written, which they replace.
fn merged<E>(
    written: impl Iterator<Item = Result<(u128, IVec), E>>,
    waiting: BTreeMap<u128, Option<IVec>>,
) -> impl Iterator<Item = Result<(u128, IVec), E>> {
    let (mut written, mut waiting) = (written.peekable(), waiting.into_iter().peekable());
    let next = move || {
        let due = waiting.peek().map(|(id, _)| *id);
        match (written.peek(), due) {
            // The entry that waits replaces this one, and follows at once.
            (Some(Ok((id, _))), Some(due)) if *id == due => written.next().map(|_| None),
            (Some(Ok((id, _))), Some(due)) if *id < due => written.next().map(Some),
            (Some(Err(_)), _) | (_, None) => written.next().map(Some),
            (_, Some(_)) => waiting.next().map(|(id, frame)| frame.map(|frame| Ok((id, frame)))),
        }
    };
    from_fn(next).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_takes_the_place_of_what_is_written() {
        let frame = |byte: u8| IVec::from(&[byte]);
        let written = [1, 2, 3, 5].map(|id| Ok::<_, ()>((id, frame(0))));
        let waiting = BTreeMap::from([(2, Some(frame(1))), (3, None), (4, Some(frame(1))), (6, Some(frame(1)))]);
        let all: Vec<_> = merged(written.into_iter(), waiting.clone()).map(Result::unwrap).collect();
        assert_eq!(all, [(1, 0), (2, 1), (4, 1), (5, 0), (6, 1)].map(|(id, byte)| (id, frame(byte))));
        let failing = [Ok((1, frame(0))), Err(())].into_iter();
        assert_eq!(merged(failing, waiting.clone()).collect::<Vec<_>>()[..2], [Ok((1, frame(0))), Err(())]);
        assert_eq!(merged([].into_iter(), waiting).map(Result::<_, ()>::unwrap).count(), 3);
        assert_eq!(merged([Ok::<_, ()>((1, frame(0)))].into_iter(), BTreeMap::new()).count(), 1);
    }
}
